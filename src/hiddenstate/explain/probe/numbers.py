"""The numbers of a series' steps, with the states at a place and the inputs; from a layer or a series model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Number
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, RankError, ShapeError
from hiddenstate.explain.subject.subject import check_bytes
from hiddenstate.models.series.dates import Array
from hiddenstate.models.series.frames import Wanted, read_columns
from hiddenstate.models.series.module_form import recurrent_parts, weight_of
from hiddenstate.models.series.series_model import ROW_STEPS_AT_ONCE, SeriesModel
from hiddenstate.nn.rnn import Layer
from hiddenstate.structure.names import parse_place, split_path
from hiddenstate.tracing.models import trace
from hiddenstate.tracing.traceable import torchs_layers_recordable

Reader = SeriesModel | Layer


@dataclass(frozen=True, eq=False)
class ProbedSeries:
    """Rows of a series, each with a number for each step."""

    rows: tuple[Tensor, ...]  # [T, C] of each row, what the layer or module reads
    targets: tuple[NDArray[np.float64], ...]  # [T] of each row; NaN for steps that do not count
    name: str  # what the numbers are
    unit: str = ""
    column: str | None = None  # the feature that the numbers are, or None


def has_numbers(targets: object) -> bool:
    """Whether targets are measured numbers; integers and bools are names of classes."""
    if isinstance(targets, Tensor):
        return targets.is_floating_point()
    if isinstance(targets, np.ndarray) and targets.dtype != object:
        return bool(targets.dtype.kind == "f")
    if isinstance(targets, Number):
        return not isinstance(targets, Integral)
    return hasattr(targets, "__iter__") and not isinstance(targets, str) and any(map(has_numbers, targets))


def probed_series(
    model: Reader, data: Any, targets: Any, place: str, lag: int, options: dict[str, Any]
) -> ProbedSeries:
    """Return the rows and their numbers, taken ``lag`` steps earlier."""
    rows = rows_of(model, data, place, options)
    longest = max(map(len, rows))
    if abs(lag) >= longest:
        raise ArgumentError(f"lag={lag} leaves no step with a target: the longest row has {longest} steps")
    if isinstance(model, SeriesModel):
        series = _of_frame(model, data, rows, targets, options)
    else:
        series = _of_layer(model, data, rows, targets)
    return replace(series, targets=tuple(_delayed(row, lag) for row in series.targets))


def rows_of(model: Reader, data: Any, place: str, options: dict[str, Any]) -> tuple[Tensor, ...]:
    """Return the rows ``[T, C]`` that a layer or module reads of data; check that it has the place."""
    if isinstance(model, SeriesModel):
        rows = model.prepare(data, **options).x.detach().unbind(1)
    elif options:
        raise ArgumentTypeError(f"{next(iter(options))}= is for series models, which read frames: drop it")
    else:
        if isinstance(data, Tensor | np.ndarray):
            if data.ndim not in (2, 3) or 0 in data.shape:
                raise RankError(f"data must be [T, C], or several as the layer reads them, got {list(data.shape)}")
            data = [data] if data.ndim == 2 else list(data if model.batch_first else data.swapaxes(0, 1))
        if isinstance(data, str) or not isinstance(data, Sequence) or not data:
            raise ArgumentTypeError("data must be a series [T, C], an array of several, or a list of series [T, C]")
        rows = tuple(_row(model, row, k) for k, row in enumerate(data))
    _check_place(model, rows, place)
    return rows


def _delayed(row: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    delayed = np.full_like(row, np.nan)
    at = np.arange(len(row)) - lag
    inside = (at >= 0) & (at < len(row))
    delayed[inside] = row[at[inside]]
    return delayed


def _of_frame(
    model: SeriesModel, frame: Any, rows: tuple[Tensor, ...], targets: Any, options: dict[str, Any]
) -> ProbedSeries:
    T, N = len(rows[0]), len(rows)
    if isinstance(targets, str):
        values = _numbers(_column(model, frame, targets, options), targets, T * N)
        unit, column = model.units.get(targets, ""), targets if targets in model.features else None
        return ProbedSeries(rows, tuple(values.T), targets, unit, column)
    values = _numbers(targets, "targets", T * N)
    values = values[:, None] if values.ndim == 1 else values
    if values.shape != (T, N):
        expected = f"[{T}]" if N == 1 else f"[{T}, {N}]"
        raise ShapeError(
            f"targets has shape {list(values.shape)}, expected {expected}: one number for each step of each row"
        )
    return ProbedSeries(rows, tuple(values.T), "the target")


def _column(model: SeriesModel, frame: Any, name: str, options: dict[str, Any]) -> Array:
    """Return a column of a frame, ``[T, N]``, NaN where a value is missing."""
    places = {key: options.get(key) for key in ("dates", "rows", "gaps")}
    columns = read_columns(frame, Wanted(model.features, (name,), time_first=model.time_first, **places))
    if name not in columns.values:
        raise NameUnknownError(
            f"the frame has no column {name!r}: targets must be the name of one of its columns, which need not be "
            f"among the model's features ({shorten(list(model.features))}), or a number for each step"
        )
    return columns.values[name]


def _of_layer(layer: Layer, data: Any, rows: tuple[Tensor, ...], targets: Any) -> ProbedSeries:
    if isinstance(data, Tensor | np.ndarray) or isinstance(targets, Tensor | np.ndarray):
        targets = _numbers(targets, "targets", sum(map(len, rows)))
    if isinstance(data, Tensor | np.ndarray):
        targets = targets[None] if data.ndim == 2 else targets if layer.batch_first else targets.T
    if not hasattr(targets, "__len__") or len(targets) != len(rows):
        raise ArgumentError(f"targets must have a row of numbers for each of the {len(rows)} rows of data")
    values = tuple(
        _numbers(part, f"targets[{k}]", len(row)) for k, (row, part) in enumerate(zip(rows, targets, strict=True))
    )
    for k, (row, part) in enumerate(zip(rows, values, strict=True)):
        if part.shape != (len(row),):
            raise ArgumentError(
                f"row {k} has {len(row)} steps, but its targets have shape {list(part.shape)}, expected "
                f"[{len(row)}]: one number for each step"
            )
    return ProbedSeries(rows, values, "the target")


def _row(layer: Layer, row: object, k: int) -> Tensor:
    value = torch.from_numpy(row).to(weight_of(layer)) if isinstance(row, np.ndarray) else row
    if not isinstance(value, Tensor) or value.dim() != 2 or not len(value):
        raise ArgumentTypeError(f"a layer reads series [T, C], got {type(row).__name__} for row {k}")
    check_plain_tensor(value, f"row {k}")
    check_memory(value, f"row {k}")
    if value.shape[1] != layer.sizes.input_size:
        raise ShapeError(f"row {k} has {value.shape[1]} features, but the layer reads {layer.sizes.input_size}")
    return value.detach()


def _numbers(values: Any, name: str, most: int) -> NDArray[np.float64]:
    """Return at most so many numbers as float64, NaN for None; reject anything else, and infinite ones."""
    if isinstance(values, Tensor | np.ndarray) and (count := int(np.prod(values.shape, dtype=object))) > most:
        raise ShapeError(f"{name} has {count:,} numbers, but the data have {most:,} steps: expected one for each")
    if isinstance(values, Tensor):
        check_memory(values, name)
        values = values.detach().cpu().double()
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{name} must be numbers, one for each step, None or NaN for steps that do not count, got {shorten(values)}"
        ) from error
    if np.isinf(numbers).any():
        raise ArgumentError(f"{name} has an infinite number at {np.argwhere(np.isinf(numbers))[0].tolist()}")
    return numbers


def _check_place(model: Reader, rows: Sequence[Tensor], place: str) -> None:
    """Raise if a model has no such place, or the values there would take more than 8 GiB."""
    if isinstance(model, SeriesModel):
        path = split_path(place)[0]
        layers = recurrent_parts(model.module)
        if path == "" and len(layers) > 1:
            raise NameUnknownError(
                f"this {type(model.module).__name__} has several recurrent layers: name one in the place, such as "
                f"'{next(iter(layers))}.{place}'; they are {', '.join(layers)}"
            )
        hidden = max(int(layer.hidden_size) for layer in layers.values())
    else:
        parse_place(place, *model.sizes.layers)
        hidden = model.sizes.hidden_size
    check_bytes(sum(map(len, rows)) * hidden * 24, "the states that a probe reads", max(map(len, rows)), len(rows))


@torch.no_grad()
def states_of(model: Reader, rows: Sequence[Tensor], place: str) -> Tensor:
    """Return a place's values ``[T', N, U]``, padded; T' is T, or one for each window, at its last step."""
    if not isinstance(model, SeriesModel):
        x = torch.nn.utils.rnn.pad_sequence(list(rows))
        lengths = torch.tensor(list(map(len, rows)))
        run = eval_twin(model).trace(
            x.transpose(0, 1) if model.batch_first else x, lengths=lengths, keep=[place], limit=None
        )
        return run.values[place]
    x = torch.stack(list(rows), dim=1)
    if model.window is None:
        return _recorded(model, x, place)
    windows, N = x.unfold(0, model.window, 1).movedim(-1, 0), x.shape[1]  # [window, T', N, C]
    parts = windows.split(max(1, ROW_STEPS_AT_ONCE // (model.window * N)), dim=1)
    return torch.cat([_recorded(model, part.flatten(1, 2), place)[-1].unflatten(0, (-1, N)) for part in parts])


def _recorded(model: SeriesModel, x: Tensor, place: str) -> Tensor:
    path, within = split_path(place)
    with torchs_layers_recordable():
        run = trace(model.module, x, keep=[place], limit=None, call=lambda rows: model.run(rows)[0])
    layer = run.trace_at(path)
    if (layer.length, layer.batch) != tuple(x.shape[:2]):
        raise ArgumentError(
            f"the layer at {place} reads {layer.length} steps of {layer.batch} rows, but the series has {x.shape[0]} "
            f"of {x.shape[1]}: a probe needs a layer that reads the series step by step"
        )
    return layer.values[within]
