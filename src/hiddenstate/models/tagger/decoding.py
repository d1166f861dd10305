"""Turns scores into tags: each word's distribution and tag, and the most probable taggings of the sentence."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.models.tagger.crf import Chain, Sequences, n_best
from hiddenstate.models.tagger.tagging import Guess, Tags


@dataclass(frozen=True, eq=False)
class Found:
    """The result for one column of a batch.

    Attributes:
        probabilities: ``[N, T, K]``.
        numbers: the index of each word's tag, by row; undefined beyond a row's end.
        sequences: the most probable sequences, or None if not requested.
    """

    probabilities: Tensor
    numbers: list[list[int]]
    sequences: Sequences | None

    def tags(self, names: tuple[str, ...], row: int, length: int) -> Tags:
        """Return the tags of one row."""
        chosen = tuple([names[k] for k in self.numbers[row][:length]])
        return Tags(names, chosen, self.probabilities[row, :length], tuple(self._guesses(names, row, length)))

    def _guesses(self, names: tuple[str, ...], row: int, length: int) -> list[Guess]:
        if self.sequences is None:
            return []
        tags, scores = self.sequences.tags[row, :, :length].tolist(), self.sequences.scores[row].tolist()
        pairs = [pair for pair in zip(tags, scores, strict=True) if pair[1] > -math.inf]
        return [Guess(tuple(names[k] for k in numbers), math.exp(score)) for numbers, score in pairs]


def find(scores: Tensor, lengths: Tensor, chain: Chain | None, temperature: float, n: int) -> Found:
    """Find the tags of one column.

    Args:
        scores: ``[T, N, K]``.
        lengths: ``[N]``, at least 1.
        chain: the column's CRF; without one, words are tagged independently.
        temperature: the temperature of each word's distribution.
        n: the number of sequences to find.
    """
    if chain is None:
        probabilities = (scores / temperature).softmax(-1)
        sequences = _independent(probabilities, lengths, n) if n else None
        return _collect(probabilities, probabilities.argmax(-1).T, sequences)
    best = chain.best(scores, lengths, max(n, 1))
    shares = chain.marginals(scores, lengths).clamp_min(torch.finfo(scores.dtype).tiny)
    return _collect((shares.log() / temperature).softmax(-1), best.tags[:, 0], best if n else None)


def _collect(probabilities: Tensor, numbers: Tensor, sequences: Sequences | None) -> Found:
    # A row's probabilities are contiguous, so that a sentence's are a view.
    return Found(probabilities.transpose(0, 1).contiguous().cpu(), numbers.tolist(), sequences)


def _independent(probabilities: Tensor, lengths: Tensor, n: int) -> Sequences:
    zero = probabilities.new_zeros(probabilities.shape[-1], dtype=torch.float64)
    return n_best(probabilities.log(), lengths, n, zero, zero.expand(len(zero), -1), zero)
