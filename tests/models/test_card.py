from pathlib import Path

import pytest

from hiddenstate.errors import ArgumentError
from hiddenstate.models.accuracy import Accuracy
from hiddenstate.models.card import Origin, Outcome, write_card
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.tagger import Tagger
from hiddenstate.text.conllu import read_conllu

SENTENCES = read_conllu(Path(__file__).parents[1] / "data" / "tiny-train.conllu")
DEV = Accuracy(words=1200, correct=1100, unknown_words=40, unknown_correct=30)


@pytest.fixture
def tagger() -> Tagger:
    return Tagger.build(TaggerConfig(seed=9, hidden_size=4), SENTENCES)


def test_finished(tagger: Tagger) -> None:
    origin = Origin("a.conllu", "b.conllu", "c.conllu", "hiddenstate train x", "Some data.", "Some terms.")
    card = write_card("name", tagger, origin, Outcome(3, 5, True, DEV, Accuracy(10, 5, 0, 0)))
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["What it is", "Architecture", "Data", "Training", "Accuracy", "Licence", "Limits"]
    assert card.startswith("# name\n\n## What it is\n\n")
    assert "| dev | 1,200 | 91.67 % | 40 | 75.00 % |\n| test | 10 | 50.00 % | 0 |  |" in card
    assert "Seed 9. Epoch 3 of 5 trained was kept.\n\n```\nhiddenstate train x\n```" in card
    assert "Trained on `a.conllu`; best epoch chosen on `b.conllu`; tested on `c.conllu`" in card
    assert f"{sum(p.numel() for p in tagger.parameters()):,} parameters, stored as float16" in card
    assert "hidden_size 4" in card
    assert "\n## Licence\n\nSome terms.\n" in card


def test_interrupted_and_bare(tagger: Tagger) -> None:
    card = write_card("name", tagger, Origin("a", "b"), Outcome(3, 3, False, DEV))
    assert "still going on" in card
    assert "before rounding" in card
    assert "| test |" not in card
    assert "Not stated" in card
    assert "```" not in card


@pytest.mark.parametrize("name", ["/home/me/a.conllu", "data/a.conllu"])
def test_folders_never_reach_the_card(name: str) -> None:
    with pytest.raises(ArgumentError, match="name of a file without its folder"):
        Origin(name, "b")
