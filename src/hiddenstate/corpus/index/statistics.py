"""Statistics of the units of one place, which merge without loss: sums of deviations move with the mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.errors import ArgumentError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BINS = 40
EVERY = 8  # histograms and sums by token use only every eighth step
CONTEXTS = 8  # number kept of each kind
LEAST_STEPS = 3  # minimum for a correlation: that of two steps is always 1 or -1
LEAST_VARIANCE = 2.0**-56  # units that vary by less than 2^-28 count as constant
LEAST_LOGARITHM = -104.0  # below that of every positive float32


def bin_edges(bounds: tuple[float, float] | None) -> Floats:
    """Return the edges ``[BINS + 1]`` of a histogram; without bounds, bins are equal in ``v / (1 + |v|)``."""
    if bounds is not None:
        return np.linspace(*bounds, BINS + 1)
    edges = np.linspace(-1.0, 1.0, BINS + 1)
    with np.errstate(divide="ignore"):
        return np.asarray(edges / (1 - np.abs(edges)))


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of U units of one place; in ``[2, ...]``, the first axis is the half of the corpus."""

    count: Ints  # [2], the number of steps
    means: Floats  # [2, U]
    spreads: Floats  # [2, U], the sums of the squared deviations from these means
    # [U], the sums of the logarithm of the gate that keeps memory (f for an LSTM, z for a GRU), where 0 counts as
    # float32's smallest number; empty for other places
    logarithm: Floats
    histogram: Ints  # [U, BINS], the number of steps in each bin
    labels: tuple[str, ...]  # the K labels, sorted
    label_count: Ints  # [2, K], the number of steps with each label
    label_spreads: Floats  # [2, K, U], the sums of the deviations from the means at these steps
    token_count: Ints  # [V], the number of steps with each of the tokens that are counted
    token_total: Floats  # [V, U], the sums of the values at these steps
    top: NDArray[np.float32]  # [U, k], the highest values, one in each context
    top_key: Ints  # [U, k], the contexts, as `context_key` numbers them; -1 if there are fewer
    bottom: NDArray[np.float32]  # [U, k], the lowest values
    bottom_key: Ints  # [U, k]

    def merge(self, other: "Statistics") -> "Statistics":
        """Return the combined statistics of two parts of a corpus."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        ours, theirs = self._aligned(labels), other._aligned(labels)
        sums = ("count", "histogram", "label_count", "token_count", "token_total", "logarithm")
        merged: dict[str, Any] = {name: getattr(ours, name) + getattr(theirs, name) for name in sums}
        parts = (np.stack([getattr(ours, name), getattr(theirs, name)]) for name in POOLED)
        merged["means"], merged["spreads"], merged["label_spreads"] = _pooled(*parts)
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
        spreads = np.zeros((2, len(labels), self.units))
        count[:, places], spreads[:, places] = self.label_count, self.label_spreads
        return replace(self, labels=labels, label_count=count, label_spreads=spreads)

    @property
    def steps(self) -> int:
        """The number of steps."""
        return int(self.count.sum())

    @property
    def units(self) -> int:
        """U."""
        return len(self.histogram)

    @cached_property
    def _both(self) -> tuple[Floats, Floats, Floats]:
        """The means, and the sums of deviations, over both halves."""
        return _pooled(*(getattr(self, name) for name in POOLED))

    @property
    def mean(self) -> Floats:
        """``[U]``, the mean of each unit."""
        return self._both[0]

    @property
    def deviation(self) -> Floats:
        """``[U]``, the standard deviation of each unit."""
        return np.sqrt(_variance(self._both[1], self.steps))

    @property
    def time_constant(self) -> Floats:
        """``[U]``, ``-1 / mean(log gate)`` in steps, infinite for 1; NaN for places that keep nothing."""
        if not self.logarithm.size:
            return np.full(self.units, np.nan)
        with np.errstate(divide="ignore"):
            constant = np.where(self.logarithm < 0, -self.steps / self.logarithm, np.inf)
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
        """Return the shares ``[U]`` of steps below 0.1 and above 0.9; ±0.9 for g, n, h; ±1 if unbounded."""
        steps = np.maximum(self.histogram.sum(1), 1)
        low, high = (0.1, 0.9) if edges[0] == 0 else (-0.9, 0.9) if np.isfinite(edges[0]) else (-1.0, 1.0)
        shut = self.histogram[:, edges[1:] <= low + 1e-9].sum(1)
        return np.asarray(shut / steps), np.asarray(self.histogram[:, edges[:-1] >= high - 1e-9].sum(1) / steps)

    def correlations(self, half: int | None = None) -> Floats:
        """Return units' correlations with labels ``[K, U]``; NaN if constant or under three steps."""
        chosen = slice(None) if half is None else slice(half, half + 1)
        n, counts = max(int(self.count[chosen].sum()), 1), self.label_count[chosen].sum(0)
        _, spread, by_label = self._both if half is None else (None, self.spreads[half], self.label_spreads[half])
        share = counts[:, None] / n
        scale = np.sqrt(share * (1 - share) * _variance(spread, n))
        is_known = (n >= LEAST_STEPS) & (scale > 0)
        return np.where(is_known, np.clip(by_label / n / np.where(is_known, scale, 1), -1, 1), np.nan)

    def best_labels(self, half: int) -> Ints:
        """Return the label with the largest absolute correlation for each unit ``[U]``; in a tie, the positive one."""
        r = self.correlations(half)
        return np.asarray(np.where(np.isnan(r), -1, np.abs(r) + 1e-6 * (r > 0)).argmax(0))

    def token_means(self, unit: int) -> Floats:
        """Return the mean of a unit at each token that is counted, ``[V]``; 0 for a token that never occurs."""
        return np.asarray(self.token_total[:, unit] / np.maximum(self.token_count, 1))

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


POOLED = "count", "means", "spreads", "label_count", "label_spreads"


def _pooled(
    count: Ints, means: Floats, spreads: Floats, label_count: Ints, label_spreads: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the means and sums of deviations of several parts (the first axis) together; Chan et al. (1979)."""
    weight = count[..., None]
    together = (weight * means).sum(0) / np.maximum(weight.sum(0), 1)
    moved = means - together
    by_label = label_spreads + label_count[..., None] * moved[..., None, :]
    return together, (spreads + weight * moved**2).sum(0), by_label.sum(0)


def _variance(spread: Floats, n: int) -> Floats:
    variance = spread / max(n, 1)
    return np.where(variance > LEAST_VARIANCE, variance, 0.0)


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
        """Add values ``[T, N, U]``; return the ones at real steps ``[M, U]``, in memory that the next call reuses."""
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
                shift = values[(part.start + part.stop) // 2].clone()
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
        offset = total.sum(1) / np.maximum(count, 1)[:, None]
        means, spreads = shift + offset, np.maximum(self.square.numpy() - count[:, None] * offset**2, 0)
        if not (np.isfinite(means).all() and np.isfinite(spreads).all()):
            raise ArgumentError("the model has states that are infinite or NaN, which an index cannot count")
        top, top_key = _padded(*_best(self.high, 1, keys))
        bottom, bottom_key = _padded(*_best(self.low, -1, keys))
        return Statistics(
            count=count,
            means=means,
            spreads=spreads,
            logarithm=self.logarithm.numpy() if self.is_keeping else np.empty(0),
            histogram=self.histogram.view(self.units, BINS).numpy(),
            labels=labels,
            label_count=label_count,
            label_spreads=total[:, :-1] - label_count[..., None] * offset[:, None],
            token_count=token_count,
            token_total=self.tokens.numpy() + token_count[:, None] * token_shift,
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
