"""The result of tagging a sentence: a distribution over tags for each word, in each tag column."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TypeVar

import torch
from torch import Tensor

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.errors import ArgumentError
from hiddenstate.text.conllu import Sentence, with_tags
from hiddenstate.tracing.trace import Trace


@dataclass(frozen=True, eq=False)
class WordTags:
    """A column's tags ``[W]`` as indices of ``names``; their probabilities are 0 for a CRF unless requested."""

    names: tuple[str, ...]
    numbers: Tensor
    probabilities: Tensor

    @cached_property
    def tags(self) -> list[str]:
        """The tag of each word."""
        return [*map(self.names.__getitem__, self.numbers.tolist())]


OnlyTags = Callable[[Sequence[tuple[str, ...]]], Mapping[str, WordTags]]


@dataclass(frozen=True, eq=False)
class Tags:
    """The tags of one sentence in one column.

    Attributes:
        names: the K tags, in the order of the last axis of ``probabilities``.
        tags: the tag of each word: the most probable one or, with a CRF, the one in the most probable sequence.
        probabilities: ``[T, K]``, the distribution over tags of each word.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: Tensor

    def top(self, k: int) -> list[dict[str, float]]:
        """Return each word's ``k`` most probable tags with their probabilities, most probable first."""
        values, numbers = self.probabilities.topk(min(k, len(self.names)))
        return [
            {self.names[number]: value for number, value in zip(row, shares, strict=True)}
            for row, shares in zip(numbers.tolist(), values.tolist(), strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Tagging:
    """One sentence with its tags in every column of the model.

    Attributes:
        words: the T words.
        columns: the tags by column, in the order of the model's config.
    """

    words: tuple[str, ...]
    columns: Mapping[str, Tags]

    @property
    def main(self) -> Tags:
        """The tags in the first column."""
        return next(iter(self.columns.values()))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag of each word in the first column."""
        return self.main.tags

    @property
    def probabilities(self) -> Tensor:
        """``[T, K]``, the distribution over the first column's tags of each word."""
        return self.main.probabilities

    @property
    def tag_names(self) -> tuple[str, ...]:
        """The K tags of the first column."""
        return self.main.names

    def top(self, k: int) -> list[dict[str, float]]:
        """Return each word's ``k`` most probable tags in the first column; see `Tags.top`."""
        return self.main.top(k)


@dataclass(frozen=True, eq=False)
class Reading(Tagging):
    """One sentence with its tags and a trace of the word-level LSTM.

    Attributes:
        trace: the run that read the sentence; `Tagger.read_all` reads several sentences in one run.
        row: the sentence's batch row in the trace.
    """

    trace: Trace
    row: int = 0


T = TypeVar("T")

# In smaller batches, sentences differ more in length, which costs time; larger batches take memory and are no faster.
SENTENCES_TOGETHER = 4000
WORDS_TOGETHER = 80_000  # bounds the memory for long sentences


def check_precision(precision: str) -> None:
    """Raise ArgumentError for an unknown precision."""
    if precision not in ("fp32", "bf16"):
        raise ArgumentError(f"precision must be fp32 or bf16, got {precision!r}")


def in_batches(
    items: Iterable[T], size: int, words: Callable[[T], int], most_words: int = WORDS_TOGETHER
) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``size``; a list also ends once it has ``most_words`` words."""
    batch, count = list[T](), 0
    for item in items:
        batch.append(item)
        count += words(item)
        if len(batch) >= size or count >= most_words:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def with_best_tags(tag: OnlyTags, sentences: Sequence[Sentence]) -> list[Sentence]:
    """Tag sentences of CoNLL-U, and return them with the tags of every column."""
    tagged, ends = [*sentences], [0, *accumulate(map(len, sentences))]
    for column, words in tag([sentence.forms for sentence in sentences]).items():
        rows = (words.tags[a:b] for a, b in pairwise(ends))
        tagged = [with_tags(sentence, row, column=column) for sentence, row in zip(tagged, rows, strict=True)]
    return tagged


MOST_WORDS = 50_000  # 50 MB for the shipped tagger


class WordInputs:
    """Caches up to ``most`` words' input vectors, from any thread, while the model's weights stay as they are."""

    def __init__(self, compute: Callable[[Sequence[str]], Tensor], most: int = MOST_WORDS) -> None:
        self._compute, self._most, self._lock = compute, most, ForkSafeLock()
        self._rows: dict[str, int] = {}
        self._vectors: Tensor | None = None  # [F, C] or longer, of which the first F rows are in use

    def look_up(self, words: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Return a tensor of vectors, and the row of each word in it, ``[W]``."""
        words = list(words)
        with self._lock.lock:
            new = [word for word in dict.fromkeys(words) if word not in self._rows]
            if len(self._rows) + len(new) > self._most:
                self._rows, self._vectors, new = {}, None, [*dict.fromkeys(words)]
            if new or self._vectors is None:
                self._vectors = _appended(self._vectors, len(self._rows), self._compute(new))
                self._rows.update(zip(new, range(len(self._rows), len(self._rows) + len(new)), strict=True))
            # Words added later are written after these rows, or into another tensor.
            return self._vectors, torch.tensor([*map(self._rows.__getitem__, words)], dtype=torch.int64)


def _appended(vectors: Tensor | None, count: int, more: Tensor) -> Tensor:
    """Return a tensor with these rows after the first ``count``; a longer tensor if they don't fit."""
    if vectors is None:
        return more
    end = count + len(more)
    if end > len(vectors) or vectors.is_inference():  # a tensor made in inference mode can't be written outside it
        longer = vectors.new_empty(2 * end, vectors.shape[1])
        longer[:count] = vectors[:count]
        vectors = longer
    vectors[count:end] = more
    return vectors
