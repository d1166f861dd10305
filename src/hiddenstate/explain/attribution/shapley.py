"""Shapley values: computed exactly from the target of every mask, or sampled over orders."""

from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.explain.attribution.occlusion import masked_targets
from hiddenstate.explain.attribution.players import Players
from hiddenstate.explain.attribution.prefix_tree import PrefixTree
from hiddenstate.explain.subject.batch_runner import BatchRunner

EXACT_STEPS = 16  # maximum number of players with a prefix tree
EXACT_BRUTE = 12  # maximum number of players otherwise, mask by mask


@dataclass(frozen=True, eq=False)
class Shapley:
    """Shapley values of P players, float64.

    Attributes:
        parts: ``[P]``.
        exact: whether all masks were run; otherwise the values are means over sampled orders.
        error: ``[P]``, the standard errors of sampled values; None for exact ones.
        whole: the target with all players present.
        none: the target with no players present.
        alone: ``[P]``, the target with one player present, minus ``none``; None if sampled.
        interaction: ``[P, P]``, the pairwise Shapley interaction index (Grabisch & Roubens 1999); None if sampled.
    """

    parts: Tensor
    exact: bool
    error: Tensor | None
    whole: float
    none: float
    alone: Tensor | None = None
    interaction: Tensor | None = None


def shapley(work: BatchRunner, players: Players, *, samples: int, seed: int, pairs: bool) -> Shapley:
    """Compute Shapley values: exactly if feasible, otherwise from samples.

    Args:
        work: runs the subject.
        players: P players.
        samples: the number of orders to draw, if the values are sampled.
        seed: the seed of the draw.
        pairs: whether to also compute pairwise interactions.
    """
    count, P, T = len(players) - players.has_state, len(players), work.subject.T
    if _serves_tree(work) and count <= EXACT_STEPS:
        tree = PrefixTree(work, players)
        work.expect(tree.cost)
        return from_values(tree.grow(), pairs)
    if count <= EXACT_BRUTE:
        return from_values(masked_targets(work, players, _every_mask(P)), pairs)
    work.expect(T * (2 + 2 * -(-samples // 2) * (P - 1)))
    return _sampled(work, players, samples, seed)


def _serves_tree(work: BatchRunner) -> bool:
    """Whether rows can share common prefixes: one direction, a target that depends on one step, and no edits."""
    subject = work.subject
    one_way = not subject.sizes.bidirectional and work.target.t is not None
    return one_way and not edits_in_force(subject.lstm)  # because edits count steps from the start of a call


def from_values(values: Tensor, pairs: bool) -> Shapley:
    """Compute Shapley values from the target of every mask, ``[2^P]``; bit p is set if player p is present."""
    f = values.numpy()
    P = int(np.log2(len(f)))
    masks = np.arange(len(f))
    sizes = _bits(masks, P)
    weights = np.array([1 / (P * comb(P - 1, size)) for size in range(P)])
    parts, interaction = np.empty(P), np.zeros((P, P))
    for p in range(P):
        without = masks[masks >> p & 1 == 0]
        parts[p] = (weights[sizes[without]] * (f[without | 1 << p] - f[without])).sum()
    if pairs and P > 1:
        weights = np.array([1 / ((P - 1) * comb(P - 2, size)) for size in range(P - 1)])
        for p in range(P):
            for q in range(p):
                w = masks[(masks >> p & 1 == 0) & (masks >> q & 1 == 0)]
                joint = f[w | 1 << p | 1 << q] - f[w | 1 << p] - f[w | 1 << q] + f[w]
                interaction[p, q] = interaction[q, p] = (weights[sizes[w]] * joint).sum()
    alone = f[[1 << p for p in range(P)]] - f[0]
    return Shapley(
        torch.from_numpy(parts),
        True,
        None,
        float(f[-1]),
        float(f[0]),
        torch.from_numpy(alone),
        torch.from_numpy(interaction) if pairs else None,
    )


def _bits(masks: NDArray[np.int64], P: int) -> NDArray[np.int64]:
    """Return the number of players present in each mask."""
    count: NDArray[np.int64] = sum((masks >> p & 1 for p in range(P)), np.zeros_like(masks))
    return count


def _every_mask(P: int) -> Tensor:
    masks = torch.arange(2**P)
    return torch.stack([masks >> p & 1 for p in range(P)], dim=1).bool()


def _sampled(work: BatchRunner, players: Players, samples: int, seed: int) -> Shapley:
    """Draw orders in which players are added, each with its reverse, and average what each player contributes."""
    P, pairs = len(players), -(-samples // 2)
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(P) for _ in range(pairs)]
    orders = np.stack([order for one in drawn for order in (one, one[::-1])])
    ends = masked_targets(
        work, players, torch.stack([torch.ones(P, dtype=torch.bool), torch.zeros(P, dtype=torch.bool)])
    )
    rank = np.argsort(orders, axis=1)
    # Row k of an order has its first k players; the empty and full masks are the same for every order.
    present = torch.from_numpy(rank[:, None, :] < np.arange(1, P)[None, :, None])
    inner = masked_targets(work, players, present.reshape(-1, P)).numpy().reshape(len(orders), P - 1)
    steps = np.diff(np.column_stack([np.full(len(orders), ends[1]), inner, np.full(len(orders), ends[0])]))
    added = np.take_along_axis(steps, rank, axis=1)
    by_pair = added.reshape(pairs, 2, P).mean(1)
    error = by_pair.std(0, ddof=1) / np.sqrt(pairs) if pairs > 1 else np.full(P, np.nan)
    parts = torch.from_numpy(by_pair.mean(0))
    return Shapley(parts, False, torch.from_numpy(error), float(ends[0]), float(ends[1]))
