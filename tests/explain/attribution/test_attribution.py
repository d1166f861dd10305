"""Attributions: occlusion row by row, baselines, spans, and the display and storage of results."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, ShapeError
from hiddenstate.explain.attribution.methods import METHODS, Method
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.models.model_folder import load_language_model, load_tagger, shipped
from random_lstms import every_kind, random_lstm, subject_of


@pytest.fixture(scope="module")
def sentence() -> Subject:
    return hs.explain.subject(load_tagger(shipped()), "The old man the boats .")


OF = hs.explain.logit("NOUN", word="man", against="VERB")


def test_every_method_is_there() -> None:
    assert set(METHODS) == set(get_args(Method))


@every_kind
@pytest.mark.parametrize("state", ["baseline", "player"])
def test_occlusion_is_what_one_run_after_another_gives(kind: str, state: Any) -> None:
    subject = subject_of(random_lstm(kind))
    base = torch.randn_like(subject.x[:, 0])
    found = hs.explain.attribute(
        subject, of=hs.explain.logit("2", word=4), method="occlusion", baseline=base, state=state
    )
    whole = subject.run().logits[4, 0, 2].item()
    want = []
    if state == "player":
        h0, c0 = subject.initial
        want.append(whole - subject.run(state=(0 * h0, 0 * c0)).logits[4, 0, 2].item())
    for t in range(subject.T):
        x = subject.x.clone()
        x[t, 0] = base[t]
        want.append(whole - subject.run(x).logits[4, 0, 2].item())
    assert found.scores.tolist() == pytest.approx(want, abs=1e-12)
    assert found.cost == subject.T * (len(want) + 2)


def test_spans_alone_and_together() -> None:
    subject = subject_of(random_lstm("two layers, both directions"))
    found = hs.explain.attribute(
        subject, of=hs.explain.logit("2"), method="occlusion", baseline="zero", spans=[(4, 7), (0, 2)]
    )

    def value(*gone: slice) -> float:
        x = subject.x.clone()
        for steps in gone:
            x[steps] = 0
        return float(subject.run(x).logits[-1, 0, 2])

    first, second = slice(0, 2), slice(4, 7)
    assert found.scores.tolist() == pytest.approx([value() - value(first), value() - value(second)])
    assert found.alone is not None
    none = value(first, second)
    assert found.alone[0].tolist() == pytest.approx([value(second) - none, value(first) - none])
    assert found.between(0, 1) == pytest.approx(value() - value(first) - value(second) + none)
    shapley = hs.explain.attribute(subject, of=hs.explain.logit("2"), baseline="zero", spans=[(0, 2), (4, 7)])
    assert shapley.between(0, 1) == pytest.approx(found.between(0, 1))  # with two players the two are the same
    assert "Two together" in str(found)


def test_baselines_side_by_side(sentence: Subject) -> None:
    given = torch.randn(sentence.x.shape[-1])
    both = hs.explain.attribute(sentence, of=OF, method="occlusion", baseline=["unk", given, "zero"])
    assert both.baselines == ("unk", "given 1", "zero")
    baselines: list[str | torch.Tensor] = ["unk", given, "zero"]
    for number, baseline in enumerate(baselines):
        one = hs.explain.attribute(sentence, of=OF, method="occlusion", baseline=baseline)
        assert torch.allclose(one.parts[0], both.parts[number], atol=1e-6)
    assert len(both.rows()) == 18
    assert str(both).count("with all replaced") == 3


def test_each_model_has_its_own_baseline(sentence: Subject) -> None:
    assert hs.explain.attribute(sentence, of=OF, method="occlusion").baselines == ("unk",)
    language = hs.explain.subject(load_language_model(shipped("shakespeare")), "To b")
    found = hs.explain.attribute(language, of=hs.explain.log_probability("e"), method="occlusion")
    assert found.baselines == ("mean",)
    plain = hs.explain.attribute(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.c[1]", method="occlusion")
    assert plain.baselines == ("zero",)
    mean = hs.explain.attribute(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.c[1]", method="occlusion", baseline="mean")
    assert mean.baselines == ("mean",)


@pytest.mark.parametrize("method", METHODS)
def test_results_are_shown_and_kept(sentence: Subject, method: Any, tmp_path: Path) -> None:
    found = hs.explain.attribute(sentence, of=OF, method=method, spans=[(0, 2), (2, 3), (3, 5)])
    text = str(found)
    assert text.startswith("What makes the logit of NOUN minus that of VERB at man (step 2) +6.4")
    assert "The old" in text
    assert method == "occlusion" or "occlusion" in text
    frame = found.to_dataframe()
    assert list(frame["word"]) == ["The old", "man", "the boats"]
    assert frame["part"].tolist() == found.scores.tolist()
    found.save(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert (data["kind"], data["method"]) == ("attribution", method)
    assert data["parts"] == found.parts.tolist()
    assert data["players"][0] == {"name": "The old", "start": 0, "stop": 2}
    assert found.to_csv().splitlines()[0].startswith("start,stop,word,baseline,part")
    assert found.plot().axes
    assert all(len(line) <= 80 for line in text.splitlines())


def test_occlusion_can_be_left_out(sentence: Subject) -> None:
    for method in METHODS:
        found = hs.explain.attribute(sentence, of=OF, method=method, occlusion=False)  # type: ignore[call-overload]
        assert (found.occlusion is None) == (method != "occlusion")
        assert found.disagreements == ()


def test_what_disagrees_is_marked() -> None:
    found = hs.explain.attribute(subject_of(random_lstm("two layers")), of=hs.explain.logit("2"), method="gradient")
    assert found.occlusion is not None
    part = found.parts[0] / found.parts[0].abs().max()
    gone = found.occlusion[0] / found.occlusion[0].abs().max()
    want = [
        p
        for p, (a, b) in enumerate(zip(part.tolist(), gone.tolist(), strict=True))
        if (a * b < 0 and min(abs(a), abs(b)) > 0.1) or (max(abs(a), abs(b)) > 0.25 and min(abs(a), abs(b)) < 0.05)
    ]
    assert list(found.disagreements) == want
    assert [row["disagrees"] for row in found.rows()] == [p in want for p in range(7)]
    assert ("≠" in str(found)) == bool(want)


def test_a_row_of_many() -> None:
    lstm = random_lstm("both directions")
    x = torch.randn(5, 3, 3, dtype=torch.float64)
    one = hs.explain.attribute(lstm, x[:3, 1], of="l0.c[2]@1")
    many = hs.explain.attribute(lstm, x, lengths=[5, 3, 2], of="l0.c[2]@1,n=1")
    assert torch.allclose(one.parts, many.parts, atol=1e-12)
    assert one.words == many.words == ("0", "1", "2")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"method": "lime"}, ArgumentError, "unknown method 'lime': expected one of shapley"),
        ({"baseline": "unk"}, ArgumentError, "no baseline 'unk' here; choose zero mean"),
        ({"baseline": torch.zeros(4)}, ShapeError, "a baseline must have shape"),
        ({"baseline": 3}, ArgumentTypeError, "a baseline must be a name or a tensor"),
        ({"baseline": []}, ArgumentError, "baseline= is empty"),
        ({"spans": []}, ArgumentError, "spans= is empty"),
        ({"spans": [(0, 3), (2, 4)]}, ArgumentError, "spans overlap at step 2"),
        ({"spans": [(3, 3)]}, IndexRangeError, "does not fit"),
        ({"spans": [(3, 9)]}, IndexRangeError, "does not fit"),
        ({"spans": [3]}, ArgumentTypeError, "spans must be pairs"),
        ({"state": "zero"}, ArgumentError, "state must be"),
        ({"points": 0}, ArgumentError, "points must be at least 1"),
        ({"samples": -1}, ArgumentError, "samples must be at least 1"),
    ],
)
def test_bad_options_fail(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        hs.explain.attribute(subject_of(random_lstm("two layers")), of=hs.explain.logit("2"), **options)
