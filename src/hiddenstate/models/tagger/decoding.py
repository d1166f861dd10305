"""Turns scores into tags: each word's distribution and tag, and the most probable taggings of the sentence."""

import math
from collections.abc import Iterable, Sequence
from itertools import islice, repeat

import torch
from torch import Tensor

from hiddenstate.models.tagger.crf import Chain, Sequences, n_best
from hiddenstate.models.tagger.tagging import Guess, Tags


def best(
    scores: Tensor, lengths: Tensor, names: tuple[str, ...], chain: Chain | None, temperature: float
) -> list[tuple[str, ...]]:
    """Like `find`, but return only the tags of each sentence."""
    sizes, is_word = _words(scores, lengths)
    numbers = (
        _distributions(scores, is_word, temperature).argmax(-1)
        if chain is None
        else (chain.best(scores, lengths, 1).tags[:, 0][is_word])
    )
    chosen = map(names.__getitem__, numbers.tolist())
    return [tuple(islice(chosen, size)) for size in sizes]


def find(
    scores: Tensor, lengths: Tensor, names: tuple[str, ...], chain: Chain | None, temperature: float, n: int
) -> list[Tags]:
    """Find the tags of one column, for each sentence of a batch.

    Args:
        scores: ``[T, N, K]``; undefined beyond a sentence's end.
        lengths: ``[N]``, at least 1.
        names: the K tags.
        chain: the column's CRF; without one, words are tagged independently.
        temperature: the temperature of each word's distribution.
        n: the number of taggings of the whole sentence to find.
    """
    sizes, is_word = _words(scores, lengths)
    if chain is None:
        flat = _distributions(scores, is_word, temperature)
        numbers = flat.argmax(-1)
        sequences = _independent((scores / temperature).softmax(-1), lengths, n) if n else None
    else:
        best = chain.best(scores, lengths, max(n, 1))
        shares = chain.marginals(scores, lengths).clamp_min(torch.finfo(scores.dtype).tiny)
        flat = (shares.transpose(0, 1)[is_word].log() / temperature).softmax(-1)
        numbers = best.tags[:, 0][is_word]
        sequences = best if n else None
    chosen = map(names.__getitem__, numbers.tolist())
    guesses: Iterable[tuple[Guess, ...]] = repeat(()) if sequences is None else _guesses(sequences, names, sizes)
    return [
        Tags(names, tuple(islice(chosen, size)), shares, guessed)
        for size, shares, guessed in zip(sizes, flat.cpu().split(sizes), guesses, strict=False)
    ]


def _words(scores: Tensor, lengths: Tensor) -> tuple[list[int], Tensor]:
    """Return each sentence's length, and a mask ``[N, T]`` of its words."""
    return lengths.tolist(), torch.arange(len(scores), device=lengths.device) < lengths[:, None]


def _distributions(scores: Tensor, is_word: Tensor, temperature: float) -> Tensor:
    """Return the distributions of all words, sentence by sentence, so that each sentence has a slice of them."""
    return (scores.transpose(0, 1)[is_word] / temperature).softmax(-1)


def _guesses(sequences: Sequences, names: tuple[str, ...], sizes: Sequence[int]) -> list[tuple[Guess, ...]]:
    rows = zip(sequences.tags.tolist(), sequences.scores.tolist(), sizes, strict=True)
    return [
        tuple(
            Guess(tuple([names[number] for number in numbers[:size]]), math.exp(score))
            for numbers, score in zip(tags, scores, strict=True)
            if score > -math.inf
        )
        for tags, scores, size in rows
    ]


def _independent(probabilities: Tensor, lengths: Tensor, n: int) -> Sequences:
    zero = probabilities.new_zeros(probabilities.shape[-1], dtype=torch.float64)
    return n_best(probabilities.log(), lengths, n, zero, zero.expand(len(zero), -1), zero)
