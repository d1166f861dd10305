"""A sequence of a corpus, and the protocol of readers, which turn sequences into a layer's input."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.explain.subject.head import Head
from hiddenstate.nn.recurrent import Recurrent

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


class Reader(Protocol):
    """A model that reads sequences."""

    @property
    def kind(self) -> str:
        """``tagger``, ``language-model`` or ``lstm``."""

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """Its LSTM, GRU or RNN."""

    @property
    def head(self) -> Head | None:
        """The head that reads the layer's outputs."""

    @property
    def common(self) -> tuple[str, ...]:
        """The tokens whose steps are counted, the most frequent ones of the model."""

    @property
    def labelling(self) -> str:
        """A description of the labels, for the manifest."""

    def items(self, shard: Shard) -> list[Item]:
        """Return the sequences of a shard."""

    def inputs(self, items: Sequence[Item], start: int, stop: int) -> Tensor:
        """Return the layer's input ``[stop - start, N, C]`` at some steps; arbitrary for sequences that have ended."""

    def folded(self, token: str) -> str:
        """Return a token in the form in which it is counted."""

    def targets(self, item: Item) -> NDArray[np.int64]:
        """Return the index of the correct output of the head at each step; -1 if unknown."""

    def save(self, folder: Path) -> None:
        """Write the model into a folder, from which it can be loaded."""

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the model's values depend on, ready for JSON."""


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
