from pathlib import Path

import pytest

from hiddenstate.errors import ArgumentError
from hiddenstate.models.language.scoring import Tally
from hiddenstate.models.language.training import RUN_FILES, write_language_card
from hiddenstate.models.model_folder import load_language_model, load_tagger, shipped
from hiddenstate.models.tagger.accuracy import Accuracy, Bin, Calibration, Report
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.training import TAGGER_RUN, write_card
from hiddenstate.models.training_run import Origin, Outcome
from hiddenstate.text.conllu import read_conllu
from hiddenstate.training.settings import read_run_file
from language_models import make

SENTENCES = read_conllu(Path(__file__).parents[2] / "data" / "tiny-train.conllu")
SURE, UNSURE = (Calibration((Bin(10, confidence, 0.5),)) for confidence in (0.75, 0.625))


def reports(*accuracy: int) -> dict[str, Report]:
    return {"upos": Report(Accuracy(*accuracy), {}, 0, UNSURE, SURE)}


DEV = reports(1200, 1100, 40, 30)


@pytest.fixture
def tagger() -> Tagger:
    tagger = Tagger.build(TaggerConfig(seed=9, hidden_size=4), SENTENCES)
    tagger.calibrate({"upos": 1.5})
    return tagger


def test_finished(tagger: Tagger) -> None:
    origin = Origin("a.conllu", "b.conllu", "c.conllu", "hiddenstate train x", "Some data.", "Some terms.")
    card = write_card("name", tagger, origin, Outcome(3, 5, True, DEV, reports(10, 5, 0, 0)))
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["What it is", "Architecture", "Data", "Training", "Accuracy", "Confidence", "Licence", "Limits"]
    assert card.startswith("# name\n\n## What it is\n\n")
    assert "| dev | UPOS | 1,200 | 91.67 % | 40 | 75.00 % |\n| test | UPOS | 10 | 50.00 % | 0 |  |" in card
    assert "| dev | UPOS | 1.500 | 25.00 % | 12.50 % |\n| test | UPOS | 1.500 | 25.00 % | 12.50 % |" in card
    assert "12 of UPOS (ADJ ADP " in card
    assert "columns upos, " in card
    assert "Seed 9. Epoch 3 of 5 was kept.\n\n```\nhiddenstate train x\n```" in card
    assert "Trained on `a.conllu`; best epoch chosen on `b.conllu`; tested on `c.conllu`" in card
    assert f"{sum(p.numel() for p in tagger.parameters()):,} parameters, stored as float16" in card
    assert "hidden_size 4" in card
    assert "\n## Licence\n\nSome terms.\n" in card


def sections(card: str) -> dict[str, str]:
    """Return the parts of a card by heading."""
    return dict(part.split("\n\n", 1) for part in card.split("\n## ")[1:])


def test_the_shipped_cards_are_written_by_this_code() -> None:
    """Except for the results and the settings, which need the training data."""
    configs = Path(__file__).parents[3] / "examples" / "configs"
    tagger, language = load_tagger(shipped("tagger-en")), load_language_model(shipped("shakespeare"))
    about = read_run_file(configs / "tagger-en.toml", TAGGER_RUN).about
    data = Origin(
        "en_ewt-ud-train.conllu",
        "en_ewt-ud-dev.conllu",
        "en_ewt-ud-test.conllu",
        about_data=about["about_data"],
        licence=about["licence"],
        teachers=tuple(f"teacher-{k}" for k in range(1, 5)),
        untagged=("train.txt", "some.txt"),
        start="neighbours",
    )
    text = read_run_file(configs / "lm-tiny-shakespeare.toml", RUN_FILES["char"]).about
    plays = Origin("train.txt", "dev.txt", "test.txt", "", text["about_data"], text["licence"])
    tally = Outcome(10, 10, True, Tally(100, 150.0, 10, 40.0, 100))
    written = {
        "tagger-en": write_card("tagger-en", tagger, data, Outcome(7, 7, True, DEV)),
        "shakespeare": write_language_card("shakespeare", language, plays, tally),
    }
    for name, card in written.items():
        found = sections((shipped(name) / "MODEL_CARD.md").read_text(encoding="utf-8"))
        for heading, part in sections(card).items():
            if heading == "Training":
                assert found[heading].startswith(part.split("\n")[0].removesuffix("."))
            else:  # without the rows of numbers
                assert found[heading].split("\n| dev")[0].strip() == part.split("\n| dev")[0].strip(), (name, heading)


def test_interrupted_and_bare(tagger: Tagger) -> None:
    card = write_card("name", tagger, Origin("a", "b"), Outcome(3, 3, False, DEV))
    assert "had not finished" in card
    assert "before they are rounded" in card
    assert "| test |" not in card
    assert "Not stated" in card
    assert "```" not in card


@pytest.mark.parametrize("name", ["/home/me/a.conllu", "data/a.conllu"])
def test_folders_never_reach_the_card(name: str) -> None:
    with pytest.raises(ArgumentError, match="file names must not include folders"):
        Origin(name, "b")


def test_columns_chain_and_context(tagger: Tagger) -> None:
    context = ContextualVectors(make(), make(backward=True, hidden_size=4))
    config = TaggerConfig(columns=("upos", "feats", "deprel"), crf=True, hidden_size=4)
    tags = {"upos": ["X"], "feats": [f"F={k}" for k in range(99)], "deprel": ["root"]}
    other = Tagger(config, tagger.encoder.words, tagger.encoder.chars, tags, context)
    card = write_card("x", other, Origin("a", "b"), Outcome(1, 1, True, {}))
    assert "universal part-of-speech tags (UPOS) and morphological features (FEATS) and column DEPREL of" in card
    assert "1 of UPOS (X); 99 of FEATS (see `vocabulary.json`); 1 of DEPREL (root)" in card
    assert "a linear layer and a linear chain over the tags" in card
    assert "\n- context: states of two character language models, 7 units forward and 4 backward\n- sentence" in card
