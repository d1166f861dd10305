"""Ridge regression of numbers on states or inputs: split, penalty, R² with its interval."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.probe.linear import Score, held_out_sequences, resampled

Floats = NDArray[np.float64]
LEAST_SEQUENCES = 4  # with fewer, each is split by time
BLOCKS = 40  # of neighbouring steps in a sequence that is split by time; half of them are held out
LEAST_STEPS = 2 * BLOCKS
PENALTIES = 10.0 ** np.arange(-8, 3)  # relative to the number of steps


@dataclass(frozen=True, eq=False)
class Split:
    """Which of M steps train a probe, and which score it."""

    train: NDArray[np.int64]  # the numbers of the steps that train it
    held_out: NDArray[np.int64]  # the numbers of the steps that score it
    unit: NDArray[np.int64]  # [M], each step's sequence, or its block of neighbours, numbered by time and sequence
    by_time: bool  # whether the held-out steps are later ones of the same sequences

    def part(self, steps: NDArray[np.int64], share: float) -> "Split":
        """Return a split of some of the steps: the first share of their units trains, the others score."""
        units = np.unique(self.unit[steps])
        last = units[max(1, int(len(units) * share)) - 1]
        is_first = self.unit[steps] <= last
        return Split(steps[is_first], steps[~is_first], self.unit, self.by_time)


def split_steps(sequence: NDArray[np.int64], gap: int, seed: int) -> Split:
    """Hold out half of the sequences or, if there are fewer than four, the later half of each, after a gap."""
    numbers, counts = np.unique(sequence, return_counts=True)
    every = np.arange(len(sequence))
    if len(numbers) >= LEAST_SEQUENCES:
        is_held_out = held_out_sequences(torch.from_numpy(sequence), seed)
        return Split(every[~is_held_out], every[is_held_out], sequence, by_time=False)
    least = LEAST_STEPS + gap
    if counts.min(initial=least) < least:
        raise ArgumentError(
            f"a probe of numbers needs at least {LEAST_SEQUENCES} rows with targets, or at least {least} steps with "
            f"targets in each row, got {len(numbers)} and {counts.min()}"
        )
    at = np.concatenate([np.arange(count) for count in counts])
    of = np.repeat(counts, counts)
    block = at * BLOCKS // of
    is_held_out = (at >= (of + 1) // 2 + gap) & (block >= BLOCKS // 2)
    unit = block * len(numbers) + np.repeat(np.arange(len(numbers)), counts)  # numbered by time
    return Split(every[block < BLOCKS // 2], every[is_held_out], unit, by_time=True)


@dataclass(frozen=True, eq=False)
class Regression:
    """Ridge regressions of S targets: ``x @ weights.T + intercept``."""

    weights: Floats  # [S, F]
    intercept: Floats  # [S]
    penalty: Floats  # [S], chosen on the last quarter of the training steps

    def __call__(self, x: Floats) -> Floats:
        """Return the numbers ``[M, S]`` read from ``x [M, F]``."""
        return x @ self.weights.T + self.intercept


def regress(x: Floats, y: Floats, split: Split) -> Regression:
    """Train ridge regressions of targets ``y [M, S]`` on standardised columns of ``x [M, F]``."""
    inner = split.part(split.train, 3 / 4)
    penalties = PENALTIES * len(split.train)
    errors = [
        np.square(_trained(x, y, inner.train, np.full(y.shape[1], penalty))(x[inner.held_out]) - y[inner.held_out])
        for penalty in penalties
    ]
    chosen = np.argmin([error.mean(0) for error in errors], axis=0)
    return _trained(x, y, split.train, penalties[chosen])


def _trained(x: Floats, y: Floats, steps: NDArray[np.int64], penalty: Floats) -> Regression:
    linear = optional_package("sklearn.linear_model", "probe", "a probe")
    scaler = optional_package("sklearn.preprocessing", "probe", "a probe").StandardScaler()
    model: Any = linear.Ridge(alpha=penalty, solver="cholesky")
    with warnings.catch_warnings():  # columns that depend on one another; scikit-learn then solves by SVD
        warnings.simplefilter("ignore")
        model.fit(scaler.fit_transform(x[steps]), y[steps])
    weights = np.atleast_2d(model.coef_) / scaler.scale_
    return Regression(weights, np.atleast_1d(model.intercept_) - weights @ scaler.mean_, penalty)


def r_squared(read: Floats, numbers: Floats, split: Split, seed: int) -> Score:
    """Return R² at the held-out steps, with an interval from resampling sequences or blocks."""
    _, number = np.unique(split.unit[split.held_out], return_inverse=True)
    y = numbers[split.held_out]
    centred = y - y.mean()
    columns = (np.square(y - read), centred, np.square(centred), np.ones_like(y))
    sums = np.stack([np.bincount(number, column) for column in columns], axis=1).astype(np.float64)
    missed, total, squares, count = resampled(sums, seed).T
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of equal numbers has no R²
        low, high = np.nanquantile(1 - missed / (squares - np.square(total) / count), [0.025, 0.975])
    return Score(float(1 - columns[0].sum() / columns[2].sum()), float(low), float(high))
