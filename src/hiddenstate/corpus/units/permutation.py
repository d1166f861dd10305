"""Computes the probability that a correlation arises by chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiddenstate.corpus.index.sequences import WINDOW

SIGNIFICANT = 0.01
LEAST = 32
LEAST_STEPS = 2 * LEAST + 2  # minimum for one shift
LEAST_SEQUENCES = 32
FLIPS, FLIPS_TOGETHER = 10_000, 1000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Chance(NamedTuple):
    """A correlation, and the probability of one as large by chance; None if unknown."""

    r: float | None
    p: float | None


def chance(values: Floats, labels: Mask, lengths: Sequence[int], draws: int = FLIPS) -> Chance:
    """Return the correlation of values with a label over some sequences, and its p.

    The steps of a sequence depend on one another, so p is the larger of two values, neither of which takes steps as
    independent. One is `shift_p`. The other is `flip_p` by sequence if there are at least 32 sequences, the label
    mostly covers whole ones, or they are too short for the alternative, which is `inner_shift_p`.

    Values ``[T]``, and whether steps have the label, are concatenated over the sequences. The correlation is None
    if either is constant, or there are fewer than 66 steps. p is also None if there are too few sequences for any p
    below 0.01: fewer than eight, if they are the groups.
    """
    if len(values) < LEAST_STEPS or min(np.ptp(values), np.ptp(1 * labels)) == 0:
        return Chance(None, None)
    values = (values - values.mean()) / values.std()
    r, p = shift_p(values, labels)
    least, other = 1.0, 1.0
    if not are_groups(labels, lengths):
        least, other = inner_shift_p(values, labels, lengths, draws)
    if least >= SIGNIFICANT:
        groups = np.repeat(np.arange(len(lengths)), lengths)
        least, other = 2.0 ** (1 - len(lengths)), flip_p(values, labels, groups, draws)
    return Chance(r, None if least >= SIGNIFICANT else max(p, other, least))


def shift_p(values: Floats, labels: Mask, least: int = LEAST) -> tuple[float, float]:
    """Return the correlation, and p of circular label shifts by ``least`` or more, which keep neighbours; or (0, 1)."""
    T = len(values)
    if 2 * least + 1 >= T:
        return 0.0, 1.0
    a, b = values - values.mean(), labels - labels.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale < 1e-9:
        return 0.0, 1.0
    every = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), T) / scale
    shifted = np.abs(every[least : T - least + 1])
    r = float(a @ b / scale)
    return r, (int((shifted >= abs(r) - 1e-12).sum()) + 1) / (len(shifted) + 1)


def flip_p(values: Floats, labels: Mask, groups: Ints, flips: int = FLIPS) -> float:
    """Return the chance of so large a correlation if each group's contribution has a random sign.

    This is also valid for labels that whole groups share: a shift mixes two groups, which makes correlations smaller.
    """
    parts = np.bincount(groups, (values - values.mean()) * (labels - labels.mean()))
    generator, least, count = np.random.default_rng(0), abs(parts.sum()) - 1e-12, 0
    for start in range(0, flips, FLIPS_TOGETHER):
        signs = generator.integers(0, 2, (min(FLIPS_TOGETHER, flips - start), len(parts)), dtype=np.int8) * 2 - 1
        count += int((np.abs(signs @ parts) >= least).sum())
    return (count + 1) / (flips + 1)


def inner_shift_p(values: Floats, labels: Mask, lengths: Sequence[int], draws: int = FLIPS) -> tuple[float, float]:
    """Return the least possible p, and the share of random label shifts inside sequences that reach the correlation.

    Labels shifted beyond the end come back mirrored, because a jump there would break up slow labels.
    """
    a, b = values - values.mean(), labels - labels.mean()
    generator, sums, choices = np.random.default_rng(0), np.zeros(draws), 1.0
    for stop, T in zip(np.cumsum(lengths).tolist(), lengths, strict=True):
        x, y = a[stop - T : stop], b[stop - T : stop]
        if T <= LEAST or np.ptp(y) == 0:
            sums += x @ y
            continue
        mirrored = np.fft.rfft(np.concatenate([y, y[::-1]]))
        shifted = np.fft.irfft(np.fft.rfft(x, 2 * T) * np.conj(mirrored), 2 * T)[LEAST : 2 * T - LEAST + 1]
        sums += shifted[generator.integers(0, len(shifted), draws)]
        choices *= len(shifted)
    reached = np.abs(sums) >= abs(a @ b) - 1e-9 * np.sqrt((a @ a) * (b @ b))
    return 1 / (choices + 1), (int(reached.sum()) + 1) / (draws + 1)


def are_groups(labels: Mask, lengths: Sequence[int]) -> bool:
    """Whether sequences are the groups that count: there are at least 32, or the label mostly covers whole ones."""
    if len(lengths) >= LEAST_SEQUENCES:
        return True
    share = labels.mean()
    inside = np.add.reduceat(labels, np.cumsum([0, *lengths[:-1]]), dtype=np.float64) / lengths
    return bool(np.average((inside - share) ** 2, weights=lengths) > share * (1 - share) / 2)


def groups_of(labels: Mask, lengths: Sequence[int]) -> Ints:
    """Return each step's group ``[T]`` of dependent steps: its sequence if `are_groups`, or 64 steps."""
    size = max(*lengths, 1) if are_groups(labels, lengths) else WINDOW
    ends = np.cumsum([-(-length // size) for length in lengths])
    starts = ends - [-(-length // size) for length in lengths]
    return np.concatenate([a + np.arange(length) // size for a, length in zip(starts, lengths, strict=True)])
