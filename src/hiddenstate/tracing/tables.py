"""Traces as tables (pandas) and labelled arrays (xarray). Both packages are optional."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hiddenstate.base.validation import optional_package
from hiddenstate.structure.names import Place
from hiddenstate.tracing.record import Record

if TYPE_CHECKING:
    import pandas
    import xarray


def trace_to_dataframe(trace: Record) -> "pandas.DataFrame":
    """Return one line for each row, layer, direction, time step and unit; see `Trace.to_dataframe`."""
    package = optional_package("pandas", "frames", "to_dataframe")
    frames = [
        frame
        for row in range(trace.batch)
        for layer, reverse in trace.layers.directions
        if (frame := _layer_frame(package, trace, row, layer, reverse)) is not None
    ]
    table: pandas.DataFrame = package.concat(frames, ignore_index=True) if frames else package.DataFrame()
    return table


def _layer_frame(pandas: Any, trace: Record, row: int, layer: int, reverse: bool) -> Any:
    """Return the lines of one row, layer and direction, or None if nothing of it was recorded."""
    kept = [p for p in _places(trace) if (p.layer, p.reverse) == (layer, reverse)]
    if not kept:
        return None
    real = [k for k, t in enumerate(trace.steps) if t < trace.row_length(row)]
    units = max(trace.values[str(p)].shape[2] for p in kept)
    step = np.repeat([trace.steps[k] for k in real], units)
    words = trace.words(row)
    columns: dict[str, Any] = {"row": row, "layer": layer, "direction": _direction(reverse), "step": step}
    if words is not None:
        columns["token"] = [words[t] for t in step]
    columns["unit"] = np.tile(np.arange(units), len(real))
    for place in kept:
        columns[place.quantity] = _padded(trace, place, units)[real, row].reshape(-1)
    return pandas.DataFrame(columns)


def trace_to_xarray(trace: Record) -> "xarray.Dataset":
    """Return a variable for each quantity over layer, direction, time, batch and unit; see `Trace.to_xarray`."""
    package = optional_package("xarray", "frames", "to_xarray")
    kept = _places(trace)
    shape = (trace.num_layers, 1 + trace.bidirectional, len(trace.steps), trace.batch)
    ends = np.array([trace.row_length(n) for n in range(trace.batch)], dtype=np.int64)
    ended = np.array(trace.steps)[:, None] >= ends
    dims = ("layer", "direction", "time", "batch")
    variables: dict[str, Any] = {}
    for quantity in _quantities(trace):
        places = [p for p in kept if p.quantity == quantity]
        if not places:
            continue
        units = trace.values[str(places[0])].shape[2]
        filled = np.full((*shape, units), np.nan, dtype=_padded(trace, places[0], units).dtype)
        for place in places:
            filled[place.layer, int(place.reverse)] = _padded(trace, place, units)
        filled[:, :, ended] = np.nan
        # With a projection, h has different units than the gates.
        unit = "projected_unit" if quantity == "h" and trace.projected else "unit"
        variables[quantity] = (*dims, unit), filled
    coordinates: dict[str, Any] = {
        "direction": [_direction(reverse) for reverse in (False, True)[: 1 + trace.bidirectional]],
        "layer": range(trace.num_layers),
        "time": list(trace.steps),
        "batch": range(trace.batch),
    }
    if trace.tokens is not None:
        words = [[(w[t] if t < len(w) else "") for w in trace.tokens] for t in trace.steps]
        coordinates["token"] = (("time", "batch"), words)
    dataset: xarray.Dataset = package.Dataset(variables, coords=coordinates)
    return dataset


def _places(trace: Record) -> list[Place]:
    every = [Place(*each, quantity) for each in trace.layers.directions for quantity in _quantities(trace)]
    return [place for place in every if str(place) in trace]


def _quantities(trace: Record) -> tuple[str, ...]:
    cell = trace.layers.cell
    return (*cell.quantities, *cell.pre_activations)


def _direction(reverse: bool) -> str:
    return "reverse" if reverse else "forward"


def _padded(trace: Record, place: Place, units: int) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return the recorded values ``[steps, N, units]`` as an array, NaN for units that the quantity does not have."""
    values = trace.values[str(place)].detach().cpu()
    if values.dtype is torch.bfloat16:  # NumPy has no bfloat16
        values = values.float()
    pad = (0, units - values.shape[2])
    return np.asarray(torch.nn.functional.pad(values, pad, value=float("nan")).numpy())
