"""Summarises each step of a trace: how open the gates were, how large the states were, and which units changed most."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiddenstate.cells.cell import Cell
from hiddenstate.structure.names import Place
from hiddenstate.tracing.trace import Trace


@dataclass(frozen=True)
class StepSummary:
    """One time step of one layer, direction and row.

    Attributes:
        t: the time step.
        word: its token, or None.
        gates: the means over units of i, f and o (0 closed, 1 open) and of ``|g|`` (0 writes nothing, 1 the maximum);
            for a GRU, of r, z and ``|n|``.
        c_norm: the Euclidean norm of the cell state; without one, that of the hidden state.
        h_norm: the Euclidean norm of the hidden state.
        changed: the units whose cell state (or hidden state, without one) changed most in this step, largest change
            first, each with its change.
    """

    t: int
    word: str | None
    gates: Mapping[str, float]
    c_norm: float
    h_norm: float
    changed: tuple[tuple[int, float], ...]


def summaries_of(
    trace: Trace, rows: Sequence[int], *, layer: int = 0, reverse: bool = False, most: int = 3
) -> list[tuple[StepSummary, ...]]:
    """Summarise, for each of several rows, the recorded real steps of one layer and direction, in the input's order.

    Changes are relative to the step read before, which for the reverse direction is the next one.

    Args:
        trace: a record with all gates and states of the layer and direction.
        rows: the batch rows.
        layer: the layer, from 0.
        reverse: whether to use the reverse direction.
        most: the number of units in ``changed``.

    Raises:
        NameUnknownError: no such layer or direction, or a quantity of it was not recorded.
        IndexRangeError: no such row.
    """
    cell = trace.layers.cell
    names = {q: Place(layer, reverse, q) for q in cell.quantities}
    of = {q: torch.cat([_values(trace, place, row) for row in rows]) for q, place in names.items()}
    before = torch.cat([trace.cell_before(layer, reverse, row).detach().double() for row in rows])
    steps = iter(_steps(cell, of, before, most))
    return [
        tuple(
            StepSummary(t, words[t] if words else None, *next(steps)) for t in trace.steps if t < trace.row_length(row)
        )
        for row in rows
        for words in (trace.words(row),)
    ]


def _steps(cell: Cell, of: Mapping[str, Tensor], before: Tensor, most: int) -> Iterator[tuple[Any, ...]]:
    """Yield the fields of `StepSummary` for each step, except the step and its word."""
    change = of[cell.memory] - before
    top = change.abs().nan_to_num(0.0).topk(min(most, change.shape[1])).indices
    opened = {
        gate.name: (of[gate.name] if gate.activation == "sigmoid" else of[gate.name].abs()).mean(1).tolist()
        for gate in cell.gates
    }
    norms = [of[q].norm(dim=1).tolist() for q in (cell.memory, "h")]
    units, changes = top.tolist(), change.gather(1, top).tolist()
    for k in range(len(change)):
        changed = tuple(pair for pair in zip(units[k], changes[k], strict=True) if not math.isnan(pair[1]))
        yield {q: opened[q][k] for q in opened}, norms[0][k], norms[1][k], changed


def _values(trace: Trace, place: Place, row: int) -> Tensor:
    """Return the values ``[real steps, units]`` of one row, in double precision."""
    values, times = trace.pick(str(place), row=row)
    real = sum(t < trace.row_length(row) for t in times)
    return values[:real, 0].detach().to(torch.float64)
