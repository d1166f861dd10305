"""Arguments of a wrong type, and those that ask for nothing, are refused by an error of ours."""

from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError


@pytest.mark.parametrize(
    "wrong", [{"points": "a"}, {"points": 1.5}, {"samples": "a"}, {"samples": True}, {"seed": "a"}, {"seed": None}]
)
def test_numbers_of_attribute(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentTypeError, match=next(iter(wrong))):
        hs.explain.attribute(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.h[0]", **wrong)


def test_method_of_attribute() -> None:
    with pytest.raises(ArgumentError, match="unknown method"):
        hs.explain.attribute(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.h[0]", method=["shapley"])  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"places": None}, {"places": ["*.c"]}, {"units": 3}])
def test_what_sweep_patches(wrong: dict[str, Any]) -> None:
    x = torch.randn(4, 2)
    with pytest.raises(ArgumentTypeError, match=next(iter(wrong))):
        hs.explain.sweep(hs.LSTM(2, 3), x, x + 1, of="l0.h[0]", **wrong)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": -1}, {"steps": []}, {"steps": slice(9, 12)}])
def test_a_sweep_of_nothing(wrong: dict[str, Any]) -> None:
    x = torch.randn(4, 2)
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        hs.explain.sweep(hs.LSTM(2, 3), x, x + 1, of="l0.h[0]", mode="gradient+exact", **wrong)


def test_input_of_fixed_points() -> None:
    with pytest.raises(ArgumentTypeError, match="tensor"):
        hs.explain.dynamics(hs.LSTM(2, 3)).fixed_points([0.0, 0.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("folder", [3, None, b"tagger-en"])
def test_the_name_of_a_model(folder: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="a path or a name"):
        hs.load(folder)
