"""Sentences as tensors: similar lengths together, each distinct word spelt out once a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.errors import ArgumentError
from hiddenstate.text.vocabulary import PADDING, Vocabulary

# torch's cross entropy leaves out targets of this value.
IGNORED_TAG = -100


@dataclass(frozen=True, eq=False)
class Batch:
    """N sentences of at most T words with M distinct words of at most K characters; all tensors are int64.

    Attributes:
        words: ``[T, N]`` word ids, `PADDING` past a sentence's end.
        lengths: ``[N]`` words in each sentence.
        chars: ``[K, M]`` character ids of each distinct word, `PADDING` past a word's end.
        char_lengths: ``[M]`` characters of each distinct word.
        char_index: ``[T, N]`` which column of ``chars`` spells the word; 0 past a sentence's end.
        tags: ``[T, N]`` tag ids, `IGNORED_TAG` where a word has no known tag and past a sentence's end; None
            when the sentences came without tags.
    """

    words: Tensor
    lengths: Tensor
    chars: Tensor
    char_lengths: Tensor
    char_index: Tensor
    tags: Tensor | None


@dataclass(frozen=True)
class Encoder:
    """How words become numbers.

    Word ids are looked up in lower case (the characters keep the case); a word longer than ``max_chars`` is spelt
    by its first and its last ``max_chars // 2`` characters.
    """

    words: Vocabulary
    chars: Vocabulary
    tag_names: tuple[str, ...]
    max_chars: int = 30

    def __post_init__(self) -> None:
        if self.max_chars < 2:
            raise ArgumentError(f"max_chars must be at least 2, got {self.max_chars}")

    def spell(self, word: str) -> list[int]:
        """Return the ids of the word's characters, ``max_chars`` at most."""
        half = self.max_chars // 2
        return self.chars.ids(word if len(word) <= self.max_chars else word[:half] + word[-half:])

    def batch(self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str | None]] | None = None) -> Batch:
        """Encode sentences together.

        Args:
            sentences: words of each sentence; a sentence may be empty, but not all of them.
            tags: a tag, or None, for each word; one that is not in ``tag_names`` counts as None.

        Raises:
            ArgumentError: there is no word at all, a word is empty, or tags and words differ in number.
        """
        distinct: dict[str, int] = {}
        columns = [[distinct.setdefault(word, len(distinct)) for word in words] for words in sentences]
        if not distinct or "" in distinct:
            raise ArgumentError(f"a batch needs words of at least one character, got {list(distinct)!r}")
        char_index = _padded(columns, 0)
        lengths = torch.tensor([len(words) for words in sentences])
        beyond = torch.arange(len(char_index))[:, None] >= lengths
        words = torch.tensor(self.words.ids(word.lower() for word in distinct))[char_index]
        spelt = [self.spell(word) for word in distinct]
        return Batch(
            words=words.masked_fill(beyond, PADDING),
            lengths=lengths,
            chars=_padded(spelt, PADDING),
            char_lengths=torch.tensor([len(ids) for ids in spelt]),
            char_index=char_index,
            tags=None if tags is None else self._tags(sentences, tags),
        )

    def _tags(self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str | None]]) -> Tensor:
        if [len(words) for words in sentences] != [len(row) for row in tags]:
            raise ArgumentError("tags and words differ in number; give one tag, or None, for every word")
        numbers = {name: number for number, name in enumerate(self.tag_names)}
        return _padded([[numbers.get(tag or "", IGNORED_TAG) for tag in row] for row in tags], IGNORED_TAG)


def plan_batches(lengths: Sequence[int], budget: int, generator: torch.Generator | None = None) -> list[list[int]]:
    """Group sentences of similar length into batches of at most ``budget`` words.

    A sentence longer than the budget is a batch of its own; empty sentences are left out.

    Args:
        lengths: words in each sentence.
        budget: the most words in a batch, at least 1.
        generator: shuffles which sentences of one length meet, and the order of the batches; None keeps the
            given order and starts with the longest.

    Returns:
        For each batch the positions of its sentences in ``lengths``.

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
    return [int(k) for k in torch.randperm(count, generator=generator)]


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Rows as the columns of one tensor, ``[longest row, rows]``."""
    return pad_sequence([torch.tensor(row, dtype=torch.int64) for row in rows], padding_value=fill)
