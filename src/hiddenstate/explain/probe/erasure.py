"""LEACE: the affine map that removes a label from states with the smallest change.

Belrose, N., et al. (2023). LEACE: Perfect linear concept erasure in closed form. NeurIPS 2023.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Eraser:
    """The map ``x - (x - mean) @ matrix``, after which states and labels have no covariance.

    Attributes:
        mean: ``[U]``, float64.
        matrix: ``[U, U]``, float64.
        rank: the number of directions that are removed.
        span: the number of directions in which the states vary.
    """

    mean: Tensor
    matrix: Tensor
    rank: int
    span: int

    def __call__(self, states: Tensor) -> Tensor:
        """Return states ``[..., U]`` without anything that a linear probe could read, in their own type."""
        x = states.double()
        return (x - (x - self.mean) @ self.matrix).to(states.dtype)


def fit_eraser(states: Tensor, classes: Tensor, count: int) -> Eraser:
    """Return the eraser of a label.

    With W the whitening of the states and P the projection onto the whitened covariance with the labels, the states
    lose ``W⁻¹ P W (x - mean)``.

    Args:
        states: ``[M, U]``.
        classes: int64 ``[M]``.
        count: the number of classes.
    """
    x, z = states.double(), torch.nn.functional.one_hot(classes, count).double()
    mean = x.mean(0)
    x, z = x - mean, z - z.mean(0)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    kept = values > values.max().clamp_min(1e-300) * len(values) * torch.finfo(torch.float64).eps * 16
    roots = torch.where(kept, values.clamp_min(1e-300).sqrt(), torch.zeros_like(values))
    inverse = torch.where(kept, 1 / values.clamp_min(1e-300).sqrt(), torch.zeros_like(values))
    whiten, colour = (vectors * inverse) @ vectors.T, (vectors * roots) @ vectors.T
    left, sizes, _ = torch.linalg.svd(whiten @ (x.T @ z / len(x)), full_matrices=False)
    directions = left[:, sizes > sizes.max().clamp_min(1e-300) * 1e-9]
    # For row vectors, x @ matrix is (W⁻¹ P W x)ᵀ; W and P are symmetric.
    return Eraser(mean, whiten @ directions @ directions.T @ colour, directions.shape[1], int(kept.sum()))
