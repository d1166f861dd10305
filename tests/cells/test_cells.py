"""A cell's description agrees with its own step: equations, and its kept and written parts."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hiddenstate.cells.cell import Cell, Weights
from hiddenstate.cells.gru import GRU
from hiddenstate.cells.kinds import CELLS, cell_named
from hiddenstate.cells.lstm import LSTM
from hiddenstate.cells.rnn import RNN_TANH
from hiddenstate.errors import ArgumentError

of_every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=lambda cell: cell.name)


def one_step(cell: Cell, seed: int, H: int = 3, N: int = 2) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the computed values of a random step in float64, and each as a leaf for autograd."""
    draw = torch.Generator().manual_seed(seed)
    rows = len(cell.gates) * H
    values: dict[str, Tensor] = {}

    def see(name: str, value: Tensor) -> Tensor:
        values[name] = value.detach().clone().requires_grad_()
        return values[name]

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    before = {f"{name}_prev": random(N, H).requires_grad_() for name in cell.carried}
    weights = Weights(random(rows, 1), random(rows, H), None, None, None)
    new = cell.step(random(N, rows), tuple(before.values()), weights, see)
    assert all(state is values[name] for name, state in zip(cell.carried, new, strict=True))
    assert values.keys() == {*cell.quantities, *cell.pre_activations}
    return values, values | before


def evaluated(cell: Cell, state: str, leaves: Mapping[str, Tensor]) -> Tensor:
    """Compute a state from its equation's text."""
    (text,) = (each.equation("*") or each.name for each in cell.states if each.name == state)
    value: Tensor = eval(re.sub(r"\btanh\b", "torch.tanh", text), {"torch": torch, **leaves})
    return value


@of_every_cell
@pytest.mark.parametrize("seed", range(3))
def test_the_equations_compute_what_the_step_computes(cell: Cell, seed: int) -> None:
    values, leaves = one_step(cell, seed)
    for state in cell.state_names:
        torch.testing.assert_close(evaluated(cell, state, leaves), values[state], rtol=1e-14, atol=1e-15)
    for gate in cell.gates:
        torch.testing.assert_close(gate(values[f"{gate.name}_pre"]), values[gate.name])


def test_the_equations_compute_what_the_step_computes_fails() -> None:
    c, h = LSTM.states
    wrong = replace(LSTM, states=(replace(c, terms=(("i", "c_prev"), ("f", "g"))), h))
    values, leaves = one_step(wrong, 0)
    assert not torch.allclose(evaluated(wrong, "c", leaves), values["c"])


def pre_activations(cell: Cell, seed: int, H: int = 3, N: int = 2) -> list[tuple[Tensor, Tensor]]:
    """Return each gate's pre-activation in a random step, and ``W·x + b + scale ∘ (U·h_prev + b_h)``."""
    draw = torch.Generator().manual_seed(seed)
    rows = len(cell.gates) * H
    xg, hh, b_hh, *states = (
        torch.randn(*shape, dtype=torch.float64, generator=draw)
        for shape in ((N, rows), (rows, H), (rows,), *[(N, H)] * len(cell.carried))
    )
    values: dict[str, Tensor] = {}
    cell.step(xg, tuple(states), Weights(hh, hh, b_hh, b_hh, None), lambda name, value: values.setdefault(name, value))
    recurrent = states[cell.carried.index("h")] @ hh.T + b_hh
    return [
        (
            values[f"{gate.name}_pre"],
            xg[:, own] + recurrent[:, own] * (values[gate.scale] if gate.scale else 1),
        )
        for gate in cell.gates
        for own in [cell.rows(gate.name, H)]
    ]


@of_every_cell
@pytest.mark.parametrize("seed", range(3))
def test_pre_activations_have_the_form_that_explanations_rely_on(cell: Cell, seed: int) -> None:
    for computed, form in pre_activations(cell, seed):
        torch.testing.assert_close(computed, form, rtol=1e-12, atol=1e-14)


def test_pre_activations_have_the_form_that_explanations_rely_on_fails() -> None:
    *others, candidate = GRU.gates
    wrong = replace(GRU, gates=(*others, replace(candidate, scale="z")))
    assert [torch.allclose(*pair) for pair in pre_activations(wrong, 0)] == [True, True, False]


@of_every_cell
@pytest.mark.parametrize("seed", range(3))
def test_memory_is_what_was_kept_plus_what_was_written(cell: Cell, seed: int) -> None:
    values, leaves = one_step(cell, seed)
    keep, write, show = cell.split(leaves)
    kept = keep * leaves[f"{cell.memory}_prev"]
    torch.testing.assert_close(kept + write * values[cell.candidate], values[cell.memory], rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(show * values[cell.memory], values["h"], rtol=1e-12, atol=1e-15)
    assert cell.is_additive == bool(kept.any())


def test_names_rows_and_meanings() -> None:
    assert LSTM.gate_names == ("i", "f", "g", "o")
    assert [LSTM.rows(gate, 5) for gate in "ifgo"] == [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20)]
    assert LSTM.meanings["f"] == "forget gate"
    assert math.isclose(LSTM.gate_by_name["g"](torch.tensor(0.5)).item(), math.tanh(0.5), rel_tol=1e-6)
    assert [GRU.rows(gate, 5) for gate in "rzn"] == [slice(0, 5), slice(5, 10), slice(10, 15)]
    assert GRU.before("n") == ("n_pre", "n_h", "n_rh")
    assert (GRU.before("h"), RNN_TANH.before("h")) == ((), ("h_pre",))
    assert (RNN_TANH.label, RNN_TANH.quantities) == ("RNN", ("h",))
    assert all(cell.hints.keys() == set(cell.quantities) for cell in CELLS.values())


def test_a_cell_is_found_by_torchs_name() -> None:
    assert cell_named("GRU") is GRU
    with pytest.raises(ArgumentError, match=f"expected one of {' '.join(CELLS)}"):
        cell_named("gru")
