"""The reference compared with its definition, and its derivatives with finite differences."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import hiddenstate as hs
from hiddenstate.cells.cell import Weights, ignore
from hiddenstate.cells.lstm import step
from support import LAYERS, random_input, random_state

OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"num_layers": 2, "dropout": 0.5},
    {"bidirectional": True},
    {"proj_size": 1},
    {"num_layers": 2, "bidirectional": True, "proj_size": 1},
]
CALLS: list[dict[str, Any]] = [
    {},
    {"lengths": [3, 0]},
    {"reset": torch.tensor([[False, True], [False, False], [True, True]])},
    {"lengths": [1, 3], "reset": torch.tensor([[True, False], [False, True], [False, False]])},
]
EDITS: list[list[hs.Edit]] = [
    [hs.zero("l0.f", t=1)],
    [hs.set("l0.c", to=0.3, unit=0, t=1, row=0)],
    [hs.scale("l0.o_pre", by=0.5), hs.add("l0.i", value=0.1, t=slice(1, None))],
    [hs.set("l0.h", to=0.2, unit=[0], scope="readout", t=0), hs.scale("l0.g", by=2.0, scope="readout", t=1)],
]


def test_the_six_equations_by_hand() -> None:
    """One unit, one feature: each number of the definition computed with Python floats."""
    from math import exp, tanh

    def sigmoid(v: float) -> float:
        return 1 / (1 + exp(-v))

    def tensor(value: object) -> Tensor:
        return torch.tensor(value, dtype=torch.float64)

    w = Weights(
        ih=tensor([[1.0], [2], [3], [4]]),
        hh=tensor([[0.5], [-1], [0.25], [1]]),
        b_ih=tensor([0.1, 0.2, 0.3, 0.4]),
        b_hh=tensor([0.0, -0.1, 0.1, 0.2]),
        hr=None,
    )
    x, h, c = 0.5, -0.2, 0.7
    i, f = sigmoid(1 * x + 0.1 + 0.5 * h), sigmoid(2 * x + 0.2 - 1 * h - 0.1)
    g, o = tanh(3 * x + 0.3 + 0.25 * h + 0.1), sigmoid(4 * x + 0.4 + 1 * h + 0.2)
    want_c = f * c + i * g
    at = [tensor([[v]]) for v in (x, h, c)]
    got_h, got_c = step(torch.nn.functional.linear(at[0], w.ih, w.b_ih), (at[1], at[2]), w, ignore)
    assert got_c.item() == pytest.approx(want_c, rel=1e-14)
    assert got_h.item() == pytest.approx(o * tanh(want_c), rel=1e-14)


def _function(lstm: hs.LSTM, edits: list[hs.Edit], call: dict[str, Any]) -> Any:
    names = [name for name, _ in lstm.named_parameters()]

    def function(x: Tensor, h0: Tensor, c0: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(5)  # the same dropout at each evaluation
        values = dict(zip(names, parameters, strict=True))
        with hs.backend("reference"), lstm.edit(*edits):
            out, (h_n, c_n) = torch.func.functional_call(lstm, values, (x, (h0, c0)), call)
        return out, h_n, c_n

    return function


def _checked(options: dict[str, Any], call: dict[str, Any], edits: list[hs.Edit]) -> None:
    lstm = hs.LSTM(2, 2, dtype=torch.float64, **options)
    if lstm.batch_first and "reset" in call:
        call = {**call, "reset": call["reset"].T}
    inputs = (random_input(lstm, 3, 2, grad=True), *random_state(lstm, 2, grad=True), *lstm.parameters())
    function = _function(lstm, edits, call)
    assert gradcheck(function, inputs, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_derivatives_of_every_option(options: dict[str, Any]) -> None:
    _checked(options, {}, [])


@pytest.mark.parametrize("call", CALLS, ids=["plain", "lengths", "reset", "both"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_derivatives_of_every_call(call: dict[str, Any], bidirectional: bool) -> None:
    _checked({"bidirectional": bidirectional}, call, [])


@pytest.mark.parametrize("edits", EDITS, ids=["zero", "set", "scale and add", "readout"])
def test_derivatives_under_edits(edits: list[hs.Edit]) -> None:
    _checked({}, {}, edits)


@pytest.mark.parametrize("kind", LAYERS)
def test_final_states_may_be_changed_in_place(kind: Any) -> None:
    layer = kind(4, 3)
    with hs.backend("reference"):
        out, state = layer(torch.randn(5, 2, 4))
    for part in state if isinstance(state, tuple) else (state,):
        part.mul_(2)
    out.sum().backward()


def test_a_wrong_derivative_fails() -> None:
    """The check can fail: it detects the wrong gradient of a detached state."""

    def function(x: Tensor) -> Tensor:
        return x.detach() * x

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(function, torch.randn(3, dtype=torch.float64, requires_grad=True))
