"""Arrays to tensors and back: types, byte orders, read-only memory."""

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from hiddenstate.errors import ArgumentTypeError, MissingDependencyError
from hiddenstate.interop.layouts import to_array, to_tensor
from interop.frameworks import jnp

TYPES = ["float16", "float32", "float64", "int32", "bfloat16"]


@pytest.mark.parametrize("dtype", TYPES)
def test_there_and_back(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype if dtype != "bfloat16" else ml_dtypes.bfloat16)
    tensor = to_tensor(array, "x")
    assert tensor.dtype == getattr(torch, dtype)
    assert tensor.tolist() == array.tolist()
    back = to_array(tensor)
    assert back.dtype == array.dtype
    assert (back == array).all()
    array[:] = 0
    assert tensor.any()
    assert back.any()


def test_what_torch_does_not_take_as_it_is() -> None:
    read_only = np.ones(2, np.float32)
    read_only.flags.writeable = False
    others: list[Any] = [read_only, np.ones(2, ">f4"), np.ones((2, 2), np.float32)[:, 0], jnp.ones(2), [1.0, 1.0]]
    for value in others:
        assert to_tensor(value, "x").tolist() == [1, 1]


def test_a_tensor_is_taken_without_its_gradient() -> None:
    given = torch.ones(2, requires_grad=True)
    assert not to_tensor(given, "x").requires_grad
    assert to_array(given).tolist() == [1, 1]


def test_what_is_no_array_fails() -> None:
    for value in ("text", None, {"a": 1}, np.array(["a"])):
        with pytest.raises(ArgumentTypeError, match="x must be an array of numbers, got"):
            to_tensor(value, "x")


def test_bfloat16_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(MissingDependencyError, match="NumPy has no bfloat16 without ml_dtypes: pip install ml_dtypes"):
        to_array(torch.ones(2, dtype=torch.bfloat16))
