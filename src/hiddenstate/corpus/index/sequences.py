"""A sequence of a corpus, its contexts, and pseudo-random draws that depend only on positions in the corpus."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW = 64  # steps in a context
CHECKPOINT = 256  # steps between stored states
MOST_STEPS = 1 << 22  # maximum number of steps in a sequence
MOST_LABELS = 128
NO_LABEL = ""


class Item(NamedTuple):
    """A sequence that is read from the zero state.

    Attributes:
        tokens: a word or character for each of its T steps.
        labels: a label for each step, `NO_LABEL` if it has none.
        data: its input ``[T, C]``, if that can't be computed from the tokens; otherwise None.
    """

    tokens: tuple[str, ...]
    labels: tuple[str, ...]
    data: NDArray[np.float32] | None = None


class Context(NamedTuple):
    """Some steps of a sequence: its shard, its number there, the first step, and the step after the last."""

    shard: int
    sequence: int
    start: int
    stop: int


def context_key(shard: int, sequence: Any, window: Any) -> Any:
    """Return the number of a context: 64 steps of a sequence of a shard."""
    return (shard << 40) | (sequence << 16) | window


def context_of(key: int) -> tuple[int, int, int]:
    """Return the shard, the sequence and the window of a context's number."""
    return key >> 40, (key >> 16) & 0xFFFFFF, key & 0xFFFF


def half_of(shard: int, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each sequence's half, 0 or 1: labels are chosen on the first and confirmed on the second."""
    return (scramble(np.int64(shard) * (1 << 24) + sequences) >> np.uint64(63)).astype(np.int64)


def scramble(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a pseudo-random 64-bit number for each number (splitmix64; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
