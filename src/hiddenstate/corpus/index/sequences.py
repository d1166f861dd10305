"""A sequence of a corpus and its contexts, and what reads it; random draws that depend only on places in the corpus."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.corpus.index.lagged import Covariates
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.explain.subject.head import Head
from hiddenstate.nn.recurrent import Recurrent

WINDOW = 64  # steps in a context
CHECKPOINT = 256  # steps between stored states
PIECE = 4096  # steps of a series that are read one after another, next to other pieces
MOST_STEPS = 1 << 22  # maximum number of steps in a sequence
MOST_LABELS = 128
NO_LABEL = ""

LabelFunction = Callable[[Sequence[str]], Sequence[str]]


class CorpusItem(NamedTuple):
    """A sequence that is read from the zero state, or a part of a long series."""

    tokens: tuple[str, ...]  # a word or character for each of its T steps, or its date
    labels: tuple[str, ...]  # a label for each step, `NO_LABEL` if it has none
    # its input ``[T, C]``, if that can't be computed from the tokens; otherwise None. If a series is read in windows of
    # W steps, W - 1 earlier ones come first
    data: NDArray[np.float32] | None = None
    # the states that a layer carries, each ``[L, P, ...]``, before every `PIECE` steps of a part of a series; None if
    # it is read from the zero state
    states: tuple[Tensor, ...] | None = None
    place: tuple[int, int] = (0, 0)  # the row of a part of a series, and its first step there


class Context(NamedTuple):
    """Some steps of a sequence: its shard, its number there, the first step, and the step after the last."""

    shard: int
    sequence: int
    start: int
    stop: int


def cut_part(item: CorpusItem, start: int, stop: int, lead: int) -> CorpusItem:
    """Return steps of a part of a series, from a step with a known state on, preceded by ``lead`` steps."""
    number = start // PIECE
    return item._replace(
        tokens=item.tokens[start:stop],
        labels=item.labels[start:stop],
        data=None if item.data is None else item.data[start : stop + lead],
        states=None if item.states is None else tuple(part[:, number : number + 1] for part in item.states),
    )


@dataclass(frozen=True, eq=False)
class CorpusReader(ABC):
    """A model that reads the sequences of a corpus."""

    model: Any
    # the column or the kind of labels, or a function of a sequence's tokens; None without labels, and for arrays, which
    # have theirs
    labels: str | LabelFunction | None = None
    # the sequences that a layer reads, or the parts of a series; empty if they come from files, or the index was
    # reopened
    arrays: tuple[CorpusItem, ...] = ()
    # what the units of a series model are compared with; None for others, or if the index was reopened
    covariates: Covariates | None = None

    kind: ClassVar[str]

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """The layer whose units are indexed."""
        return self.model.lstm

    @property
    @abstractmethod
    def head(self) -> Head | None:
        """The head that reads the layer's outputs."""

    @property
    def window(self) -> int | None:
        """The number of steps in each window of a series; None if it is read whole, or is not a series."""
        return None

    @property
    def lead(self) -> int:
        """How many steps of data precede a sequence's first step."""
        return 0

    @property
    def common(self) -> tuple[str, ...]:
        """The tokens whose steps are counted, the most frequent ones of the model."""
        return ()

    @abstractmethod
    def items(self, shard: Shard) -> list[CorpusItem]:
        """Return the sequences of a shard."""

    @abstractmethod
    def item(self, x: Any) -> CorpusItem:
        """Return a sentence, text or array as a sequence."""

    @abstractmethod
    def inputs(self, items: Sequence[CorpusItem], start: int, stop: int) -> Tensor:
        """Return the layer's input ``[stop - start, N, C]`` at some steps; arbitrary for sequences that have ended."""

    @abstractmethod
    def targets(self, item: CorpusItem) -> NDArray[np.int64]:
        """Return the index of the correct output of the head at each step; -1 if unknown."""

    def pieces(self, item: CorpusItem) -> list[tuple[int, CorpusItem]]:
        """Return the parts of a sequence that can be run side by side, each with its first step."""
        return [(0, item)]

    def folded(self, token: str) -> str:
        """Return a token in the form in which it is counted."""
        return token

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model into a folder, from which it can be loaded."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the model's values depend on, ready for JSON."""


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
