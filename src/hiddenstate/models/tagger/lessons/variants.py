"""Variants of sentences: a part of one, or a change of letter case; the tags do not change.

A tagger's input may have no capitals, only capitals, or just a few words, such as a heading; a treebank has few such
sentences. Variants teach it to rely less on letter case and on a word's position (Bodapati et al. 2019,
"Robustness to capitalization errors in named entity recognition").
"""

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Words = Sequence[str]


class Variant(NamedTuple):
    """Words that replace those of a sentence one for one, from word ``start`` on."""

    words: tuple[str, ...]
    start: int


def make_variants(sentences: Sequence[Words], seed: int) -> list[Variant]:
    """Return one variant of each sentence.

    Half of the time it is a span of at least two words of the sentence, with a capital first letter; otherwise it is
    the whole sentence in lower case, upper case or title case, with equal probability.

    Args:
        sentences: the words of each; a sentence may be empty.
        seed: the same seed gives the same variants.
    """
    draw = random.Random(seed)
    return [_variant(words, draw) for words in sentences]


def select_like(variants: Sequence[Variant], rows: Sequence[Sequence[T]]) -> list[Sequence[T]]:
    """Select the items for the words of each variant from the items for the words of each sentence."""
    return [row[start : start + len(words)] for (words, start), row in zip(variants, rows, strict=bool(variants))]


def _variant(words: Words, draw: random.Random) -> Variant:
    kind, first, last = (draw.random() for _ in range(3))
    if kind < 1 / 6:
        return Variant(tuple(word.lower() for word in words), 0)
    if kind < 2 / 6:
        return Variant(tuple(word.upper() for word in words), 0)
    if kind < 3 / 6:
        return Variant(tuple(map(_capitalised, words)), 0)
    start = int(first * max(1, len(words) - 1))
    end = len(words) - int(last * max(1, len(words) - start - 1))
    part = tuple(words[start:end])
    return Variant((*map(_capitalised, part[:1]), *part[1:]), start)


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]
