"""The native GRU and plain RNN: their records and streams; extremes. (`attacks.calls` compares random calls.)"""

import re
import statistics
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from attacks.calls import Case
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine import kernels
from support import LAYERS, draws, share

TOLERANCE = {
    torch.float32: 3e-5,
    torch.float64: 1e-12,
    torch.bfloat16: 0.2,
}  # the reference rounds each sum
KINDS: dict[str, Any] = {layer.__name__: layer for layer in LAYERS if layer is not hs.LSTM}


def test_the_native_table_is_that_of_python() -> None:
    path = Path(__file__).parents[2] / "native" / "kernel" / "kinds.h"
    rows = re.findall(r"^    X\((.*?)\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    for row, cell in zip((re.split(r", ", row) for row in rows), CELLS.values(), strict=False):
        name, kind, header, sets, setting, order, recorded, has_memory = row
        assert (name, kind, header, setting) == (cell.name, name.lower(), cell.label.lower(), f'"{cell.setting}"')
        assert (sets == "every", has_memory == "true") == (cell.is_additive, cell.memory == "c")
        assert (order, int(recorded)) == (f'"{" ".join(cell.gate_names)}"', len(cell.recorded_gates))


def assert_close(found: list[Tensor | None], wanted: list[Tensor | None], dtype: torch.dtype, what: object) -> None:
    for k, (got, want) in enumerate(zip(found, wanted, strict=True)):
        if got is None or want is None:
            assert not any(value is not None and value.any() for value in (got, want)), (what, k)
        elif want.numel():
            assert got.dtype is want.dtype
            assert (got - want).abs().max() <= TOLERANCE[dtype] * (1e-3 + want.abs().max()), (what, k)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind != "LSTM"])
def test_random_calls_are_the_references_and_torchs(kind: str, dtype: torch.dtype) -> None:
    for seed in range(draws(50)):
        case = Case(seed, kind, dtype)
        if case.is_coarse:
            continue
        got = case.results("run")
        want = case.by_reference("run", case.sides("run", got.values))
        assert_close([*got.values, *got.gradients], [*want.values, *want.gradients], dtype, case)
        if case.reset is None and case.lengths is None and not case.edits and not case.has_near_zeros():
            theirs = case.results("by_torch", case.theirs)
            assert_close([*got.values, *got.gradients], [*theirs.values, *theirs.gradients], dtype, case)


@pytest.mark.parametrize("kind", CELLS)
def test_bfloat16_is_near_to_float64(kind: str) -> None:
    errors = []
    for seed in range(draws(25)):
        case = Case(seed, kind, torch.bfloat16)
        got = case.results("run")
        exact = case.in_float64().by_reference("run", case.sides("run", got.values))
        errors.append(max(map(share, (*got.values, *got.gradients), (*exact.values, *exact.gradients))))
    assert statistics.median(errors) <= 0.01
    assert max(errors) <= 0.05


@pytest.mark.skipif(not kernels.isas(), reason="there is no native module")
@pytest.mark.parametrize("kind", KINDS)
def test_they_run_natively(kind: str) -> None:
    ours, x = KINDS[kind], torch.ones(5, 2, 3)
    layer = ours(3, 4)
    has_fast = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # torch 2.8 has no such table
    for one, given in ((layer, x), (ours(3, 4, dtype=torch.bfloat16), x.bfloat16())):
        assert one.path(given).name == ("fast" if has_fast else "native")
    assert layer.path(x, reset=torch.zeros(5, 2, dtype=torch.bool)).name == "native"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_records_with_gradients(kind: str, dtype: torch.dtype) -> None:
    for layers in (1, 2):
        layer, x = KINDS[kind](3, 17, layers, dtype=dtype), torch.randn(5, 4, 3, dtype=dtype)
        found: list[list[Tensor | None]] = []
        for reference in (False, True):
            with hs.backend("reference") if reference else nullcontext():
                trace = layer.trace(x)
            values = [trace[name] for name in trace.names]
            weighed = torch.stack([(k + 1) * value.double().square().sum() for k, value in enumerate(values)]).sum()
            found.append([*values, *torch.autograd.grad(weighed, list(layer.parameters()))])
        assert_close(found[0], found[1], dtype, layers)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_the_whole_call(kind: str, dtype: torch.dtype) -> None:
    for layers, units in ((1, 3), (2, 17), (1, 65), (2, 130)):
        layer, x = KINDS[kind](7, units, layers, dtype=dtype), torch.randn(9, 4, 7, dtype=dtype)
        with torch.no_grad():
            want, _ = layer(x)
            stream = layer.stream(4)
            got = torch.stack([stream.step(one) for one in x])
        assert_close([got], [want], dtype, (layers, units))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_extremes_of_a_plain_rnn(nonlinearity: str) -> None:
    """Infinite, NaN and huge numbers give torch's results, and so do their gradients."""
    theirs = nn.RNN(3, 5, nonlinearity=nonlinearity)
    ours = hs.RNN(3, 5, nonlinearity=nonlinearity)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 6, 3)
    x[1, :5, 0] = torch.tensor([float("inf"), -float("inf"), float("nan"), 3e38, -1e-45])
    found = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        out, h_n = layer(given)
        found.append([out, h_n, *torch.autograd.grad(out.nan_to_num().sum(), given)])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, equal_nan=True, atol=1e-6, rtol=1e-5)


def test_rows_of_no_steps_of_a_plain_rnn() -> None:
    rnn, h0 = hs.RNN(3, 5, 2), torch.randn(2, 4, 5, requires_grad=True)
    out, h_n = rnn(torch.randn(3, 4, 3), h0, lengths=torch.tensor([0, 3, 0, 1]))
    assert torch.equal(h_n[:, [0, 2]], h0[:, [0, 2]])
    assert not out[:, [0, 2]].any()
    (gradient,) = torch.autograd.grad(h_n.sum(), h0)
    assert torch.equal(gradient[:, [0, 2]], torch.ones(2, 2, 5))
