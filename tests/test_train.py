from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hiddenstate import train
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.accuracy import evaluate, words_of
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.folder import CARD, FILES, load
from hiddenstate.text.conllu import Sentence, read_conllu
from hiddenstate.train import Epoch, Step, train_tagger

DATA = Path(__file__).parent / "data"
TRAIN, DEV = DATA / "tiny-train.conllu", DATA / "tiny-dev.conllu"
CONFIG = TaggerConfig(
    word_size=16,
    char_size=12,
    char_minimum=1,
    char_hidden_size=12,
    hidden_size=16,
    dropout=0.2,
    epochs=8,
    batch_words=60,
    learning_rate=0.03,
    warmup_steps=10,
)
SHORT = replace(CONFIG, epochs=2)


def baseline(sentences: list[Sentence], dev: list[Sentence]) -> float:
    """Accuracy of each word's most frequent tag, and of the most frequent tag of all for words never seen."""
    pairs = Counter((form.lower(), tag) for s in sentences for form, tag in zip(s.forms, s.upos, strict=True))
    best = {form: tag for (form, tag), _ in reversed(pairs.most_common())}
    top = Counter(tag for s in sentences for tag in s.upos).most_common(1)[0][0]
    guesses = [best.get(form.lower(), top) == tag for s in dev for form, tag in zip(s.forms, s.upos, strict=True)]
    return sum(guesses) / len(guesses)


def test_training_learns(tmp_path: Path) -> None:
    seen: list[Step | Epoch] = []
    result = train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG, test=TRAIN, on_progress=seen.append)
    assert result.dev.share > baseline(read_conllu(TRAIN), read_conllu(DEV)) + 0.02
    assert result.dev.share > 0.95
    assert result.history[0].last.loss > 2 * result.history[-1].last.loss
    assert result.best.score.value == max(epoch.score.value for epoch in result.history)
    assert [epoch for epoch in result.history if epoch.is_best][-1] == result.best
    # What was returned is what the folder does.
    dev, known = read_conllu(DEV), words_of(read_conllu(TRAIN))
    assert evaluate(load(tmp_path / "model"), dev, known) == result.dev
    assert result.dev.unknown_words > 0
    assert result.test is not None
    assert result.test.unknown_words == 0
    assert tuple(step for step in seen if isinstance(step, Epoch)) == result.history
    steps = [step for step in seen if isinstance(step, Step) and step.epoch == 1]
    assert [step.units for step in steps] == sorted({step.units for step in steps})
    assert steps[-1].units == steps[-1].units_total == sum(map(len, read_conllu(TRAIN)))


def test_same_seed_same_model(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        train_tagger(TRAIN, DEV, tmp_path / name, replace(SHORT, seed=seed))
    assert torch.equal(torch.get_rng_state(), before)
    first, second, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "abc")
    assert first == second != other


def test_the_card_tells_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "my-tagger"
    result = train_tagger(
        TRAIN, DEV, out, SHORT, test=DEV, command="hiddenstate train", about_data="My own words.", licence="CC0."
    )
    card = (out / CARD).read_text(encoding="utf-8")
    assert card.startswith("# my-tagger\n")
    for name, accuracy in (("dev", result.dev), ("test", result.test)):
        assert accuracy is not None
        shares = f"{100 * accuracy.share:.2f} % | {accuracy.unknown_words} | {100 * accuracy.unknown_share:.2f} %"
        assert f"| {name} | {accuracy.words} | {shares} |" in card
    for part in ("Seed 1.", "My own words.", "CC0.", "hiddenstate train", "`tiny-train.conllu`", "float16"):
        assert part in card
    assert str(tmp_path) not in card
    assert str(DATA) not in card
    assert "still going on" not in card


def test_a_model_trained_on_xpos(tmp_path: Path) -> None:
    train_tagger(TRAIN, DEV, tmp_path / "model", replace(SHORT, column="xpos"))
    assert "NN" in load(tmp_path / "model").tag_names
    assert "XPOS" in (tmp_path / "model" / CARD).read_text(encoding="utf-8")


def test_stops_early(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=40, patience=2, learning_rate=1e-9)
    result = train_tagger(TRAIN, DEV, tmp_path / "model", config)
    assert len(result.history) == result.best.last.epoch + 2 < 40


def test_interruption_leaves_the_best_model(tmp_path: Path) -> None:
    def interrupt(progress: Step | Epoch) -> None:
        if isinstance(progress, Step) and progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG, on_progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.run"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(FILES)
    load(tmp_path / "model").read(["The", "dog"])
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    with pytest.raises(ArgumentError, match="holds a run that is not finished; resume it .*or delete the folder"):
        train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG)
    assert "Epoch 1 of 1 trained was kept. Training was still going on" in card


def test_an_earlier_model_stays_until_the_first_epoch_is_done(tmp_path: Path) -> None:
    train_tagger(TRAIN, DEV, tmp_path / "model", SHORT)
    before = (tmp_path / "model" / "weights.safetensors").read_bytes()

    def interrupt(progress: Step | Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tagger(TRAIN, DEV, tmp_path / "model", replace(SHORT, seed=2), on_progress=interrupt)
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == before


def test_train_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untagged = tmp_path / "untagged.conllu"
    untagged.write_text("1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n")
    with pytest.raises(FileFormatError, match=r"untagged\.conllu: no word has a tag in column UPOS"):
        train_tagger(untagged, DEV, tmp_path / "model")
    with pytest.raises(FileFormatError, match="no word has a tag in column XPOS"):
        train_tagger(TRAIN, untagged, tmp_path / "model", TaggerConfig(column="xpos"))
    with pytest.raises(FileNotFoundError):
        train_tagger(tmp_path / "none", DEV, tmp_path / "model")
    with pytest.raises(ArgumentError, match=r"holds 'untagged\.conllu'"):
        train_tagger(TRAIN, DEV, tmp_path)
    monkeypatch.setattr(train, "cross_entropy", lambda scores, *_, **__: scores.sum() * float("nan"))
    with pytest.raises(ArgumentError, match="training diverged: loss nan in epoch 1; lower the learning rate"):
        train_tagger(TRAIN, DEV, tmp_path / "model", SHORT)
    assert not (tmp_path / "model").exists()
