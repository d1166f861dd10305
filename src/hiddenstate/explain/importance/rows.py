"""The rows of a data set: those of batches and frames, or the windows of a long series."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.scalars import check_at_least, check_int
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.attribution.features import series_baselines
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesValues
from hiddenstate.explain.subject.subject import Subject, check_bytes
from hiddenstate.models.series.frames import SeriesInput

Reader = Callable[[Any], ExplainedSeries]


@dataclass(frozen=True, eq=False)
class DataRows:
    """N rows of T steps that follow one another, and what replaces their inputs."""

    series: ExplainedSeries
    base: Tensor  # [T, N, C]
    baseline: str
    overlapping: int  # how many rows in succession may share steps


def data_rows(read: Reader, data: Any, history: Any, baseline: Any, *, length: int | None, stride: int) -> DataRows:
    """Return the rows of batches or frames, or their windows of one length, and the baseline of each."""
    parts: list[ExplainedSeries] = []
    bases, name, overlapping = [], "", 1
    whole = [*map(read, _batches(data))]
    steps = SeriesValues(torch.cat([part.x.flatten(0, 1) for part in whole])[:, None]) if len(whole) > 1 else None
    for part in whole:
        _check_starts(part)
        past = part.read_more(history) if history is not None else steps if baseline in (None, "mean") else None
        count = part.x.shape[1]
        by_name = series_baselines(part, range(count), baseline, past)
        if len(by_name) > 1:
            raise ArgumentError(f"importance takes one baseline, got {len(by_name)}: {', '.join(by_name)}")
        ((name, base),) = by_name.items()
        if length is not None:
            part, base = _windows(part, base, length, stride)
            overlapping = max(overlapping, min(part.x.shape[1] // count, -(-length // stride)))
        if parts and part.T != parts[0].T:
            raise ShapeError(
                f"rows must have one number of steps, got {parts[0].T} and {part.T}: cut them into windows (window=)"
            )
        parts.append(part)
        bases.append(base)
    if not parts:
        raise ArgumentError("there are no rows: the data are empty")
    return DataRows(_together(parts), torch.cat(bases, dim=1), name, overlapping)


def _check_starts(series: ExplainedSeries) -> None:
    """Raise ArgumentError for rows that begin with a state, or end early."""
    layer = series.layer if series.whole is None else None
    has_state = series.whole is not None and series.whole.initial is not None
    if isinstance(layer, Subject):
        states = layer.sizes.kind.parts_of(layer.initial)
        has_state = layer.lengths is not None or layer.reset is not None or any(bool(part.any()) for part in states)
    if has_state:
        raise ArgumentError("the rows of a data set begin without a state and are full: drop hx=, lengths=, reset=")


def _batches(data: Any) -> Iterator[Any]:
    """Yield tensors and frames; of pairs, as a data loader gives them, the first."""
    is_frame = isinstance(data, dict | SeriesInput) or hasattr(data, "columns") or hasattr(data, "dims")
    if is_frame or isinstance(data, Tensor | np.ndarray):
        yield data
        return
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise ArgumentTypeError(
            f"importance reads a tensor, a frame, or batches of these, such as a data loader, got {type(data).__name__}"
        )
    for batch in data:
        yield batch[0] if isinstance(batch, tuple | list) and batch else batch


def _windows(series: ExplainedSeries, base: Tensor, length: int, stride: int) -> tuple[ExplainedSeries, Tensor]:
    """Cut every row into windows, row by row and in each row by time."""
    length, stride = check_int("window", length), check_at_least("stride", stride, 1)
    if not 1 <= length <= series.T:
        raise ArgumentError(f"window must be in 1..{series.T}, the number of steps of the series, got {length}")
    count = (series.T - length) // stride + 1
    _, N, C = series.x.shape
    check_bytes(length * N * count * C * series.x.element_size() * 3, "windows", length, N * count)

    def cut(values: Tensor) -> Tensor:
        windows = values.unfold(0, length, stride)  # [count, N, C, length]
        return windows.permute(3, 1, 0, 2).reshape(length, N * count, C).contiguous()

    return _with_rows(series, cut(series.x), cut(series.values)), cut(base)


def _with_rows(series: ExplainedSeries, x: Tensor, values: Tensor) -> ExplainedSeries:
    """Return the series with other rows, whose steps have numbers instead of dates."""
    T, N, _ = x.shape
    return replace(
        series,
        x=x,
        values=values,
        steps=tuple(map(str, range(T))),
        rows=tuple(map(str, range(N))),
        whole=None if series.whole is None else replace(series.whole, x=x),
        output_steps=(),
        dates=None,
    )


def _together(parts: Sequence[ExplainedSeries]) -> ExplainedSeries:
    if len(parts) == 1:
        return parts[0]
    x = torch.cat([part.x for part in parts], dim=1)
    return _with_rows(parts[0], x, torch.cat([part.values for part in parts], dim=1))
