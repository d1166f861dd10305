"""Gradient times difference, and integrated gradients."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.explain.attribution.players import Players
from hiddenstate.explain.attribution.result import MethodResult
from hiddenstate.explain.subject.target import BatchRunner

FIRST_POINTS = 16
MOST_POINTS = 1024
SHARE = 1e-3  # maximum error of the sum, as a share of the difference
LEAST = 0.1  # smaller differences count as this large
GRADIENT_COST = 4  # memory of a run that saves values for gradients, relative to a plain run


def gradient_parts(work: BatchRunner, players: Players) -> Tensor:
    """Return gradient times difference to the baseline for each player, ``[P]``."""
    return _along(work, players, np.array([1.0]), np.array([1.0]))


def integrated(work: BatchRunner, players: Players, ends: MethodResult, points: int | None) -> MethodResult:
    """Integrate the gradient on the straight line from the baseline to the input (Sundararajan, Taly & Yan 2017).

    Uses Gauss-Legendre quadrature. The number of points is doubled until the error of the parts' sum is less than
    ``1e-3·max(|difference|, 0.1)``, up to 1024 points.
    """
    difference = ends.whole - ends.none
    bound = SHARE * max(abs(difference), LEAST)
    count = points or FIRST_POINTS
    while True:
        nodes, weights = np.polynomial.legendre.leggauss(count)
        parts = _along(work, players, (nodes + 1) / 2, weights / 2)
        missing = difference - float(parts.sum())
        converged = abs(missing) <= bound
        if converged or points is not None or count >= MOST_POINTS:
            return replace(ends, parts=parts, residual=missing, exact=converged, points=count)
        count *= 2


@torch.inference_mode(False)
def _along(work: BatchRunner, players: Players, alphas: NDArray[np.float64], weights: NDArray[np.float64]) -> Tensor:
    """Sum the weighted gradients at points along the line, times the difference; float64 ``[P]``."""
    x, base = players.x, players.base
    work.expect(len(alphas) * work.subject.T)
    total = torch.zeros(x.shape, dtype=torch.float64)
    of_state = 0.0
    at_once = max(1, work.rows_at_once // GRADIENT_COST)
    for k in range(0, len(alphas), at_once):
        alpha = torch.as_tensor(alphas[k : k + at_once]).to(x)
        weight = torch.as_tensor(weights[k : k + at_once]).to(x.device, torch.float64)
        rows = (base[:, None] + alpha[:, None] * (x - base)[:, None]).detach().requires_grad_()
        state = _state_along(players, alpha)
        with torch.enable_grad():
            value = work.values(rows, players.as_given(state)).sum()
            slopes = torch.autograd.grad(value, (rows, *state), allow_unused=True, materialize_grads=True)
        total += torch.einsum("r,trc->tc", weight, slopes[0].double()).cpu()
        for slope, part, zero in zip(slopes[1:], players.state, players.zero, strict=True):
            of_state += float(torch.einsum("r,lru,lu->", weight, slope.double(), (part - zero)[:, 0].double()))
    by_step = (total * (x - base).double().cpu()).sum(-1)
    return players.sums(by_step, of_state)


def _state_along(players: Players, alpha: Tensor) -> tuple[Tensor, ...]:
    """The initial states of the rows: scaled up from zero if the initial state is a player."""
    R = len(alpha)
    if not players.has_state:
        return tuple(part.expand(-1, R, -1).clone().requires_grad_() for part in players.state)
    pairs = zip(players.state, players.zero, strict=True)
    return tuple((zero + alpha[:, None] * (part - zero)).detach().requires_grad_() for part, zero in pairs)
