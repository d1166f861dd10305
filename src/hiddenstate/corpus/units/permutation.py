"""Computes the probability that a correlation arises by chance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hiddenstate.corpus.index.items import WINDOW

LEAST = 32
LEAST_STEPS = 2 * LEAST + 2  # minimum for one shift
LEAST_SEQUENCES = 32
FLIPS, FLIPS_TOGETHER = 10_000, 1000


def shift_p(values: NDArray[np.float64], labels: NDArray[np.bool_], least: int = LEAST) -> tuple[float, float]:
    """Return the correlation of values with a label, and the share of circular label shifts that reach it.

    Shifts preserve how values and labels depend on their neighbours; shuffling would not, and would make p too small.
    All shifts by at least ``least`` steps are computed, by Fourier transforms.

    Args:
        values: ``[T]``.
        labels: ``[T]``, whether a step has the label.
        least: the smallest shift, on either side.

    Returns:
        The correlation, and p: (shifts with an absolute correlation at least as large + 1) / (shifts + 1). (0, 1) if
        either is constant or there are too few steps.
    """
    T = len(values)
    if 2 * least + 1 >= T:
        return 0.0, 1.0
    a, b = values - values.mean(), labels - labels.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale < 1e-9:
        return 0.0, 1.0
    every = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), T) / scale
    shifted = np.abs(every[least : T - least + 1])
    found = float(a @ b / scale)
    return found, (int((shifted >= abs(found) - 1e-12).sum()) + 1) / (len(shifted) + 1)


def flip_p(
    values: NDArray[np.float64], labels: NDArray[np.bool_], groups: NDArray[np.int64], flips: int = FLIPS
) -> float:
    """Return the probability of a correlation this large if the contribution of each group has a random sign.

    Unlike shifts, this is also valid for labels that whole groups share: a shift mixes parts of two groups, which makes
    correlations smaller.

    Args:
        values: ``[T]``.
        labels: ``[T]``, whether a step has the label.
        groups: ``[T]``, as `groups_of` returns them.
        flips: how many random signs of all groups are drawn.
    """
    parts = np.bincount(groups, (values - values.mean()) * (labels - labels.mean()))
    generator, least, count = np.random.default_rng(0), abs(parts.sum()) - 1e-12, 0
    for start in range(0, flips, FLIPS_TOGETHER):
        signs = generator.integers(0, 2, (min(FLIPS_TOGETHER, flips - start), len(parts)), dtype=np.int8) * 2 - 1
        count += int((np.abs(signs @ parts) >= least).sum())
    return (count + 1) / (flips + 1)


def groups_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return the group of each step of some sequences; steps in a group may depend on one another.

    The groups are the sequences or, if there are fewer than 32, windows of 64 steps.
    """
    size = max(*lengths, 1) if len(lengths) >= LEAST_SEQUENCES else WINDOW
    ends = np.cumsum([-(-length // size) for length in lengths])
    starts = ends - [-(-length // size) for length in lengths]
    return np.concatenate([a + np.arange(length) // size for a, length in zip(starts, lengths, strict=True)])
