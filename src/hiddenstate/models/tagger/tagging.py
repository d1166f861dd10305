"""The result of tagging a sentence: a distribution over tags for each word, in each tag column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from hiddenstate.tracing.trace import Trace


@dataclass(frozen=True, eq=False)
class WordTags:
    """The tags of all words of several sentences, one after another, in one column.

    Attributes:
        names: the column's tags.
        numbers: ``[W]``, each word's tag as an index of ``names``.
        probabilities: ``[W]``, the probability of each word's tag; 0 if a CRF chose the tags and they were not
            requested.
    """

    names: tuple[str, ...]
    numbers: Tensor
    probabilities: Tensor

    @property
    def tags(self) -> list[str]:
        """The tag of each word."""
        return [*map(self.names.__getitem__, self.numbers.tolist())]


OnlyTags = Callable[[Sequence[tuple[str, ...]]], Mapping[str, WordTags]]


@dataclass(frozen=True)
class Guess:
    """One way to tag a whole sentence, and how probable it is."""

    tags: tuple[str, ...]
    probability: float


@dataclass(frozen=True, eq=False)
class Tags:
    """The tags of one sentence in one column.

    Attributes:
        names: the K tags, in the order of the last axis of ``probabilities``.
        tags: the tag of each word: the most probable one, or with a CRF that of the most probable sequence.
        probabilities: ``[T, K]``, the distribution over tags of each word.
        guesses: the most probable taggings of the whole sentence, best first, as many as requested.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: Tensor
    guesses: tuple[Guess, ...] = ()

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
