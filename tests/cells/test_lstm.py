"""The LSTM cell's description agrees with its own step: equations, derivative, and what is kept and written."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hiddenstate.cells.cell import Cell, Gate, Weights
from hiddenstate.cells.lstm import LSTM


def one_step(cell: Cell, seed: int, H: int = 3, N: int = 2) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the values of a random step in float64 as they were computed, and each as a leaf for autograd."""
    draw = torch.Generator().manual_seed(seed)
    rows = len(cell.gates) * H
    values: dict[str, Tensor] = {}

    def see(name: str, value: Tensor) -> Tensor:
        values[name] = value.detach().clone().requires_grad_()
        return values[name]

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    h, c = random(N, H), random(N, H).requires_grad_()
    weights = Weights(random(rows, 1), random(rows, H), None, None, None)
    new_h, new_c = cell.step(random(N, rows), h, c, weights, see)
    assert new_h is values["h"]
    assert new_c is values["c"]
    return values, values | {"c_prev": c}


def evaluated(cell: Cell, state: str, leaves: Mapping[str, Tensor]) -> Tensor:
    """Compute a state from its equation's text."""
    (text,) = (each.equation("*") for each in cell.states if each.name == state)
    value: Tensor = eval(re.sub(r"\btanh\b", "torch.tanh", text), {"torch": torch, **leaves})
    return value


@pytest.mark.parametrize("seed", range(3))
def test_the_equations_compute_what_the_step_computes(seed: int) -> None:
    values, leaves = one_step(LSTM, seed)
    for state in LSTM.state_names:
        torch.testing.assert_close(evaluated(LSTM, state, leaves), values[state], rtol=1e-14, atol=1e-15)


def test_the_equations_compute_what_the_step_computes_fails() -> None:
    c, h = LSTM.states
    wrong = replace(LSTM, states=(replace(c, terms=(("i", "c_prev"), ("f", "g"))), h))
    values, leaves = one_step(wrong, 0)
    assert not torch.allclose(evaluated(wrong, "c", leaves), values["c"])


@pytest.mark.parametrize("seed", range(3))
def test_the_slopes_are_those_of_autograd(seed: int) -> None:
    _, leaves = one_step(LSTM, seed)
    slopes = LSTM.slopes({name: value.detach() for name, value in leaves.items()})
    assert tuple(slopes) == LSTM.state_names
    for state, by in slopes.items():
        grads = torch.autograd.grad(
            evaluated(LSTM, state, leaves).sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        for name, grad in zip(leaves, grads, strict=True):
            torch.testing.assert_close(by.get(name, torch.zeros_like(grad)), grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("gate", LSTM.gates, ids=lambda gate: gate.name)
def test_a_gates_slope_is_that_of_its_activation(gate: Gate) -> None:
    pre = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    value = gate(pre)
    (grad,) = torch.autograd.grad(value.sum(), pre)
    torch.testing.assert_close(gate.slope(value.detach()), grad, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_memory_is_what_was_kept_plus_what_was_written(seed: int) -> None:
    values, leaves = one_step(LSTM, seed)
    keep, write, show = LSTM.split(leaves)
    torch.testing.assert_close(
        keep * leaves["c_prev"] + write * values[LSTM.candidate], values[LSTM.memory], rtol=1e-14, atol=1e-15
    )
    torch.testing.assert_close(show * values[LSTM.memory], values["h"], rtol=1e-12, atol=1e-15)


def test_names_rows_and_meanings() -> None:
    assert LSTM.gate_names == ("i", "f", "g", "o")
    assert [LSTM.rows(gate, 5) for gate in "ifgo"] == [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20)]
    assert [LSTM.state_read_by(gate) for gate in "ifgo"] == ["c", "c", "c", "h"]
    assert LSTM.meanings["f"] == "forget gate"
    assert math.isclose(LSTM.gate_by_name["g"](torch.tensor(0.5)).item(), math.tanh(0.5), rel_tol=1e-6)
