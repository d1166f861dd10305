"""Dropout as language models use it (Gal & Ghahramani 2016; Merity et al. 2018), and of rare words."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import dropout


def locked(x: Tensor, p: float) -> Tensor:
    """Drop the same features of ``[T, N, C]`` at every time step, others in each row: variational dropout."""
    return x * dropout(x.new_ones(1, *x.shape[1:]), p) if p else x


def without_tokens(vectors: Tensor, ids: Tensor, tokens: int, p: float) -> Tensor:
    """Drop whole tokens: each of the V tokens, wherever it stands in ``ids``, with all of its vector ``[..., E]``."""
    return vectors * dropout(vectors.new_ones(tokens), p)[ids, None] if p else vectors


def dropout_odds(counts: Sequence[int], d: float) -> Tensor:
    """Return how likely each word of a vocabulary is replaced by the unknown one: ``d / (d + count)``, ``[V]``.

    Padding and the unknown word come first and have no count. The odds are on the CPU, even where weights have no
    memory.
    """
    counted = torch.tensor([0.0, 0.0, *counts], device="cpu")
    return d / (d + counted) if d else 0 * counted
