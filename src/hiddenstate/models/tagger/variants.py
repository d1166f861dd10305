"""Sentences as others might have written them: a part of one, or all in other letters; the tags stay as they were.

What a tagger reads may have no capitals, nothing but capitals, or only a few words, such as a heading; a treebank has
few such sentences. Varied ones teach it to rely less on letter case and on where a word stands (Bodapati et al. 2019,
"Robustness to capitalization errors in named entity recognition").
"""

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Words = Sequence[str]


class Variant(NamedTuple):
    """Words in place of those of a sentence, from its word ``start`` on, one for one."""

    words: tuple[str, ...]
    start: int


def make_variants(sentences: Sequence[Words], seed: int) -> list[Variant]:
    """Return one variant of each sentence.

    Half of the time it is a part of the sentence, or the whole, of two words or more, with a capital first; else the
    whole, in small letters, in capitals, or with a capital at the start of each word, each as often as the others.

    Args:
        sentences: the words of each; a sentence may be empty.
        seed: the same gives the same variants.
    """
    draw = random.Random(seed)
    return [_variant(words, draw) for words in sentences]


def select_like(variants: Sequence[Variant], rows: Sequence[Sequence[T]]) -> list[Sequence[T]]:
    """Return what belongs to the words of each variant, of what belongs to the words of each sentence."""
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
