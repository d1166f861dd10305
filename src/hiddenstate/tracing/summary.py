"""A trace in few numbers a step: how open the gates were, how large the states, which units changed most."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiddenstate.structure.names import GATES, Place
from hiddenstate.tracing.trace import Trace


@dataclass(frozen=True)
class StepSummary:
    """One time step of one layer, direction and row.

    Attributes:
        t: time step.
        word: its token, or None.
        gates: mean over the units of i, f and o (0 closed, 1 open) and of ``|g|`` (0 nothing to write, 1 a full swing).
        c_norm: Euclidean norm of the cell state.
        h_norm: Euclidean norm of the hidden state.
        changed: the units whose cell state changed most in this step, most first, each with its change.
    """

    t: int
    word: str | None
    gates: Mapping[str, float]
    c_norm: float
    h_norm: float
    changed: tuple[tuple[int, float], ...]


def summarise(
    trace: Trace, *, layer: int = 0, reverse: bool = False, row: int = 0, most: int = 3
) -> tuple[StepSummary, ...]:
    """Sum up each recorded real step of one layer, direction and row, in the order of the input.

    A change is against the step read before, which for the reverse direction is the one behind.

    Args:
        trace: must hold i, f, g, o, c and h of the layer and direction.
        layer: layer, from 0.
        reverse: the reverse direction.
        row: batch row.
        most: how many units to name in ``changed``.

    Raises:
        NameUnknownError: no such layer or direction, or a quantity of it was not recorded.
        IndexRangeError: no such row.
    """
    return summaries_of(trace, (row,), layer=layer, reverse=reverse, most=most)[0]


def summaries_of(
    trace: Trace, rows: Sequence[int], *, layer: int = 0, reverse: bool = False, most: int = 3
) -> list[tuple[StepSummary, ...]]:
    """Sum up several rows at once, each as `summarise` does; arguments and errors are its own."""
    names = {q: Place(layer, reverse, q) for q in (*GATES, "c", "h")}
    of = {q: torch.cat([_values(trace, place, row) for row in rows]) for q, place in names.items()}
    before = torch.cat([trace.cell_before(layer, reverse, row).detach().double() for row in rows])
    steps = iter(_steps(of, before, most))
    return [
        tuple(
            StepSummary(t, words[t] if words else None, *next(steps)) for t in trace.steps if t < trace.row_length(row)
        )
        for row in rows
        for words in (trace.words(row),)
    ]


def _steps(of: Mapping[str, Tensor], before: Tensor, most: int) -> Iterator[tuple[Any, ...]]:
    """Yield what `StepSummary` says of each step, but for the step and its word."""
    change = of["c"] - before
    top = change.abs().nan_to_num(0.0).topk(min(most, change.shape[1])).indices
    opened = {q: (values.abs() if q == "g" else values).mean(1).tolist() for q, values in of.items() if q in GATES}
    norms = {q: of[q].norm(dim=1).tolist() for q in ("c", "h")}
    units, changes = top.tolist(), change.gather(1, top).tolist()
    for k in range(len(change)):
        changed = tuple(pair for pair in zip(units[k], changes[k], strict=True) if not math.isnan(pair[1]))
        yield {q: opened[q][k] for q in GATES}, norms["c"][k], norms["h"][k], changed


def _values(trace: Trace, place: Place, row: int) -> Tensor:
    """Values ``[real steps, units]`` of one row, in double precision."""
    values, times = trace.pick(str(place), row=row)
    real = sum(t < trace.row_length(row) for t in times)
    return values[:real, 0].detach().to(torch.float64)
