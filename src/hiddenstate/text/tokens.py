"""The tokens that a language model reads and predicts: the characters or words of a text, as ids.

Characters are code points. Words are separated by white space, as in WikiText-2: each line ends with ``<eos>``, and
``<unk>``, id 0, stands for every word that is not in the vocabulary, including a literal ``<unk>`` in the text.
Character vocabularies have this id too.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import Source, describe_source, read_chunks

LEVELS = ("char", "word")
UNKNOWN_TOKEN = "<unk>"
END_TOKEN = "<eos>"  # the end of a line
UNKNOWN_ID = 0

Ids = NDArray[np.int32]
# Consecutive characters are kept as a string, which is faster to look up than a list.
Pieces = str | list[str]

_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Tokens:
    """The vocabulary of a language model: V characters or words, each with its index as id.

    Attributes:
        level: ``char`` or ``word``.
        tokens: ``<unk>``, then the others, the most frequent first.
        counts: how often each occurred when the vocabulary was built.

    Raises:
        ArgumentError: an unknown level, a repeated token, a wrong number of counts, a character that is not one code
            point, or ``<unk>`` is not the first token.

    >>> tokens = Tokens("word", ("<unk>", "<eos>", "a", "rose"), (0, 1, 1, 1))
    >>> tokens.ids(["a", "rosy", "rose", "<eos>"])
    array([2, 0, 3, 1], dtype=int32)
    """

    level: str
    tokens: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ArgumentError(f"level must be one of {' '.join(LEVELS)}, got {self.level!r}")
        if len(self.tokens) != len(self.counts) or len(set(self.tokens)) != len(self.tokens):
            raise ArgumentError(f"{len(self.tokens)} tokens must be distinct, with one count each")
        if self.tokens[:1] != (UNKNOWN_TOKEN,):
            raise ArgumentError(f"the first token must be {UNKNOWN_TOKEN}, got {self.tokens[:1]}")
        if self.level == "char" and any(len(token) != 1 for token in self.tokens[1:]):
            raise ArgumentError("a character must be one code point")

    def __len__(self) -> int:
        """Return V, including ``<unk>``."""
        return len(self.tokens)

    @property
    def start(self) -> int:
        """The id that precedes a text: a line end, or ``<unk>`` if there was none in training."""
        end = "\n" if self.level == "char" else END_TOKEN
        return int(self.ids([end] if self.level == "word" else end)[0])

    def ids(self, pieces: Pieces) -> Ids:
        """Return the id of each piece from `split`; `UNKNOWN_ID` for unknown pieces."""
        if self.level == "char":
            return self._table[code_points("".join(pieces))]
        numbers = self._numbers
        return np.fromiter((numbers.get(piece, UNKNOWN_ID) for piece in pieces), np.int32, len(pieces))

    def read(self, source: Source) -> Ids:
        """Return the ids of a whole file or open stream.

        Raises:
            FileFormatError: it is empty, or not UTF-8.
            OSError: it cannot be read.
        """
        pieces = split(self.level, read_chunks(source), whole_lines=True)
        return _joined([*map(self.ids, pieces)], source)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, whose last line may be incomplete."""
        return np.concatenate([np.empty(0, np.int32), *map(self.ids, split(self.level, [text]))])

    def text_of(self, ids: Iterable[int], after: int | None = None) -> str:
        """Return the text of some ids that follow the id ``after``; if None, they start a line."""
        return "".join(self.pieces_of(ids, after))

    def pieces_of(self, ids: Iterable[int], after: int | None = None) -> Iterator[str]:
        r"""Yield the text of each id: words with a leading blank, and ``\n`` for ``<eos>``."""
        if self.level == "char":
            yield from map(self.tokens.__getitem__, ids)
            return
        before = END_TOKEN if after is None else self.tokens[after]
        for number in ids:
            token = self.tokens[number]
            yield "\n" if token == END_TOKEN else token if before == END_TOKEN else f" {token}"
            before = token

    def to_data(self) -> dict[str, Any]:
        """Return data for `json.dump` and `from_data`."""
        return {"level": self.level, "tokens": list(self.tokens), "counts": list(self.counts)}

    @classmethod
    def from_data(cls, data: Any) -> "Tokens":
        """Read what `to_data` returned; FileFormatError if it is not valid."""
        try:
            tokens, counts = tuple(data["tokens"]), tuple(data["counts"])
            if not all(isinstance(t, str) for t in tokens) or not all(type(c) is int for c in counts):
                raise TypeError("tokens must be strings and counts integers")
            return cls(data["level"], tokens, counts)
        except (ArgumentError, TypeError, KeyError, IndexError) as error:
            raise FileFormatError(f"not the tokens of a language model: {error}") from error

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def _table(self) -> Ids:
        """The id of every code point."""
        table = np.full(_CODE_POINTS, UNKNOWN_ID, np.int32)
        table[code_points("".join(self.tokens[1:]))] = np.arange(1, len(self.tokens))
        return table


def learn(source: Source, level: str, minimum: int = 1, most: int = 0) -> tuple[Tokens, Ids]:
    """Read a text once and return its vocabulary and its ids.

    Args:
        source: a path, or an open stream of text or bytes.
        level: ``char`` or ``word``.
        minimum: tokens that occur less often become ``<unk>``.
        most: the maximum number of tokens, including ``<unk>``, beyond which the rarest become ``<unk>``; 0 for no
            limit.

    Raises:
        FileFormatError: it is empty, or not UTF-8.
        ArgumentError: unknown level.
        OSError: it cannot be read.
    """
    if level not in LEVELS:
        raise ArgumentError(f"level must be one of {' '.join(LEVELS)}, got {level!r}")
    pieces = split(level, read_chunks(source), whole_lines=True)
    seen, parts = _seen_characters(pieces) if level == "char" else _seen_words(pieces)
    ids = _joined(parts, source)
    counts = np.bincount(ids, minlength=len(seen)).tolist()
    known = [k for k, token in enumerate(seen) if counts[k] >= minimum and (level == "char" or token != UNKNOWN_TOKEN)]
    order = heapq.nsmallest(most - 1 if most else len(known), known, key=lambda k: (-counts[k], seen[k]))
    numbers = np.full(len(seen), UNKNOWN_ID, np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    unknown = len(ids) - sum(counts[k] for k in order)
    tokens = Tokens(level, (UNKNOWN_TOKEN, *(seen[k] for k in order)), (unknown, *(counts[k] for k in order)))
    return tokens, numbers[ids]


def split(level: str, chunks: Iterable[str], *, whole_lines: bool = False) -> Iterator[Pieces]:
    """Yield the characters or words of a text in chunks; with ``whole_lines``, ``<eos>`` ends every last line."""
    yield from filter(None, chunks) if level == "char" else _words(chunks, whole_lines)


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def _words(chunks: Iterable[str], whole_lines: bool) -> Iterator[list[str]]:
    rest, last = "", END_TOKEN
    for chunk in chunks:
        words = (rest + chunk).replace("\n", f" {END_TOKEN} ").split()
        # The last word may continue in the next chunk.
        rest = "" if chunk[-1:].isspace() or not words else words.pop()
        if words:
            last = words[-1]
            yield words
    words = [rest] if rest else []
    if whole_lines and (words or last != END_TOKEN):
        words.append(END_TOKEN)
    if words:
        yield words


def _seen_characters(pieces: Iterable[Pieces]) -> tuple[list[str], list[Ids]]:
    """Return the distinct characters, and the text as their indices."""
    points = [code_points("".join(part)) for part in pieces]
    there = np.zeros(_CODE_POINTS, np.bool_)
    for piece in points:
        there[piece] = True
    numbers = np.cumsum(there, dtype=np.int32) - 1
    return [chr(point) for point in np.flatnonzero(there)], [numbers[piece] for piece in points]


def _seen_words(pieces: Iterable[Pieces]) -> tuple[list[str], list[Ids]]:
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    parts = [np.fromiter(map(numbers.__getitem__, words), np.int32, len(words)) for words in pieces]
    return list(numbers), parts


def _joined(parts: Sequence[Ids], source: Source) -> Ids:
    if not parts:
        raise FileFormatError(f"{describe_source(source)}: there is no text in it")
    return np.concatenate(parts)
