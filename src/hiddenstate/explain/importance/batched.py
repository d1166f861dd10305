"""Attributions of many rows at once, by the methods that need nothing but runs and gradients of the target."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.explain.attribution.methods import FIRST_POINTS, GRADIENT_COST, LEAST, MOST_POINTS, SHARE
from hiddenstate.explain.subject.target import BatchRunner

BATCHED = ("integrated_gradients", "gradient", "occlusion")


@dataclass(frozen=True, eq=False)
class RowBatch:
    """N rows and what replaces their inputs; all begin with the state of the runner's row."""

    work: BatchRunner
    x: Tensor  # [T, N, C], the rows
    base: Tensor  # [T, N, C], equal to x at numbers of no player
    owner: Tensor  # [T, C], the player of each number, or -1
    count: int  # of players, P

    def values(self, x: Tensor) -> Tensor:
        """Return the target ``[R]`` of rows ``[T, R, C]``; float64 on the CPU."""
        with torch.no_grad():
            return torch.cat([self.work.values(rows).double().cpu() for rows in x.split(self.work.rows_at_once, dim=1)])

    def losses(self, whole: Tensor) -> Tensor:
        """Return what the target of each row loses if one player is replaced, ``[N, P]``."""
        owner = self.owner.to(self.x.device)[:, None, None]
        players = torch.arange(self.count, device=self.x.device)
        losses = []
        for n in range(self.x.shape[1]):
            x, base, kept = self.x[:, n, None], self.base[:, n, None], []
            for some in players.split(self.work.rows_at_once):
                gone = owner[:, 0] == some[:, None]
                kept.append(self.values(torch.where(gone, base, x)))
            losses.append(whole[n] - torch.cat(kept))
        return torch.stack(losses)

    def integrated(self, difference: Tensor, points: int | None) -> tuple[Tensor, Tensor]:
        """Return integrated gradients ``[N, P]``, doubling points as in `attribute`, and what sums miss."""
        parts = torch.zeros(len(difference), self.count, dtype=torch.float64)
        count, left = points or FIRST_POINTS, torch.arange(len(difference))
        while len(left):
            nodes, weights = np.polynomial.legendre.leggauss(count)
            parts[left] = self.along(left, (nodes + 1) / 2, weights / 2)
            if points is not None or count >= MOST_POINTS:
                break
            missing = (difference - parts.sum(1))[left].abs()
            left = left[missing > SHARE * difference[left].abs().clamp(min=LEAST)]
            count *= 2
        return parts, difference - parts.sum(1)

    @torch.inference_mode(False)
    def along(self, rows: Tensor, alphas: Any, weights: Any) -> Tensor:
        """Sum the weighted gradients of some rows along the lines from their baselines, times the differences."""
        most = max(1, self.work.rows_at_once // GRADIENT_COST)  # points to run together
        parts = []
        for some in rows.split(max(1, most // len(alphas))):
            x, base = self.x[:, some.to(self.x.device)], self.base[:, some.to(self.x.device)]
            slope = torch.zeros(len(some), len(x), x.shape[2], dtype=torch.float64, device=x.device)
            for k in range(0, len(alphas), most):
                alpha = torch.as_tensor(alphas[k : k + most]).to(x)[:, None, None]
                line = (base[:, None] + alpha * (x - base)[:, None]).flatten(1, 2)  # [T, points * n, C]
                line = line.detach().requires_grad_()
                with torch.enable_grad():
                    (slopes,) = torch.autograd.grad(self.work.values(line).sum(), line)
                by_point = slopes.double().view(len(x), len(alpha), len(some), -1)
                weight = torch.as_tensor(weights[k : k + most], dtype=torch.float64, device=x.device)
                slope += torch.einsum("k,tknc->ntc", weight, by_point)
            parts.append(self._by_player((slope * (x - base).double().transpose(0, 1)).cpu()))
        return torch.cat(parts)

    def _by_player(self, numbers: Tensor) -> Tensor:
        """Return the sums of numbers ``[N, T, C]`` by player."""
        owner = torch.where(self.owner < 0, self.count, self.owner).flatten()
        sums = torch.zeros(len(numbers), self.count + 1, dtype=torch.float64)
        return sums.index_add_(1, owner, numbers.flatten(1))[:, :-1]
