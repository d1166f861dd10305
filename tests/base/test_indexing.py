import re

import numpy as np
import pytest
import torch

from hiddenstate.base.indexing import freeze, resolve
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError


@pytest.mark.parametrize(
    ("index", "want"),
    [
        (None, None),
        (2, 2),
        (np.int64(2), 2),
        (torch.tensor(2), 2),
        (slice(1, 3), slice(1, 3)),
        ([1, 2], (1, 2)),
        (range(2**62), range(2**62)),
        (slice(np.int64(1), None), slice(1, None)),
        (torch.tensor([2, 1]), (2, 1)),
        (np.array([2, 1]), (2, 1)),
        ([], ()),
    ],
)
def test_freeze(index: object, want: object) -> None:
    assert freeze(index, "t") == want  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "index",
    [1.5, True, "1", [1.0], [True], torch.tensor(1.0), torch.tensor([True]), torch.zeros(2, 2).long(), np.array([0.5])],
)
def test_freeze_fails(index: object) -> None:
    with pytest.raises(ArgumentTypeError, match="t= must be an int, a slice, a sequence of ints or None, got"):
        freeze(index, "t")  # type: ignore[arg-type]


def test_resolve() -> None:
    assert resolve(None, 2**62, "t") == range(2**62)
    assert resolve(-1, 3, "t") == [2]
    assert resolve(slice(None, None, 2), 5, "t") == range(0, 5, 2)
    assert not resolve(slice(7, 9), 5, "t")
    assert resolve((2, -3), 3, "t") == [2, 0]
    assert resolve(range(2, 2**61, 3), 2**62, "t") == range(2, 2**61, 3)
    assert resolve(range(-1, -4, -1), 3, "t") == [2, 1, 0]
    assert not resolve(range(9, 9), 3, "t")


def test_resolve_fails() -> None:
    with pytest.raises(IndexRangeError, match=r"t=3 is out of range: there are 3, so it must be in 0..2"):
        resolve(3, 3, "t")
    with pytest.raises(IndexRangeError, match="row=0 is out of range: there are 0, so nothing can be chosen"):
        resolve(0, 0, "row")
    with pytest.raises(ArgumentError, match=r"t=\[1, 1\] repeats a position"):
        resolve((1, -2), 3, "t")
    with pytest.raises(ArgumentError, match="repeats a position"):
        resolve(range(-3, 1), 3, "t")
    for far in (range(2**62), range(-(2**70), 0), (10**5000,)):
        with pytest.raises(IndexRangeError, match="is out of range: there are 3") as raised:
            resolve(far, 3, "t")
        assert len(str(raised.value)) < 200


def test_messages_are_short() -> None:
    with pytest.raises(ArgumentError, match=re.escape("unit=[0, 0, 0, 0, 0, 0, 0, 0, ...] repeats a position")):
        resolve((0,) * 10**6, 3, "unit")
    with pytest.raises(ArgumentTypeError, match="unit= must be an int") as raised:
        freeze([0.5] * 10**6, "unit")  # type: ignore[list-item]
    assert len(str(raised.value)) < 200


def test_slices_are_checked_when_given() -> None:
    with pytest.raises(ArgumentError, match="has step 0"):
        freeze(slice(0, 5, 0), "t")
    with pytest.raises(ArgumentTypeError, match="t= must be an int, a slice"):
        freeze(slice("a"), "t")
