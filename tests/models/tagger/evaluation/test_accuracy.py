import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hiddenstate.models.tagger.accuracy import (
    Accuracy,
    TagAccuracy,
    distinct_words,
    evaluate,
    fitted_temperatures,
)
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import parse_conllu, read_conllu

SENTENCES = read_conllu(Path(__file__).parents[3] / "data" / "tiny-train.conllu")
SMALL = TaggerConfig(word_size=4, char_size=4, char_hidden_size=4, hidden_size=4)
# Of four words, one has no tag, and one has a tag that was not in training.
GOLD = parse_conllu(
    "1\tdog\t_\tNOUN\tNN\t_\t_\t_\t_\t_\n2\tzebra\t_\tVERB\tVBZ\t_\t_\t_\t_\t_\n"
    "3\tx\t_\t_\t_\t_\t_\t_\t_\t_\n4\tdog\t_\tALIEN\t_\t_\t_\t_\t_\t_\n\n"
)


@pytest.fixture
def tagger() -> Tagger:
    """Tags every word as NOUN, with 80 % confidence."""
    tagger = Tagger.build(SMALL, SENTENCES)
    with torch.no_grad():
        tagger.head.weight.zero_()
        tagger.head.bias.zero_()
        tagger.head.bias[tagger.tag_names.index("NOUN")] = math.log(4 * (len(tagger.tag_names) - 1))
    return tagger


def test_evaluate(tagger: Tagger) -> None:
    report = evaluate(tagger, GOLD, known=distinct_words(SENTENCES))["upos"]
    assert report.accuracy == Accuracy(words=3, correct=1, unknown_words=1, unknown_correct=0)
    assert str(report) == str(report.accuracy) == "33.33 % of 3 words, 0.00 % of 1 unknown words"
    assert report.confusions == {("NOUN", "NOUN"): 1, ("VERB", "NOUN"): 1, ("ALIEN", "NOUN"): 1}
    assert report.unseen == 1
    assert report.by_tag == [
        TagAccuracy("ALIEN", 1, 0, 0), TagAccuracy("NOUN", 1, 3, 1), TagAccuracy("VERB", 1, 0, 0)
    ]  # fmt: skip
    noun, verb = report.by_tag[1:]
    assert (noun.precision, noun.recall, noun.f1) == pytest.approx((1 / 3, 1, 1 / 2))
    assert math.isnan(verb.precision)
    assert (verb.recall, verb.f1) == (0, 0)
    assert report.calibration.error == pytest.approx(0.8 - 1 / 3)


def test_evaluate_every_column() -> None:
    tagger = Tagger.build(replace(SMALL, columns=("xpos", "upos")), SENTENCES)
    reports = evaluate(tagger, GOLD, known=frozenset())
    assert [(column, report.accuracy.words) for column, report in reports.items()] == [("xpos", 2), ("upos", 3)]
    assert {report.accuracy.unknown_words for report in reports.values()} == {2, 3}


def test_what_the_temperature_did_is_undone(tagger: Tagger) -> None:
    before = evaluate(tagger, GOLD, known=frozenset())["upos"]
    assert before.uncalibrated.error == pytest.approx(before.calibration.error)
    tagger.calibrate({"upos": 2.5})
    after = evaluate(tagger, GOLD, known=frozenset())["upos"]
    assert after.uncalibrated.error == pytest.approx(before.calibration.error, abs=1e-6)
    assert after.calibration.error < before.calibration.error


def test_fitted_temperatures(tagger: Tagger) -> None:
    wanted = fitted_temperatures(tagger, SENTENCES)
    assert wanted["upos"] > 1  # it is right about a fifth of the words
    tagger.calibrate({"upos": 3.0})
    assert fitted_temperatures(tagger, SENTENCES) == pytest.approx(wanted, rel=1e-3)
    tagger.calibrate(wanted)
    assert evaluate(tagger, SENTENCES, frozenset())["upos"].calibration.error < 0.01


def test_accuracy_of_nothing(tagger: Tagger) -> None:
    nothing = evaluate(tagger, [], known=frozenset())["upos"]
    assert math.isnan(nothing.accuracy.share)
    assert math.isnan(nothing.accuracy.unknown_share)
    assert math.isnan(nothing.calibration.error)
    assert nothing.by_tag == []
