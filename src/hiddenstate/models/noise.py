"""Dropout as language models use it (Gal & Ghahramani 2016; Merity et al. 2018)."""

from torch import Tensor
from torch.nn.functional import dropout


def locked(x: Tensor, p: float) -> Tensor:
    """Drop the same features of ``[T, N, C]`` at every time step, others in each row: variational dropout."""
    return x * dropout(x.new_ones(1, *x.shape[1:]), p) if p else x


def without_tokens(vectors: Tensor, ids: Tensor, tokens: int, p: float) -> Tensor:
    """Drop whole tokens: each of the V tokens, wherever it stands in ``ids``, with all of its vector ``[..., E]``."""
    return vectors * dropout(vectors.new_ones(tokens), p)[ids, None] if p else vectors
