from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import CARD, FILES, load_language_model, load_tagger, save
from hiddenstate.models.tagger.accuracy import Accuracy, distinct_words, evaluate
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.syllabus import SIZES
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.training import TAGGER_RUN, Epoch, Step, resume_tagger, train_tagger
from hiddenstate.text.conllu import Sentence, read_conllu
from hiddenstate.training.settings import read_run_file
from language_models import make

DATA = Path(__file__).parents[2] / "data"
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
    accuracy = result.dev["upos"].accuracy
    assert accuracy.share > baseline(read_conllu(TRAIN), read_conllu(DEV)) + 0.02
    assert accuracy.share > 0.95
    assert result.history[0].last.loss > 2 * result.history[-1].last.loss
    assert result.best.score.value == max(epoch.score.value for epoch in result.history)
    assert [epoch for epoch in result.history if epoch.is_best][-1] == result.best
    # The returned results are those of the folder's model.
    dev, known = read_conllu(DEV), distinct_words(read_conllu(TRAIN))
    assert evaluate(load_tagger(tmp_path / "model"), dev, known) == result.dev
    assert accuracy.unknown_words > 0
    assert result.test is not None
    assert result.test["upos"].accuracy.unknown_words == 0
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
    for name, reports in (("dev", result.dev), ("test", result.test)):
        assert reports is not None
        accuracy = reports["upos"].accuracy
        shares = f"{100 * accuracy.share:.2f} % | {accuracy.unknown_words} | {100 * accuracy.unknown_share:.2f} %"
        assert f"| {name} | UPOS | {accuracy.words} | {shares} |" in card
    for part in ("Seed 1.", "My own words.", "CC0.", "hiddenstate train", "`tiny-train.conllu`", "float16"):
        assert part in card
    assert str(tmp_path) not in card
    assert str(DATA) not in card
    assert "still going on" not in card


def test_a_model_trained_on_xpos(tmp_path: Path) -> None:
    train_tagger(TRAIN, DEV, tmp_path / "model", replace(SHORT, columns=("xpos",)))
    assert "NN" in load_tagger(tmp_path / "model").tag_names
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
    load_tagger(tmp_path / "model").read(["The", "dog"])
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    with pytest.raises(ArgumentError, match="holds an unfinished run; resume it .*or delete the folder"):
        train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG)
    assert "Epoch 1 of 1 was kept. Training had not finished" in card


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
        train_tagger(TRAIN, untagged, tmp_path / "model", TaggerConfig(columns=("xpos",)))
    (tmp_path / "empty.conllu").write_text("")
    with pytest.raises(FileFormatError, match=r"empty\.conllu: no word has a tag in column UPOS"):
        train_tagger(TRAIN, tmp_path / "empty.conllu", tmp_path / "model")
    (tmp_path / "latin.conllu").write_bytes("1\té\t_\tX\t_\t_\t_\t_\t_\t_\n".encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"latin\.conllu: not UTF-8"):
        train_tagger(tmp_path / "latin.conllu", DEV, tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        train_tagger(tmp_path / "none", DEV, tmp_path / "model")
    with pytest.raises(ArgumentError, match=r"holds 'empty\.conllu'"):
        train_tagger(TRAIN, DEV, tmp_path)
    with pytest.raises(ArgumentError, match="cannot be stored as float16: .* lower the learning rate"):
        train_tagger(TRAIN, DEV, tmp_path / "model", replace(SHORT, learning_rate=1e30, warmup_steps=0))
    monkeypatch.setattr(Tagger, "loss", lambda self, _: self.head.bias.sum() * float("nan"))
    with pytest.raises(ArgumentError, match="training diverged: loss nan in epoch 1; lower the learning rate"):
        train_tagger(TRAIN, DEV, tmp_path / "model", SHORT)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("crf", "precision"), [(False, "fp32"), (True, "bf16")])
def test_several_columns_and_a_chain(tmp_path: Path, crf: bool, precision: str) -> None:
    config = replace(CONFIG, columns=("upos", "xpos"), crf=crf, precision=precision)
    result = train_tagger(TRAIN, DEV, tmp_path / "model", config)
    shares = [result.dev[column].accuracy.share for column in ("upos", "xpos")]
    assert min(shares) > 0.95
    best = result.best.score
    assert best.value == pytest.approx((best.details["upos"] + best.details["xpos"]) / 2)
    stored = load_tagger(tmp_path / "model")
    assert stored.config.crf is crf
    assert stored.temperatures["upos"] != 1
    assert bool(stored.chains) is crf


def test_the_confidence_is_calibrated_on_the_dev_data(tmp_path: Path) -> None:
    result = train_tagger(TRAIN, DEV, tmp_path / "model", replace(CONFIG, label_smoothing=0.3))
    report = result.dev["upos"]
    assert report.calibration.error < 0.5 * report.uncalibrated.error
    temperature = load_tagger(tmp_path / "model").temperatures["upos"]
    assert temperature < 1  # smoothing made it less confident than accurate
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    assert f"| dev | UPOS | {temperature:.3f} | {100 * report.uncalibrated.error:.2f} % |" in card


def test_words_in_context(tmp_path: Path) -> None:
    for name, backward in (("ahead", False), ("back", True)):
        save(make(backward=backward), tmp_path / name)
    context = (tmp_path / "ahead", tmp_path / "back")
    train_tagger(TRAIN, DEV, tmp_path / "model", SHORT, context=context)
    stored, plain = load_tagger(tmp_path / "model"), load_language_model(tmp_path / "ahead")
    assert stored.context is not None
    kept = stored.context.forward_model.state_dict()
    # float16 on disk, like the tagger's own weights
    assert all(torch.equal(kept[name], value.half().float()) for name, value in plain.state_dict().items())
    assert len(stored.tag([["The", "dog"]])[0].tags) == 2
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    assert "7 units forward and 7 backward" in card
    with pytest.raises(ArgumentError, match="need two language models, forward_model and backward_model, got one"):
        train_tagger(TRAIN, DEV, tmp_path / "other", SHORT, context=(tmp_path / "ahead", ""))
    with pytest.raises(ArgumentError, match="expected a backward character model"):
        train_tagger(TRAIN, DEV, tmp_path / "other", SHORT, context=(tmp_path / "ahead", tmp_path / "ahead"))
    with pytest.raises(ArgumentError, match="give either language models or a start"):
        train_tagger(TRAIN, DEV, tmp_path / "other", SHORT, context=context, start=tmp_path / "model")
    assert not (tmp_path / "other.run").exists()
    train_tagger(TRAIN, DEV, tmp_path / "other", SHORT, start=tmp_path / "model")
    assert load_tagger(tmp_path / "other").context is not None


@pytest.mark.parametrize("changed", ["dev", "test"])
def test_changed_data_is_not_resumed_with(changed: str, tmp_path: Path) -> None:
    for path, name in ((TRAIN, "train"), (DEV, "dev"), (DEV, "test")):
        (tmp_path / name).write_bytes(path.read_bytes())
    files = tmp_path / "train", tmp_path / "dev", tmp_path / "model"

    def interrupt(progress: Step | Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tagger(*files, SHORT, test=tmp_path / "test", on_progress=interrupt)
    (tmp_path / changed).write_bytes(TRAIN.read_bytes())
    with pytest.raises(ArgumentError, match="the data of the run in .* has changed since"):
        resume_tagger(tmp_path / "model.run")


def test_a_run_is_made_longer_by_editing_its_settings(tmp_path: Path) -> None:
    train_tagger(TRAIN, DEV, tmp_path / "model", replace(SHORT, schedule="constant"))
    settings = tmp_path / "model.run" / "run.toml"
    settings.write_text(settings.read_text().replace("epochs = 2\n", "epochs = 3\n"))
    longer = resume_tagger(tmp_path / "model.run")
    straight = train_tagger(TRAIN, DEV, tmp_path / "other", replace(SHORT, schedule="constant", epochs=3))
    assert [epoch.score for epoch in longer.history] == [epoch.score for epoch in straight.history]


def test_the_example_config_can_be_read() -> None:
    path = Path(__file__).parents[3] / "examples" / "configs" / "tagger-ewt.toml"
    found = read_run_file(path, TAGGER_RUN)
    assert found.settings.columns == ("upos", "xpos")
    assert found.files["train"] == "ud-english-ewt:train"
    taught = read_run_file(path.with_name("tagger-taught.toml"), TAGGER_RUN)
    assert taught.lists == {"teacher": ("teacher-1", "teacher-2"), "untagged": ("wikitext-2:train",)}
    further = read_run_file(path.with_name("tagger-taught-further.toml"), TAGGER_RUN)
    assert further.files["start"] == "tagger-taught"
    assert further.lists["teacher"] == ("teacher-1", "teacher-2", "tagger-taught")
    for name in SIZES:  # the starting model has its sizes
        assert getattr(further.settings, name) == getattr(taught.settings, name)
    assert taught.settings.weights_dtype == "int8"
    neighbours = read_run_file(path.with_name("tagger-neighbours.toml"), TAGGER_RUN)
    assert neighbours.files["test"] == "ud-english-ewt:test"
    assert neighbours.settings.columns == ("upos", "xpos")
    ours = read_run_file(path.with_name("tagger-en.toml"), TAGGER_RUN)
    assert ours.lists["teacher"] == ("teacher-1", "teacher-2", "teacher-3", "teacher-4")
    assert ours.settings == load_tagger("tagger-en").config  # the settings it was trained with


def test_one_sentence(tmp_path: Path) -> None:
    one = tmp_path / "one.conllu"
    one.write_text("1\tHi\t_\tINTJ\t_\t_\t_\t_\t_\t_\n")
    result = train_tagger(one, one, tmp_path / "model", SHORT)
    assert result.dev["upos"].accuracy == Accuracy(1, 1, 0, 0)
    assert load_tagger(tmp_path / "model").tag([["Hi", "there"]])[0].tags == ("INTJ", "INTJ")


def test_tags_that_only_dev_and_test_have(tmp_path: Path) -> None:
    other = tmp_path / "other.conllu"
    other.write_text(TRAIN.read_text().replace("\tDET\t", "\tALIEN\t"))
    result = train_tagger(TRAIN, other, tmp_path / "model", SHORT, test=other)
    assert result.dev["upos"].unseen == sum(tag == "DET" for s in read_conllu(TRAIN) for tag in s.upos) > 0
    assert "ALIEN" not in load_tagger(tmp_path / "model").tag_names


def test_a_long_sentence_other_scripts_and_emoji(tmp_path: Path) -> None:
    forms = ["word", "слово", "言葉", "كلمة", "👩‍👩‍👧‍👦", "e\u0301", "\u200d", "a" * 500]
    lines = [f"{k + 1}\t{forms[k % 8]}\t_\t{'AB'[k % 2]}\t_\t_\t_\t_\t_\t_" for k in range(1_600)]
    long = tmp_path / "long.conllu"
    long.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = replace(SHORT, epochs=1, hidden_size=4, num_layers=1)
    for crf in (False, True):
        result = train_tagger(long, long, tmp_path / f"model-{crf}", replace(config, crf=crf))
        assert result.dev["upos"].accuracy.words == 1_600
        (tagging,) = load_tagger(tmp_path / f"model-{crf}").tag([forms * 200])
        assert len(tagging.tags) == 1_600
        assert torch.isfinite(tagging.probabilities).all()


def test_sentences_whose_words_have_no_features_count(tmp_path: Path) -> None:
    bare = "".join(f"{k}\t{word}\t_\t_\t_\t_\t_\t_\t_\t_\n" for k, word in enumerate(("no", "way", "!"), 1))
    rich = "1\tdogs\t_\t_\t_\tNumber=Plur\t_\t_\t_\t_\n"
    path = tmp_path / "feats.conllu"
    path.write_text(f"{bare}\n{rich}\n")
    config = replace(SHORT, columns=("feats",))
    assert train_tagger(path, path, tmp_path / "model", config).dev["feats"].accuracy.words == 4
    path.write_text(f"{bare}\n")
    with pytest.raises(FileFormatError, match="no word has a tag in column FEATS"):
        train_tagger(path, path, tmp_path / "other", config)


def test_variants_teach_to_read_capitals(tmp_path: Path) -> None:
    loud = [[form.upper() for form in sentence.forms] for sentence in read_conllu(DEV)]
    gold = [tag for sentence in read_conllu(DEV) for tag in sentence.upos]
    shares = []
    for varied in (0.0, 0.5):
        config = replace(CONFIG, varied=varied, word_dropout=30.0)  # so that the spelling must decide
        train_tagger(TRAIN, DEV, tmp_path / f"{varied}", config)
        found = [tag for tagging in load_tagger(tmp_path / f"{varied}").tag(loud) for tag in tagging.tags]
        shares.append(sum(a == b for a, b in zip(found, gold, strict=True)) / len(gold))
    assert shares[1] > shares[0] + 0.1
