"""Text as tensors: sentences batched by similar length, each distinct word spelt once; a long text in parallel rows."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.text.tokens import Ids
from hiddenstate.text.vocabulary import PADDING, Vocabulary

# torch's cross entropy ignores targets with this value.
IGNORED_TAG = -100

TagRows = Mapping[str, Sequence[Sequence[str | None]]]


@dataclass(frozen=True, eq=False)
class Batch:
    """N sentences of at most T words with M distinct words of at most K characters; ids and indices are int64.

    Attributes:
        words: ``[T, N]`` word ids, `PADDING` past a sentence's end.
        lengths: ``[N]`` words in each sentence.
        chars: ``[K, M]`` character ids of each distinct word, `PADDING` past a word's end.
        char_lengths: ``[M]`` characters of each distinct word.
        char_index: ``[T, N]`` the column of ``chars`` that spells the word; 0 past a sentence's end.
        tags: ``[T, N]`` tag ids of each tag column, `IGNORED_TAG` for words without a known tag and past a sentence's
            end; None if the sentences have no tags.
        context: ``[T, N, C']`` vectors of the words in their contexts, zero past a sentence's end; None without any.
        taught: ``[T, N, K]`` each column's tag probabilities from other models, zero past a sentence's end; None
            without any.
    """

    words: Tensor
    lengths: Tensor
    chars: Tensor
    char_lengths: Tensor
    char_index: Tensor
    tags: Mapping[str, Tensor] | None = None
    context: Tensor | None = None
    taught: Mapping[str, Tensor] | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        if device == self.words.device:
            return self
        moved: dict[str, Any] = {n: value.to(device) for n, value in vars(self).items() if isinstance(value, Tensor)}
        for name in ("tags", "taught"):
            columns: Mapping[str, Tensor] | None = getattr(self, name)
            moved[name] = columns and {column: values.to(device) for column, values in columns.items()}
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class Encoded:
    """S sentences with W words in total and F distinct forms of at most K characters; all tensors are int64.

    Attributes:
        word_ids: ``[F]`` the word id of each form.
        chars: ``[F, K]`` its character ids, `PADDING` past its end; the longest forms come first.
        char_lengths: ``[F]`` its characters.
        forms: ``[W]`` the form of each word, sentence by sentence.
        starts: ``[S]``, where each sentence's words begin.
        lengths: ``[S]`` words in each sentence.
        tags: ``[W]`` tag ids of each tag column, `IGNORED_TAG` where a word has no known tag; None without tags.
        context: ``[W, C']`` vectors of the words in their contexts; None without any.
        taught: ``[W, K]`` each column's tag probabilities from other models; None without any.
    """

    word_ids: Tensor
    chars: Tensor
    char_lengths: Tensor
    forms: Tensor
    starts: Tensor
    lengths: Tensor
    tags: Mapping[str, Tensor] | None = None
    context: Tensor | None = None
    taught: Mapping[str, Tensor] | None = None

    def batch(self, positions: Sequence[int]) -> Batch:
        """Make a batch of some sentences.

        Args:
            positions: the sentences; at least one must have a word.
        """
        chosen = torch.as_tensor(positions)
        lengths = self.lengths[chosen]
        index, beyond = word_index(self.starts[chosen], lengths)
        forms = self.forms[index]
        distinct, numbers = forms[~beyond].unique(return_inverse=True)
        char_lengths = self.char_lengths[distinct]
        return Batch(
            words=self.word_ids[forms].masked_fill_(beyond, PADDING),
            lengths=lengths,
            chars=self.chars[distinct, : int(char_lengths[0])].T,
            char_lengths=char_lengths,
            char_index=torch.zeros_like(forms).masked_scatter_(~beyond, numbers),
            tags=self.tags
            and {column: ids[index].masked_fill_(beyond, IGNORED_TAG) for column, ids in self.tags.items()},
            context=None if self.context is None else word_rows(self.context, index, beyond),
            taught=self.taught and {column: word_rows(shares, index, beyond) for column, shares in self.taught.items()},
        )


def word_index(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index ``[T, N]`` of each word of N sentences that start there, 0 past an end; and a mask of those."""
    steps = torch.arange(int(lengths.max()))[:, None]
    beyond = steps >= lengths
    return (starts + steps).masked_fill_(beyond, 0), beyond


def word_rows(values: Tensor, index: Tensor, beyond: Tensor) -> Tensor:
    """Return the rows of ``values [W, C]`` at the result of `word_index`, ``[T, N, C]``; zero beyond the end."""
    return values[index].float().masked_fill_(beyond[..., None], 0)


def check_sentences(sentences: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the words of each sentence; raise ArgumentTypeError unless each is a list of words."""
    if isinstance(sentences, str):
        raise ArgumentTypeError(f"{sentences!r:.60} is a string: give a list of sentences, each a list of words")
    if not isinstance(sentences, Iterable):
        raise ArgumentTypeError(f"sentences must be a list of lists of words, got {type(sentences).__name__}")
    rows: list[tuple[str, ...]] = []
    for k, words in enumerate(sentences):
        if isinstance(words, str):
            raise ArgumentTypeError(
                f"sentence {k} is the text {words!r:.60}, not a list of words: split it, with "
                "hiddenstate.text.tokenise.tokenise(text)"
            )
        if not isinstance(words, Iterable):
            raise ArgumentTypeError(f"sentence {k} must be a list of words, got {type(words).__name__}")
        row = tuple(words)
        if not all(issubclass(kind, str) for kind in set(map(type, row))):
            odd = next(word for word in row if not isinstance(word, str))
            raise ArgumentTypeError(f"sentence {k} has {odd!r:.60} among its words, expected strings")
        rows.append(row)
    return rows


def check_words(words: Collection[str]) -> None:
    """Raise ArgumentTypeError or ArgumentError if one of the words is not a string, or is empty."""
    if not all(issubclass(kind, str) for kind in {*map(type, words)}):
        odd = next(word for word in words if not isinstance(word, str))
        raise ArgumentTypeError(f"a sentence has {odd!r:.60} among its words, expected strings")
    if "" in words:
        raise ArgumentError("a batch needs words of at least one character, got ''")


@dataclass(frozen=True)
class Encoder:
    """Converts words to numbers.

    Word ids are looked up in lower case if ``lower_case`` is True (the characters keep the case); a word longer than
    ``max_chars`` is spelt by its first and its last ``max_chars // 2`` characters. ``tags`` has each column's tags.
    """

    words: Vocabulary
    chars: Vocabulary
    tags: Mapping[str, tuple[str, ...]]
    max_chars: int = 30
    lower_case: bool = True

    def __post_init__(self) -> None:
        if self.max_chars < 2:
            raise ArgumentError(f"max_chars must be at least 2, got {self.max_chars}")

    def looked_up(self, word: str) -> str:
        """Return the form of a word to look up in the vocabulary."""
        return word.lower() if self.lower_case else word

    def spell(self, word: str) -> list[int]:
        """Return the ids of the word's characters, ``max_chars`` at most."""
        return self.chars.ids(self._ends(word))

    def spell_all(self, words: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Return the character ids of words, ``[F, K]`` with `PADDING` past a word's end, and their lengths ``[F]``."""
        spelt = list(map(self._ends, words))
        lengths = np.fromiter(map(len, spelt), np.int64, len(spelt))
        table = np.full((len(spelt), lengths.max(initial=0)), PADDING, dtype=np.int64)
        table[np.arange(table.shape[1]) < lengths[:, None]] = self.chars.ids("".join(spelt))
        return torch.from_numpy(table), torch.from_numpy(lengths)

    def word_ids(self, words: Iterable[str]) -> Tensor:
        """Return the ids of words, ``[F]``."""
        return torch.tensor(self.words.ids(map(self.looked_up, words)), dtype=torch.int64)

    def _ends(self, word: str) -> str:
        half = self.max_chars // 2
        return word if len(word) <= self.max_chars else word[:half] + word[-half:]

    def batch(self, sentences: Sequence[Sequence[str]], tags: TagRows | None = None) -> Batch:
        """Encode sentences together; same arguments and errors as `encode`.

        Raises:
            ArgumentError: there is no word at all.
        """
        encoded = self.encode(sentences, tags)
        if not len(encoded.forms):
            raise ArgumentError("a batch needs at least one word, got none")
        return encoded.batch(range(len(sentences)))

    def encode(
        self, sentences: Sequence[Sequence[str]], tags: TagRows | None = None, context: Tensor | None = None
    ) -> Encoded:
        """Encode sentences, to make batches of them.

        Args:
            sentences: words of each sentence; a sentence may be empty.
            tags: for each tag column, a tag or None for each word; tags that are not in ``self.tags`` count as None.
            context: ``[W, C']`` vectors of the words.

        Raises:
            ArgumentError: a word is empty, or tags and words differ in number.
        """
        numbers = {word: k for k, word in enumerate(dict.fromkeys(chain.from_iterable(sentences)))}
        check_words(numbers)
        forms = torch.tensor([*map(numbers.__getitem__, chain.from_iterable(sentences))], dtype=torch.int64)
        lengths = torch.tensor([len(words) for words in sentences], dtype=torch.int64)
        chars, char_lengths = self.spell_all(numbers)
        order = char_lengths.argsort(descending=True, stable=True)
        return Encoded(
            word_ids=self.word_ids(numbers)[order],
            chars=chars[order],
            char_lengths=char_lengths[order],
            forms=order.argsort()[forms],
            starts=lengths.cumsum(0) - lengths,
            lengths=lengths,
            tags=None if tags is None else {c: self._tags(c, sentences, rows) for c, rows in tags.items()},
            context=context,
        )

    def _tags(self, column: str, sentences: Sequence[Sequence[str]], rows: Sequence[Sequence[str | None]]) -> Tensor:
        if [len(words) for words in sentences] != [len(row) for row in rows]:
            raise ArgumentError("tags and words differ in number; give one tag, or None, for every word")
        numbers: dict[str | None, int] = {name: number for number, name in enumerate(self.tags[column])}
        ids = [numbers.get(tag, IGNORED_TAG) for row in rows for tag in row]
        return torch.tensor(ids, dtype=torch.int64)


def plan_batches(lengths: Sequence[int], budget: int, generator: torch.Generator | None = None) -> list[list[int]]:
    """Group sentences of similar length into batches of at most ``budget`` words.

    A sentence longer than the budget gets its own batch; empty sentences are omitted.

    Args:
        lengths: words in each sentence.
        budget: the maximum number of words in a batch, at least 1.
        generator: shuffles sentences of equal length and the order of the batches; None keeps the given order and
            starts with the longest.

    Returns:
        The positions in ``lengths`` of each batch's sentences.

    Raises:
        ArgumentError: the budget is below 1.

    >>> plan_batches([2, 0, 7, 3, 3], budget=6)
    [[2], [3, 4], [0]]
    """
    if budget < 1:
        raise ArgumentError(f"a batch needs a budget of at least 1 word, got {budget}")
    order = range(len(lengths)) if generator is None else _shuffled(len(lengths), generator)
    batches: list[list[int]] = []
    room = 0
    for position in sorted((p for p in order if lengths[p]), key=lambda p: -lengths[p]):
        if lengths[position] > room:
            batches.append([])
            room = budget
        batches[-1].append(position)
        room -= lengths[position]
    return batches if generator is None else [batches[k] for k in _shuffled(len(batches), generator)]


def _shuffled(count: int, generator: torch.Generator) -> list[int]:
    return torch.randperm(count, generator=generator).tolist()


# As in Merity et al. (2018), the number of steps varies a little and is sometimes halved, so that the borders move.
_HALVED, _SPREAD, _FEWEST = 0.05, 5.0, 5


class Span(NamedTuple):
    """Time steps of a batch, from ``start`` to before ``stop``."""

    start: int
    stop: int


class Rows:
    """N parallel pieces of a text, L tokens each; the tokens after the first ``N * L`` are dropped.

    Args:
        ids: the text, M tokens.
        rows: the number of rows, N.
        start: the id that precedes the text.

    Raises:
        ArgumentError: there are fewer tokens than rows.

    >>> import numpy as np
    >>> rows = Rows(np.arange(1, 8, dtype=np.int32), rows=2, start=0)
    >>> inputs, targets = rows.read(Span(0, 3))
    >>> inputs.T.tolist(), targets.T.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """

    def __init__(self, ids: Ids, rows: int, start: int) -> None:
        if rows < 1 or len(ids) < rows:
            raise ArgumentError(
                f"a text of {len(ids)} tokens can't be read as {rows} rows; use fewer rows, or more text"
            )
        text = torch.cat([torch.tensor([start], dtype=torch.int32), torch.from_numpy(ids)])
        self.length = len(ids) // rows
        # Views that overlap by one token: a row's last target is the next row's first input.
        self._rows = text.unfold(0, self.length + 1, self.length)[:rows].T

    def read(self, span: Span) -> tuple[Tensor, Tensor]:
        """Return inputs ``[T, N]`` and, one step later, targets ``[T, N]``, as int64."""
        ids = self._rows[span.start : span.stop + 1].long()
        return ids[:-1].contiguous(), ids[1:].contiguous()


def spans(length: int, steps: int, generator: torch.Generator | None = None) -> list[Span]:
    """Split L time steps into spans of ``steps``, or of about as many with a generator.

    Raises:
        ArgumentError: ``steps`` is below 1.

    >>> spans(5, 2)
    [Span(start=0, stop=2), Span(start=2, stop=4), Span(start=4, stop=5)]
    """
    if steps < 1:
        raise ArgumentError(f"a span needs at least 1 step, got {steps}")
    borders = [0]
    for size in _sizes(steps, generator):
        if borders[-1] >= length:
            break
        borders.append(min(borders[-1] + size, length))
    return [Span(start, stop) for start, stop in pairwise(borders)]


def _sizes(steps: int, generator: torch.Generator | None) -> Iterator[int]:
    while True:
        if generator is None:
            yield steps
            continue
        middle = steps / 2 if torch.rand((), generator=generator) < _HALVED else steps
        drawn = middle + _SPREAD * float(torch.randn((), generator=generator))
        yield max(min(_FEWEST, steps), round(drawn))
