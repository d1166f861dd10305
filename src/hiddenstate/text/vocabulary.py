"""Tokens and their ids."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

from hiddenstate.errors import ArgumentError, FileFormatError

PADDING = 0
UNKNOWN = 1
_SPECIAL = 2


@dataclass(frozen=True)
class Vocabulary:
    """Tokens numbered from 2; id 0 is padding, and id 1 is every unknown token.

    ``counts[k]`` is how often ``tokens[k]`` occurred when the vocabulary was built.

    >>> vocabulary = Vocabulary.build("a rose is a rose".split(), minimum=2)
    >>> vocabulary.tokens, vocabulary.ids(["rose", "is", "a"])
    (('a', 'rose'), [3, 1, 2])
    """

    tokens: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.counts):
            raise ArgumentError(f"{len(self.tokens)} tokens need one count each, got {len(self.counts)}")
        if len(set(self.tokens)) != len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise ArgumentError(f"token {twice!r} occurs twice; every token needs one id")

    @classmethod
    def build(
        cls, tokens: Iterable[str], minimum: int = 1, more: Iterable[str] = (), minimum_in_all: int = 1
    ) -> "Vocabulary":
        """Number the tokens that occur at least ``minimum`` times, most frequent first, ties by code point.

        Args:
            tokens: the tokens of a text.
            minimum: the minimum number of occurrences.
            more: tokens of further text, counted together with the others.
            minimum_in_all: with ``more``, tokens that occur at least this often in both texts together are also
                included.

        Raises:
            ArgumentError: a minimum is below 1.

        >>> Vocabulary.build("aab", 2, "bbccc", 3).counts
        (3, 3, 2)
        """
        if min(minimum, minimum_in_all) < 1:
            raise ArgumentError(f"minimum count must be at least 1, got {min(minimum, minimum_in_all)}")
        here, further = Counter(tokens), Counter(more)
        in_all = here + further
        known = [token for token in in_all if here[token] >= minimum or (further and in_all[token] >= minimum_in_all)]
        counted = sorted(((token, in_all[token]) for token in known), key=lambda pair: (-pair[1], pair[0]))
        return cls(tuple(token for token, _ in counted), tuple(count for _, count in counted))

    def __len__(self) -> int:
        """Return the number of ids, including those of padding and unknown words."""
        return len(self.tokens) + _SPECIAL

    def __contains__(self, token: object) -> bool:
        return token in self._numbers

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Return the id of each token; `UNKNOWN` for unknown tokens."""
        return list(map(self._numbers.get, tokens, repeat(UNKNOWN)))

    def to_data(self) -> dict[str, Any]:
        """Return data for `json.dump` and `from_data`."""
        return {"tokens": list(self.tokens), "counts": list(self.counts)}

    @classmethod
    def from_data(cls, data: Any) -> "Vocabulary":
        """Read the result of `to_data`.

        Raises:
            FileFormatError: the data is not a vocabulary.
        """
        try:
            tokens, counts = tuple(data["tokens"]), tuple(data["counts"])
            if not all(isinstance(t, str) for t in tokens) or not all(type(c) is int for c in counts):
                raise TypeError("tokens must be strings and counts integers")
            return cls(tokens, counts)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise FileFormatError(
                f"not a vocabulary: {error}; expected an object with lists 'tokens' and 'counts'"
            ) from error

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens, _SPECIAL)}
