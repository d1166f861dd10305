"""Tensors whose storage was freed, or is too short for them, are rejected on every path."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import HiddenStateError

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def cut(value: Tensor, nbytes: int) -> Tensor:
    """The same tensor, with a storage of this many bytes."""
    value.untyped_storage().resize_(nbytes)
    return value


def shortened(*shape: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """Tensors of one shape, each of which reads past the end of its storage in a different way."""
    whole = torch.zeros(shape, dtype=dtype)
    for nbytes in (0, whole.itemsize, whole.nbytes - 1):
        yield cut(whole.clone(), nbytes)
    larger = torch.zeros(3, *shape, dtype=dtype)  # a view that does not begin with the first number
    for nbytes in (larger.nbytes - 1, 2 * whole.nbytes, whole.nbytes):
        yield cut(larger.clone()[2], nbytes)
    wide = torch.zeros(*shape, 2, dtype=dtype)  # a view with gaps
    yield cut(wide[..., 0], wide.nbytes // 2)


def refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except HiddenStateError as error:
        return "memory was freed" in str(error)
    return False


def paths(call: Callable[[], Any]) -> None:
    """Check that a call is rejected with and without gradients, and on the reference."""
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert refused(call)
            with hs.backend("reference"):
                assert refused(call)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_input_that_is_cut_short_is_refused(dtype: torch.dtype) -> None:
    lstm = hs.LSTM(4, 3, dtype=dtype)
    for x in shortened(5, 2, 4, dtype=dtype):
        paths(lambda x=x: lstm(x))  # type: ignore[misc]
        paths(lambda x=x: lstm.trace(x))  # type: ignore[misc]
        paths(lambda x=x: lstm.stream(2).feed(x))  # type: ignore[misc]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_state_that_is_cut_short_is_refused(dtype: torch.dtype) -> None:
    lstm, x, whole = hs.LSTM(4, 3, dtype=dtype), torch.randn(5, 2, 4, dtype=dtype), torch.zeros(1, 2, 3, dtype=dtype)
    for state in shortened(1, 2, 3, dtype=dtype):
        paths(lambda state=state: lstm(x, (state, whole)))  # type: ignore[misc]
        paths(lambda state=state: lstm(x, (whole, state)))  # type: ignore[misc]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_cell_reads_and_is_cut_short_is_refused(dtype: torch.dtype) -> None:
    cell, x, whole = hs.LSTMCell(4, 3, dtype=dtype), torch.randn(2, 4, dtype=dtype), torch.zeros(2, 3, dtype=dtype)
    for short in shortened(2, 4, dtype=dtype):
        paths(lambda short=short: cell(short))  # type: ignore[misc]
    for state in shortened(2, 3, dtype=dtype):
        paths(lambda state=state: cell(x, (state, whole)))  # type: ignore[misc]
        paths(lambda state=state: cell(x, (whole, state)))  # type: ignore[misc]


def test_lengths_and_resets_that_are_cut_short_are_refused() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    for lengths in shortened(2, dtype=torch.int64):
        paths(lambda lengths=lengths: lstm(x, lengths=lengths))  # type: ignore[misc]
    for reset in shortened(5, 2, dtype=torch.bool):
        paths(lambda reset=reset: lstm(x, reset=reset))  # type: ignore[misc]


@pytest.mark.parametrize("share", [0, 0.1, 0.99])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"])
def test_a_weight_that_is_cut_short_is_refused(name: str, dtype: torch.dtype, share: float) -> None:
    lstm, x = hs.LSTM(4, 6, proj_size=3, dtype=dtype), torch.randn(5, 2, 4, dtype=dtype)
    cut(getattr(lstm, name).data, int(share * getattr(lstm, name).nbytes))
    for call in (lambda: lstm(x), lambda: lstm.trace(x), lambda: lstm.stream(2).step(x[0])):
        paths(call)
    if dtype is torch.float32:
        with torch.autocast("cpu", torch.bfloat16):
            assert refused(lambda: lstm(x))


@pytest.mark.parametrize("share", [0, 0.1, 0.99])
@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_a_weight_of_a_cell_that_is_cut_short_is_refused(name: str, share: float) -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    cut(getattr(cell, name).data, int(share * getattr(cell, name).nbytes))
    paths(lambda: cell(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_that_is_cut_short_is_refused_on_the_quick_way_too(dtype: torch.dtype) -> None:
    stream, whole = hs.LSTM(4, 3, dtype=dtype).stream(2), torch.randn(2, 4, dtype=dtype)
    stream.step(whole)
    stream.step(whole)
    before = stream.state[0]
    for x in shortened(2, 4, dtype=dtype):
        assert refused(lambda x=x: stream.step(x))  # type: ignore[misc]
    for out in shortened(2, 3, dtype=dtype):
        assert refused(lambda out=out: stream.step(whole, out=out))  # type: ignore[misc]
    assert torch.equal(before, stream.state[0])
    assert stream.t == 2


@pytest.mark.parametrize("what", ["out", "x", "weight"])
def test_what_a_gradient_needs_and_is_cut_short_is_refused(what: str) -> None:
    """Between forward and backward; torch itself only checks versions, which do not change."""
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4, requires_grad=True)
    out, _ = lstm(x)
    loss = out.sum()
    cut({"out": out, "x": x, "weight": lstm.weight_hh_l0}[what].data, 8)
    with pytest.raises(HiddenStateError, match="memory was freed"):
        loss.backward()


def test_they_are_refused_without_torchs_table_of_functions_too() -> None:
    """As in older versions of torch, for which attributes are read."""
    code = """
import torch
if hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
    del torch.Tensor.__dlpack_c_exchange_api__
import hiddenstate as hs
lstm, cell, x = hs.LSTM(4, 3), hs.LSTMCell(4, 3), torch.randn(5, 2, 4)
stream = lstm.stream(2)
stream.step(x[0]), stream.step(x[1])
whole = lstm(x), cell(x[0])
short = x[0].clone()
short.untyped_storage().resize_(31)
for each in (lstm, cell):
    next(each.parameters()).data.untyped_storage().resize_(191)
for call in (lambda: lstm(x), lambda: cell(x[0]), lambda: stream.step(short), lambda: lstm(short)):
    try:
        call()
    except hs.errors.DtypeError as error:
        assert "memory was freed" in str(error)
    else:
        raise AssertionError("it was read")
"""
    paths = os.pathsep.join([str(Path(hs.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
