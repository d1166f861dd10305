"""The rows of a data set (batches, frames, or windows of a series), and attributions of many rows at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.scalars import check_at_least, check_int
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.attribution.features import series_baselines
from hiddenstate.explain.attribution.methods import FIRST_POINTS, GRADIENT_COST, LEAST, MOST_POINTS, SHARE
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesValues
from hiddenstate.explain.subject.subject import Subject, check_bytes
from hiddenstate.explain.subject.target import BatchRunner
from hiddenstate.models.series.frames import SeriesInput

BATCHED = ("integrated_gradients", "gradient", "occlusion")  # these need only runs and gradients of the target
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
    batches = [*map(read, _batches(data))]
    is_mean = baseline is None or (isinstance(baseline, str) and baseline == "mean")
    mean = SeriesValues(_mean(batches)) if is_mean and history is None and len(batches) > 1 else None
    for part in batches:
        _check_starts(part)
        past = mean if history is None else part.read_more(history)
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


def _mean(batches: Sequence[ExplainedSeries]) -> Tensor:
    """Return the mean ``[1, 1, C]`` of the columns over all batches, in float64."""
    steps = torch.cat([batch.x.flatten(0, 1) for batch in batches])
    return steps.double().mean(0).view(1, 1, -1)


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
    """Yield tensors and frames; from pairs, such as a data loader's, the first item."""
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


@dataclass(frozen=True, eq=False)
class RowBatch:
    """N rows and what replaces their inputs; all begin with the state of the runner's row."""

    work: BatchRunner
    x: Tensor  # [T, N, C], the rows
    base: Tensor  # [T, N, C], equal to x at numbers of no player
    owner: Tensor  # [T, C], the player of each number, or -1
    count: int  # of players, P

    def values(self, x: Tensor) -> Tensor:
        """Return the target ``[R]`` of rows ``[T, R, C]``; float64 on the CPU."""
        with torch.no_grad():
            return torch.cat([self.work.values(rows).double().cpu() for rows in x.split(self.work.rows_at_once, dim=1)])

    def losses(self, whole: Tensor) -> Tensor:
        """Return what the target of each row loses if one player is replaced, ``[N, P]``."""
        owner = self.owner.to(self.x.device)[:, None, None]
        players = torch.arange(self.count, device=self.x.device)
        losses = []
        for n in range(self.x.shape[1]):
            x, base, kept = self.x[:, n, None], self.base[:, n, None], []
            for some in players.split(self.work.rows_at_once):
                gone = owner[:, 0] == some[:, None]
                kept.append(self.values(torch.where(gone, base, x)))
            losses.append(whole[n] - torch.cat(kept))
        return torch.stack(losses)

    def integrated(self, difference: Tensor, points: int | None) -> tuple[Tensor, Tensor]:
        """Return integrated gradients ``[N, P]``, doubling points as in `attribute`, and the error of their sums."""
        parts = torch.zeros(len(difference), self.count, dtype=torch.float64)
        count, left = points or FIRST_POINTS, torch.arange(len(difference))
        while len(left):
            nodes, weights = np.polynomial.legendre.leggauss(count)
            parts[left] = self.along(left, (nodes + 1) / 2, weights / 2)
            if points is not None or count >= MOST_POINTS:
                break
            missing = (difference - parts.sum(1))[left].abs()
            left = left[missing > SHARE * difference[left].abs().clamp(min=LEAST)]
            count *= 2
        return parts, difference - parts.sum(1)

    @torch.inference_mode(False)
    def along(self, rows: Tensor, alphas: Any, weights: Any) -> Tensor:
        """Sum the weighted gradients of some rows along the lines from their baselines, times the differences."""
        most = max(1, self.work.rows_at_once // GRADIENT_COST)  # points to run together
        parts = []
        for some in rows.split(max(1, most // len(alphas))):
            x, base = self.x[:, some.to(self.x.device)], self.base[:, some.to(self.x.device)]
            slope = torch.zeros(len(some), len(x), x.shape[2], dtype=torch.float64, device=x.device)
            for k in range(0, len(alphas), most):
                alpha = torch.as_tensor(alphas[k : k + most]).to(x)[:, None, None]
                line = (base[:, None] + alpha * (x - base)[:, None]).flatten(1, 2)  # [T, points * n, C]
                line = line.detach().requires_grad_()
                with torch.enable_grad():
                    (slopes,) = torch.autograd.grad(self.work.values(line).sum(), line)
                by_point = slopes.double().view(len(x), len(alpha), len(some), -1)
                weight = torch.as_tensor(weights[k : k + most], dtype=torch.float64, device=x.device)
                slope += torch.einsum("k,tknc->ntc", weight, by_point)
            parts.append(self._by_player((slope * (x - base).double().transpose(0, 1)).cpu()))
        return torch.cat(parts)

    def _by_player(self, numbers: Tensor) -> Tensor:
        """Return the sums of numbers ``[N, T, C]`` by player."""
        owner = torch.where(self.owner < 0, self.count, self.owner).flatten()
        sums = torch.zeros(len(numbers), self.count + 1, dtype=torch.float64)
        return sums.index_add_(1, owner, numbers.flatten(1))[:, :-1]
