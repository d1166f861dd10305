"""Views of a record: tables and labelled arrays, a summary of each step, and the states that resets discard."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.validation import optional_package
from hiddenstate.cells.cell import Cell
from hiddenstate.errors import ArgumentError
from hiddenstate.structure.names import Place, from_time_first, parse_place
from hiddenstate.tracing.record import Record

if TYPE_CHECKING:
    import pandas
    import xarray
    from numpy.typing import NDArray

DIRECTIONS = np.array(["forward", "reverse"], dtype=object)


def trace_to_dataframe(trace: Record) -> "pandas.DataFrame":
    """Return one line for each row, layer, direction, time step and unit; see `Trace.to_dataframe`."""
    package, arrays = optional_package("pandas", "frames", "to_dataframe"), _arrays(trace)
    most = max((array.shape[-1] for array in arrays.values()), default=0)
    kept = np.zeros((trace.num_layers, 1 + trace.bidirectional, most), dtype=bool)
    for name, values in trace.values.items():
        place = parse_place(name, *trace.layers)
        kept[place.layer, int(place.reverse), : values.shape[2]] = True
    is_line = ~_ended(trace).T[:, None, None, :, None] & kept[None, :, :, None]
    row, layer, way, step, unit = is_line.nonzero()
    columns: dict[str, Any] = {
        "row": row,
        "layer": layer,
        "direction": DIRECTIONS[way],
        "step": np.array(trace.steps)[step],
    }
    if trace.tokens is not None:
        columns["token"] = [trace.tokens[n][t] for n, t in zip(row, columns["step"], strict=True)]
    columns["unit"] = unit
    for quantity, array in arrays.items():
        padding = [(0, 0)] * 4 + [(0, most - array.shape[-1])]  # a projected h has fewer units
        columns[quantity] = np.pad(array, padding, constant_values=np.nan)[layer, way, step, row, unit]
    return package.DataFrame(columns)


def trace_to_xarray(trace: Record) -> "xarray.Dataset":
    """Return a variable for each quantity over layer, direction, time, batch and unit; see `Trace.to_xarray`."""
    package = optional_package("xarray", "frames", "to_xarray")
    dims = ("layer", "direction", "time", "batch")
    variables: dict[str, Any] = {}
    for quantity, array in _arrays(trace).items():
        # With a projection, h has different units than the gates.
        unit = "projected_unit" if quantity == "h" and trace.projected else "unit"
        variables[quantity] = (*dims, unit), array
    coordinates: dict[str, Any] = {
        "direction": DIRECTIONS[: 1 + trace.bidirectional].tolist(),
        "layer": range(trace.num_layers),
        "time": list(trace.steps),
        "batch": range(trace.batch),
    }
    if trace.tokens is not None:
        words = [[(w[t] if t < len(w) else "") for w in trace.tokens] for t in trace.steps]
        coordinates["token"] = (("time", "batch"), words)
    return package.Dataset(variables, coords=coordinates)


def _arrays(trace: Record) -> dict[str, "NDArray[Any]"]:
    """Return each recorded quantity, ``[layers, directions, steps, rows, units]``; NaN where nothing was recorded."""
    arrays: dict[str, NDArray[Any]] = {}
    cell = trace.layers.cell
    for quantity in (*cell.quantities, *cell.pre_activations):
        for place in (Place(*track, quantity) for track in trace.layers.directions):
            if str(place) in trace:
                values = trace.values[str(place)].detach().cpu()
                values = values.float() if values.dtype is torch.bfloat16 else values  # NumPy has no bfloat16
                shape = (trace.num_layers, 1 + trace.bidirectional, *values.shape)
                array = arrays.setdefault(quantity, np.full(shape, np.nan, dtype=values.numpy().dtype))
                array[place.layer, int(place.reverse)] = values.numpy()
                array[:, :, _ended(trace)] = np.nan
    return arrays


def _ended(trace: Record) -> "NDArray[np.bool_]":
    """Return bool ``[steps, rows]``: whether a row has ended before a recorded step."""
    ends = [trace.row_length(n) for n in range(trace.batch)]
    return np.array(trace.steps)[:, None] >= np.array(ends, dtype=np.int64)


@dataclass(frozen=True)
class StepSummary:
    """One time step of one layer, direction and row.

    Attributes:
        t: the time step.
        word: its token, or None.
        gates: the means over units of i, f and o (0 closed, 1 open) and of ``|g|`` (0 writes nothing, 1 the maximum);
            for a GRU, of r, z and ``|n|``.
        c_norm: the Euclidean norm of the cell state, or of the hidden state if there is no cell state.
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
    trace: Record, rows: Sequence[int], *, layer: int = 0, reverse: bool = False, most: int = 3
) -> list[tuple[StepSummary, ...]]:
    """Summarise, for each of several rows, the recorded real steps of one layer and direction, in the input's order.

    Changes are relative to the step read before, which for the reverse direction is the next one.
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


def _values(trace: Record, place: Place, row: int) -> Tensor:
    """Return the values ``[real steps, units]`` of one row, in double precision."""
    values, times = trace.pick(str(place), row=row)
    real = sum(t < trace.row_length(row) for t in times)
    return values[:real, 0].detach().to(torch.float64)


def states_before_resets(record: Record) -> Any:
    """Return the state of each layer and direction at each border: h ``[B, L*D, P]``, c ``[B, L*D, H]``; or only h."""
    if record.reset is None:
        raise ArgumentError("this run was called without reset=, so no state was discarded")
    if len(record.steps) < record.length:
        raise ArgumentError(
            f"{len(record.steps)} of {record.length} steps were recorded: trace without steps= to record all of them"
        )
    if record.carried:
        raise ArgumentError(
            "a readout edit was active, and the hidden states passed on to the next step were not recorded"
        )
    # Indices in the order of the caller's mask.
    first, *second = from_time_first(record.reset, record.layout).nonzero(as_tuple=True)
    row = second[0] if second else torch.zeros_like(first)
    t, n = (row, first) if record.layout == "NT" else (first, row)
    cell, every = record.layers.cell, record.layers.directions
    return cell.as_given(
        [
            torch.stack([_carried(record, Place(*track, quantity), k, t, n) for k, track in enumerate(every)], dim=1)
            for quantity in cell.carried
        ]
    )


def _carried(record: Record, place: Place, k: int, t: Tensor, n: Tensor) -> Tensor:
    """Return the k-th layer and direction's state at the borders before steps ``t`` of rows ``n``: ``[B, units]``."""
    cell, values = record.layers.cell, record.recorded(str(place))
    initial = cell.parts_of(record.initial)[cell.carried.index(place.quantity)][k]
    length = torch.full_like(t, record.length) if record.lengths is None else record.lengths[n]
    if place.reverse:  # the state comes from step t, or from beyond the row's end
        return torch.cat([values, initial[None]])[torch.where(t < length, t, record.length), n]
    return torch.cat([initial[None], values])[torch.minimum(t, length), n]
