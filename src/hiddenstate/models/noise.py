"""Dropout for language models (Gal & Ghahramani 2016; Merity et al. 2018) and for rare words."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from hiddenstate.engine.dropout import draw_mask


def dropped(x: Tensor, p: float) -> Tensor:
    """Drop exactly the elements that torch's dropout would, but draw them faster on a CPU."""
    if torch.compiler.is_compiling() or not x.is_cpu:
        return dropout(x, p)
    return x * draw_mask(x.shape, x, p) if p else x


class Dropout(nn.Dropout):
    """torch's dropout, computed by `dropped`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Drop elements of the input, in training."""
        return super().forward(input) if not self.training or self.inplace else dropped(input, self.p)


def locked(x: Tensor, p: float) -> Tensor:
    """Drop the same features of ``[T, N, C]`` at every time step, but others in each row (variational dropout)."""
    return x * draw_mask((1, *x.shape[1:]), x, p) if p else x


def without_tokens(vectors: Tensor, ids: Tensor, tokens: int, p: float) -> Tensor:
    """Drop whole tokens: a dropped token loses its vector ``[..., E]`` at every occurrence in ``ids``."""
    return vectors * draw_mask((tokens,), vectors, p)[ids, None] if p else vectors


def dropout_odds(counts: Sequence[int], d: float) -> Tensor:
    """Return each word's probability of being replaced by the unknown one: ``d / (d + count)``, ``[V]``.

    Padding and the unknown word come first and have no count. The result is on the CPU, even if the weights are on the
    meta device.
    """
    counted = torch.tensor([0.0, 0.0, *counts], device="cpu")
    return d / (d + counted) if d else 0 * counted
