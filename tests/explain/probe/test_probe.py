"""A probe finds a planted label, is at chance for shuffled ones, and its controls expose memorising."""

import json
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError
from hiddenstate.explain.probe.linear import fit_eraser, interval
from support import needs

pytestmark = needs("sklearn")


def data_of(count: int = 60, T: int = 12) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(T, 4, generator=generator) for _ in range(count)]


def lstm() -> hs.LSTM:
    torch.manual_seed(0)
    return hs.LSTM(4, 12).eval()


XS = data_of()
SIGNS = [["plus" if v > 0 else "minus" for v in x[:, 0].tolist()] for x in XS]


def test_a_label_in_the_states_is_found_and_erased() -> None:
    found = hs.explain.probe(lstm(), XS, SIGNS)
    scores = found.scores
    assert scores["probe"].low > 0.8
    assert abs(scores["erased"].value - 0.5) < 0.1
    assert scores["majority"].value < 0.6
    assert list(scores) == ["probe", "untrained", "input", "majority", "erased"]
    assert [row["score"] for row in found.rows()] == list(scores)


def test_controls_that_no_probe_could_fail_are_left_out() -> None:
    """The sign of the input, from an untrained network: no input recurs, so no probe can learn its random label."""
    found = hs.explain.probe(lstm(), XS, SIGNS)
    assert found.repeated == 0
    assert {*found.void} == {"control", "word"}
    assert found.selectivity is None
    assert found.scores["input"].low > 0.9
    text = " ".join(str(found).split())
    assert "Selectivity" not in text
    assert "only 0% of the held-out steps have an input that occurs in the training half" in text
    assert "An untrained copy of the model and the input alone give about as much" in text
    assert "control task: random labels of words void" in text
    data = json.loads(found.to_json())
    assert data["selectivity"] is None
    assert data["void"] == dict(found.void)
    assert {*data["scores"]} == {"probe", "untrained", "input", "majority", "erased"}


def test_a_label_that_only_the_memory_has_is_not_in_the_input() -> None:
    previous = [["none", *signs[:-1]] for signs in SIGNS]
    scores = hs.explain.probe(lstm(), XS, previous).scores
    assert scores["input"].high < scores["probe"].low


def test_controls_by_input_need_inputs_that_recur() -> None:
    words = torch.eye(4)
    generator = np.random.default_rng(0)
    for share, is_void in ((0.3, True), (0.8, False)):
        xs = [
            torch.stack([words[generator.integers(4)] if generator.random() < share else torch.randn(4) for _ in x])
            for x in XS
        ]
        found = hs.explain.probe(lstm(), xs, SIGNS)
        assert abs(found.repeated - share) < 0.1
        assert ("control" in found.void) is ("word" in found.void) is is_void
        assert ("input" in found.scores) is is_void
    same = hs.explain.probe(lstm(), [torch.ones_like(x) for x in XS], SIGNS)
    assert same.void == {"control": "all inputs were assigned the same random label"}


def test_erasing_everything_is_no_control() -> None:
    places = [[str(t) for t in range(len(x))] for x in XS]
    found = hs.explain.probe(hs.LSTM(4, 3), XS, places)
    assert found.eraser.rank == found.eraser.span == 3
    assert found.void["erased"] == "erasing removes all 3 directions in which the states vary"
    assert "erased" not in found.scores
    assert "Erasing would show nothing" in " ".join(str(found).split())


def test_shuffled_labels_are_at_chance() -> None:
    generator = np.random.default_rng(0)
    inside = []
    for seed in range(3):
        labels = [[str(v) for v in generator.integers(0, 2, len(x))] for x in XS]
        score = hs.explain.probe(lstm(), XS, labels, seed=seed).scores["probe"]
        inside.append(score.low <= 0.5 <= score.high)
    assert sum(inside) >= 2


def test_the_controls_expose_a_probe_that_memorises() -> None:
    """With few words, and a label that depends only on the word, the control task is as easy as the task."""
    generator = np.random.default_rng(0)
    words = torch.eye(4)
    codes = [generator.integers(0, 4, 10) for _ in range(60)]
    xs = [words[torch.from_numpy(row)] for row in codes]
    labels = [["even" if k % 2 == 0 else "odd" for k in row] for row in codes]
    found = hs.explain.probe(lstm(), xs, labels)
    assert found.scores["probe"].value > 0.9
    assert found.scores["word"].value == 1.0
    assert found.scores["untrained"].value > 0.9
    assert not found.void
    assert found.repeated == 1
    assert found.selectivity is not None
    assert abs(found.selectivity) < 0.15
    assert "Selectivity" in str(found)


def test_after_erasing_states_and_labels_have_no_covariance() -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(500, 7, generator=generator, dtype=torch.float64)
    states[:, 6] = states[:, 0] * 2  # a singular covariance
    classes = (states[:, 0] + states[:, 1] > 0).long() + (states[:, 2] > 1).long()
    eraser = fit_eraser(states, classes, 3)
    erased = eraser(states)
    one = torch.nn.functional.one_hot(classes, 3).double()
    assert ((one - one.mean(0)).T @ erased / 500).abs().max() < 1e-9
    assert eraser.rank == 2
    # Of all such maps, it moves states least: no more than the orthogonal projection.
    cross = states.sub(states.mean(0)).T @ (one - one.mean(0))
    basis = torch.linalg.svd(cross)[0][:, :2]
    projected = states - (states - states.mean(0)) @ basis @ basis.T
    assert (erased - states).square().sum() <= (projected - states).square().sum() + 1e-9
    torch.testing.assert_close(eraser(erased), erased)


@pytest.mark.parametrize(("kind", "place"), [(hs.LSTM, "l0.h"), (hs.GRU, "l0.z"), (hs.RNN, "l0.h")])
def test_the_edits_erase_and_steer(kind: Any, place: str) -> None:
    torch.manual_seed(0)
    layer = kind(4, 12).eval()
    found = hs.explain.probe(layer, XS, SIGNS, place=place)
    x = torch.stack(XS[:3], 1)
    plain = layer.trace(x)[place]
    with layer.edit(found.erase(XS[:3])):
        edited = layer.trace(x)[place]
    torch.testing.assert_close(edited, found.eraser(plain))
    with layer.edit(found.steer(1.0, "plus", t=0)):
        moved = layer.trace(x)[place]
    way = (found.means[1] - found.eraser.mean).float()
    torch.testing.assert_close(moved[0], plain[0] + way)
    with pytest.raises(NameUnknownError, match="no label 'other'; the labels are minus, plus"):
        found.steer(1, "other")


def test_a_tagger_and_a_language_model_are_probed() -> None:
    tagger: Any = hs.load("tagger-en")
    model: Any = hs.load("shakespeare")
    rows = [["the", "dog", "sleeps"], ["a", "cat", "runs"], ["the", "cats", "run"], ["dogs", "sleep", "well"]] * 2
    labels = [[str(len(word) > 3) for word in row] for row in rows]
    found = hs.explain.probe(tagger, rows, labels, place="l1.h")
    with tagger.lstm.edit(found.erase(rows[:2])):
        tagger.trace(rows[:2])
    texts = ["to be\n", "or not", "that is", "the one"]
    kinds = [["blank" if c.isspace() else "letter" for c in text] for text in texts]
    found = hs.explain.probe(model, texts, kinds)
    plain = model.trace(texts[:2])["l0.h"]
    with model.lstm.edit(found.erase(texts[:2])):
        edited = model.trace(texts[:2])["l0.h"]
    torch.testing.assert_close(edited[1:, 1], found.eraser(plain[1:, 1]))


def test_an_interval_is_the_same_however_many_sequences_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    right, sequence = generator.random(70) < 0.7, np.arange(70) // 2
    whole = interval(right, sequence, 3)
    monkeypatch.setitem(interval.__globals__, "MOST_DRAWN", 35 * 7)
    assert interval(right, sequence, 3) == whole


def test_a_bfloat16_layer_is_probed() -> None:
    xs = [x.bfloat16() for x in XS[:8]]
    assert hs.explain.probe(lstm().bfloat16(), xs, SIGNS[:8]).scores["input"].value <= 1


def test_the_interval_is_over_sequences() -> None:
    right = np.repeat([True, False] * 10, 50)
    narrow, wide = interval(right, np.arange(1000), 0), interval(right, np.repeat(np.arange(20), 50), 0)
    assert narrow.value == wide.value == 0.5
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


@pytest.mark.parametrize("kind", [float, np.float32, torch.tensor])
def test_measured_numbers_are_no_labels(kind: Any) -> None:
    degrees = [[kind(round(20 + 5 * value, 1)) for value in x[:, 0].tolist()] for x in XS]
    assert isinstance(hs.explain.probe(lstm(), XS, degrees), hs.explain.NumberProbe)
    tagger: Any = hs.load("tagger-en")
    with pytest.raises(ArgumentTypeError, match=r"label 0 of labels\[0\] is the number .* Sort measured numbers into"):
        hs.explain.probe(tagger, [["a"] * 12] * 60, degrees)
    with pytest.raises(ArgumentTypeError, match=r"labels\[0\] must have one label for each step, got int"):
        hs.explain.probe(lstm(), XS, [3] * 60)


def test_class_numbers_are_labels_of_every_integer_type() -> None:
    classes: list[Any] = [(x[:, 0] > 0).long() for x in XS]
    classes[1], classes[2] = classes[1].numpy(), classes[2].tolist()
    assert hs.explain.probe(lstm(), XS, classes).labels == ("0", "1")


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"got torch\.nn\.Linear"):
        hs.explain.probe(torch.nn.Linear(2, 2), XS, SIGNS)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match="one list for each of the 60 sequences"):
        hs.explain.probe(lstm(), XS, SIGNS[:3])
    with pytest.raises(ArgumentError, match="has 12 steps but 1 labels"):
        hs.explain.probe(lstm(), XS, [["a"], *SIGNS[1:]])
    with pytest.raises(ArgumentError, match="2 to 256 different labels, got 60 and 1"):
        hs.explain.probe(lstm(), XS, [["a"] * 12] * 60)
    with pytest.raises(ArgumentError, match="at least 4 sequences with labels, .* got 3 and 2"):
        hs.explain.probe(lstm(), XS, [*SIGNS[:3], *[[None] * 12] * 57])
    with pytest.raises(ArgumentError, match=r"sequence 0 has states at l0.h that are infinite or NaN"):
        hs.explain.probe(lstm(), [x * float("nan") for x in XS], SIGNS)
    with pytest.raises(IndexRangeError, match="to=7"):
        hs.explain.probe(lstm(), XS[:8], SIGNS[:8]).steer(1, 7)
    with pytest.raises(NameUnknownError):
        hs.explain.probe(lstm(), XS, SIGNS, place="l5.h")
    with pytest.raises(ArgumentTypeError, match=r"tensors \[T, C\]"):
        hs.explain.probe(lstm(), [[1, 2]] * 4, [["a", "b"]] * 4)
