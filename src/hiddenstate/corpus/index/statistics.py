"""Statistics of the units of one place, as integers, which merge in any order, bit for bit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.corpus.index.sums import (
    UNIT,
    Floats,
    Ints,
    add_exact,
    checked,
    difference,
    exact_product,
    exact_square_product,
    exact_sum,
    short,
    to_integers,
)

BINS = 40
EVERY = 8  # histograms and sums by token use only every eighth step
CONTEXTS = 8  # number kept of each kind
LEAST_STEPS = 3  # minimum for a correlation: that of two steps is always 1 or -1
LEAST_VARIANCE = 2.0**-56  # units that vary by less than 2^-28 count as constant
LEAST_LOGARITHM = -104.0  # below that of every positive float32
LEAST_SCALE = 2.0**-12  # least product of steps and deviations for a correlation, because sums by label are rounded


def bin_edges(bounds: tuple[float, float] | None) -> Floats:
    """Return the edges ``[BINS + 1]`` of a histogram; without bounds, bins are equal in ``v / (1 + |v|)``."""
    if bounds is not None:
        return np.linspace(*bounds, BINS + 1)
    edges = np.linspace(-1.0, 1.0, BINS + 1)
    with np.errstate(divide="ignore"):
        return np.asarray(edges / (1 - np.abs(edges)))


class Moments(NamedTuple):
    """Moments of the units of a place over n steps: the means ``near + rest`` and the variances, all ``[U]``."""

    n: int
    near: Floats
    rest: Floats
    variance: Floats


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of U units of one place; in ``[2, ...]``, the first axis is the half of the corpus."""

    count: Ints  # [2], the number of steps
    total: Ints  # [2, U, 2], the exact sums of the values
    square: Ints  # [2, U, 2], the exact sums of their squares
    # [U, 2], the exact sums of the logarithm of the gate that keeps memory (f for an LSTM, z for a GRU), where 0 counts
    # as float32's smallest number; empty for other places
    logarithm: Ints
    histogram: Ints  # [U, BINS], the number of steps in each bin
    labels: tuple[str, ...]  # the K labels, sorted
    label_count: Ints  # [2, K], the number of steps with each label
    label_total: Ints  # [2, K, U], the sums of the values at these steps
    token_count: Ints  # [V], the number of steps with each of the tokens that are counted
    token_total: Ints  # [V, U], the sums of the values at these steps
    top: NDArray[np.float32]  # [U, k], the highest values, one in each context
    top_key: Ints  # [U, k], the contexts, as `context_key` numbers them; -1 if there are fewer
    bottom: NDArray[np.float32]  # [U, k], the lowest values
    bottom_key: Ints  # [U, k]

    def merge(self, other: "Statistics") -> "Statistics":
        """Return the combined statistics of two parts of a corpus."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        ours, theirs = self._aligned(labels), other._aligned(labels)
        sums = ("count", "histogram", "label_count", "label_total", "token_count", "token_total")
        merged: dict[str, Any] = {name: checked(getattr(ours, name) + getattr(theirs, name)) for name in sums}
        for name in ("total", "square", "logarithm"):
            merged[name] = add_exact(getattr(ours, name), getattr(theirs, name))
        for name, sign in (("top", -1), ("bottom", 1)):
            merged[name], merged[f"{name}_key"] = _first(
                np.concatenate([getattr(ours, name), getattr(theirs, name)], axis=1),
                np.concatenate([getattr(ours, f"{name}_key"), getattr(theirs, f"{name}_key")], axis=1),
                sign,
                max(getattr(ours, name).shape[1], getattr(theirs, name).shape[1]),
            )
        return Statistics(labels=labels, **merged)

    def _aligned(self, labels: tuple[str, ...]) -> "Statistics":
        """Return the same statistics with room for more labels."""
        if labels == self.labels:
            return self
        places = [labels.index(label) for label in self.labels]
        count = np.zeros((2, len(labels)), np.int64)
        total = np.zeros((2, len(labels), self.total.shape[1]), np.int64)
        count[:, places], total[:, places] = self.label_count, self.label_total
        return replace(self, labels=labels, label_count=count, label_total=total)

    @property
    def steps(self) -> int:
        """The number of steps."""
        return int(self.count.sum())

    @cached_property
    def moments(self) -> "Moments":
        """The mean and the variance of each unit."""
        return self._moments(slice(None))

    @property
    def mean(self) -> Floats:
        """``[U]``, the mean of each unit."""
        return self.moments.near + self.moments.rest

    @property
    def deviation(self) -> Floats:
        """``[U]``, the standard deviation of each unit."""
        return np.asarray(np.sqrt(self.moments.variance))

    def _moments(self, halves: slice) -> "Moments":
        n = max(int(self.count[halves].sum()), 1)
        total, square = add_exact(*self.total[halves]), add_exact(*self.square[halves])
        # Subtracting a number near the mean before anything is rounded leaves all digits for the spread.
        near = short(difference(total, np.zeros_like(total)) / n)
        rest = difference(total, exact_product(n, near)) / n
        spread = difference(square, exact_square_product(n, near)) / n - 2 * near * rest
        variance = spread - rest**2
        return Moments(n, near, rest, np.where(variance > LEAST_VARIANCE, variance, 0.0))

    @property
    def time_constant(self) -> Floats:
        """``[U]``, ``-1 / mean(log gate)`` in steps, infinite for 1; NaN for places that keep nothing."""
        if not self.logarithm.size:
            return np.full(self.total.shape[1], np.nan)
        logarithm = difference(self.logarithm, np.zeros_like(self.logarithm))
        with np.errstate(divide="ignore"):
            constant = np.where(logarithm < 0, -self.steps / logarithm, np.inf)
        return np.where(self.bottom[:, 0] <= 0, 0.0, constant)

    def quantiles(self, shares: Sequence[float], edges: Floats) -> Floats:
        """Return quantiles ``[U, len(shares)]``, interpolated within the bins of the histogram."""
        low, high = self.bottom[:, :1].astype(np.float64), self.top[:, :1].astype(np.float64)
        cumulated = np.cumsum(self.histogram, axis=1) / np.maximum(self.histogram.sum(1, keepdims=True), 1)
        quantiles = np.empty((len(cumulated), len(shares)))
        for k, share in enumerate(shares):
            at = np.minimum((cumulated < share).sum(1), BINS - 1)
            rows = np.arange(len(at))
            before = np.where(at > 0, cumulated[rows, at - 1], 0.0)
            within = (share - before) / np.maximum(cumulated[rows, at] - before, 1e-300)
            left, right = np.maximum(edges[at], low[:, 0]), np.minimum(edges[at + 1], high[:, 0])
            quantiles[:, k] = np.clip(left + np.clip(within, 0, 1) * (right - left), low[:, 0], high[:, 0])
        return quantiles

    def saturation(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the shares ``[U]`` of low and high steps: 0.1, 0.9; ±0.9 for g, n, h; ±1 unbounded."""
        steps = np.maximum(self.histogram.sum(1), 1)
        low, high = (0.1, 0.9) if edges[0] == 0 else (-0.9, 0.9) if np.isfinite(edges[0]) else (-1.0, 1.0)
        shut = self.histogram[:, edges[1:] <= low + 1e-9].sum(1)
        return np.asarray(shut / steps), np.asarray(self.histogram[:, edges[:-1] >= high - 1e-9].sum(1) / steps)

    def correlations(self, half: int | None = None) -> Floats:
        """Return units' correlations with labels ``[K, U]``; NaN if constant or under three steps."""
        halves = slice(None) if half is None else slice(half, half + 1)
        n, near, rest, variance = self._moments(halves)
        counts = self.label_count[halves].sum(0)[:, None]
        share = counts / n
        covariance = (self.label_total[halves].sum(0) / UNIT - counts * near) / n - share * rest
        scale = np.sqrt(share * (1 - share) * variance)
        is_known = (n >= LEAST_STEPS) & (scale * n > LEAST_SCALE)
        return np.where(is_known, np.clip(covariance / np.where(is_known, scale, 1), -1, 1), np.nan)

    def best_labels(self, half: int) -> Ints:
        """Return the label with the largest absolute correlation for each unit ``[U]``; in a tie, the positive one."""
        r = self.correlations(half)
        return np.asarray(np.where(np.isnan(r), -1, np.abs(r) + 1e-6 * (r > 0)).argmax(0))

    def token_means(self, unit: int) -> Floats:
        """Return the mean of a unit at each token that is counted, ``[V]``; 0 for a token that never occurs."""
        return np.asarray(self.token_total[:, unit] / UNIT / np.maximum(self.token_count, 1))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, for a file."""
        arrays: dict[str, NDArray[Any]] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "labels"}
        # Escaped, because a label may be any text, even a line end.
        labels = b"\n".join(label.encode("unicode_escape") for label in self.labels)
        return {**arrays, "labels": np.frombuffer(labels, np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Statistics":
        """Convert the result of `to_arrays` back to statistics."""
        labels = arrays["labels"].tobytes()
        rest = {f.name: arrays[f.name] for f in fields(cls) if f.name != "labels"}
        named = tuple(label.decode("unicode_escape") for label in labels.split(b"\n")) if labels else ()
        return cls(labels=named, **rest)


def _first(values: NDArray[np.float32], keys: Ints, sign: int, k: int) -> tuple[NDArray[np.float32], Ints]:
    """Return the first k values of each row, ordered by ``sign * value`` and then by key; missing values come last."""
    order = np.lexsort((keys, sign * values.astype(np.float64), keys < 0), axis=1)[:, :k]
    return np.take_along_axis(values, order, 1), np.take_along_axis(keys, order, 1)


def _best(values: Tensor, sign: int, keys: Ints) -> tuple[NDArray[np.float32], Ints]:
    """Return the first of the values ``[windows, U]`` for each unit, as `_first` does; keys ascend with the windows."""
    bits = (sign * values + 0.0).view(torch.int32).long()  # without negative zeros
    # Floats have the order of their bits, reversed for negative ones. Among equal values, the earlier comes first.
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    joint = (ordered << 31) | (0x7FFFFFFF - torch.arange(len(values)))[:, None]
    chosen = joint.T.topk(min(CONTEXTS, len(values))).indices
    return values.T.gather(1, chosen).numpy(), keys[chosen.numpy()]


class Accumulator:
    """Collects one place's statistics over the chunks of a shard, by half and label."""

    def __init__(
        self, units: int, bounds: tuple[float, float] | None, is_keeping: bool, groups: int, tokens: int, windows: int
    ) -> None:
        self.units, self.bounds, self.is_keeping = units, bounds, is_keeping
        self.total = torch.zeros(2, groups, units, dtype=torch.float64)
        self.square = torch.zeros(2, units, dtype=torch.float64)
        self.logarithm = torch.zeros(units, dtype=torch.float64)
        self.shifts: list[Tensor | None] = [None, None]  # a value of each half, subtracted before values are summed
        self.token_shift = torch.zeros(units)
        self.histogram = torch.zeros(units * BINS, dtype=torch.int64)
        self.tokens = torch.zeros(tokens, units, dtype=torch.float64)
        self.high = torch.full((windows, units), -torch.inf, dtype=torch.float32)
        self.low = torch.full((windows, units), torch.inf, dtype=torch.float32)
        self._offsets = torch.arange(units) * BINS

    def add(self, values: Tensor, chunk: "Chunk") -> Tensor:
        """Add values ``[T, N, U]``; return those of real steps ``[M, U]``, in memory that the next call reuses."""
        flat, shifted = chunk.room(self.units).unbind()
        torch.index_select(values.reshape(-1, self.units).float(), 0, chunk.rows, out=flat)
        self._shift(flat, shifted, chunk.first)
        total = self.total.view(-1, self.units)
        for group, start, stop in chunk.groups:
            total[group] += shifted[start:stop].sum(0)
        sample = flat.index_select(0, chunk.sample)
        self.tokens += chunk.tokens @ (sample - self.token_shift)
        shifted.mul_(shifted)
        self.square[0] += shifted[: chunk.first].sum(0)
        self.square[1] += shifted[chunk.first :].sum(0)
        if self.is_keeping:
            self.logarithm += flat.log().clamp_min_(LEAST_LOGARITHM).sum(0)
        self._count(sample)
        for number, rows, steps, (t, n) in chunk.windows:
            values[t, n] = values[steps.start, n]  # repeating the first value changes neither extreme
            seen = values[steps, rows]
            self.high[number], self.low[number] = seen.amax(0).float(), seen.amin(0).float()
        return flat

    def _shift(self, values: Tensor, out: Tensor, first: int) -> None:
        """Subtract from the values of each half one of them, so that their spread is not lost beside their mean."""
        for half, part in enumerate((slice(0, first), slice(first, len(values)))):
            if part.start == part.stop:
                continue
            shift = self.shifts[half]
            if shift is None:
                middle = values[(part.start + part.stop) // 2].double()  # a copy: memory that NumPy shares can't grow
                shift = torch.from_numpy(short(middle.numpy())).float()
                if self.shifts[1 - half] is None:
                    self.token_shift = shift
                self.shifts[half] = shift
            torch.sub(values[part], shift, out=out[part])

    def _count(self, sample: Tensor) -> None:
        low, high = self.bounds or (-1.0, 1.0)
        if self.bounds is None:
            sample = sample / (1 + sample.abs())
        scaled = (sample - low) * (BINS / (high - low))
        bins = scaled.nan_to_num_(0.0).clamp_(0, BINS - 1).long().add_(self._offsets)
        self.histogram += torch.bincount(bins.view(-1), minlength=len(self.histogram))

    def finish(
        self, keys: Ints, labels: tuple[str, ...], count: Ints, label_count: Ints, token_count: Ints
    ) -> Statistics:
        """Return the statistics of the shard; ``keys`` has the key of each context."""
        shift = np.stack([np.zeros(self.units) if part is None else part.double().numpy() for part in self.shifts])
        total, token_shift = self.total.numpy(), self.token_shift.double().numpy()
        top, top_key = _padded(*_best(self.high, 1, keys))
        bottom, bottom_key = _padded(*_best(self.low, -1, keys))
        return Statistics(
            count=count,
            total=add_exact(exact_sum(total.sum(1)), exact_product(count[:, None], shift)),
            square=add_exact(
                exact_sum(self.square.numpy(), 2 * shift * total.sum(1)), exact_square_product(count[:, None], shift)
            ),
            logarithm=exact_sum(self.logarithm.numpy() if self.is_keeping else np.empty(0)),
            histogram=self.histogram.view(self.units, BINS).numpy(),
            labels=labels,
            label_count=label_count,
            label_total=to_integers(total[:, :-1] + label_count[..., None] * shift[:, None]),
            token_count=token_count,
            token_total=to_integers(self.tokens.numpy() + token_count[:, None] * token_shift),
            top=top,
            top_key=top_key,
            bottom=bottom,
            bottom_key=bottom_key,
        )


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some steps of some rows of a shard, M in all."""

    rows: Tensor  # [M], which of the ``T * N`` values belong to sequences; those of a group are consecutive
    first: int  # how many of them are in the first half of the corpus, whose groups come first
    groups: Sequence[tuple[int, int, int]]  # those with steps: the number, the first step and the step after the last
    sample: Tensor  # the steps that are counted in histograms and in sums by token
    tokens: Tensor  # float32 [V, len(sample)], 1 where a step has a token
    # the contexts: their numbers, rows and steps in the chunk, and the steps and rows beyond the end
    windows: Sequence[tuple[Tensor, slice, slice, tuple[Tensor, Tensor]]]
    memory: Tensor  # float32, resized as needed

    def room(self, units: int) -> Tensor:
        """Return memory for two arrays ``[M, units]``; it is reused, because fresh memory costs more than the sums."""
        size = 2 * len(self.rows) * units
        if len(self.memory) < size:
            self.memory.resize_(size)
        return self.memory[:size].view(2, len(self.rows), units)


def _padded(values: NDArray[np.float32], keys: Ints) -> tuple[NDArray[np.float32], Ints]:
    missing = CONTEXTS - values.shape[1]
    return (
        np.pad(values, ((0, 0), (0, missing))).astype(np.float32),
        np.pad(keys, ((0, 0), (0, missing)), constant_values=-1),
    )
