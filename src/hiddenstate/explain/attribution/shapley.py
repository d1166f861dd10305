"""Shapley values: exact, from the target of every set of players, which a prefix tree may compute; or sampled."""

from math import comb

import numpy as np
import torch
from torch import Tensor

from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.explain.attribution.players import Players, masked_targets
from hiddenstate.explain.attribution.prefix_tree import PrefixTree
from hiddenstate.explain.attribution.result import MethodResult
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner

EXACT_STEPS = 16  # maximum number of players with a prefix tree
EXACT_BRUTE = 12  # maximum number of players otherwise, mask by mask


def shapley(work: BatchRunner, players: Players, *, samples: int, seed: int, pairs: bool) -> MethodResult:
    """Compute Shapley values: exactly if feasible, otherwise from samples."""
    count, P, T = len(players) - players.has_state, len(players), work.T
    tree = PrefixTree(work, players) if _serves_tree(work) else None
    if tree is not None and count <= EXACT_STEPS:
        work.expect(tree.cost())
        return from_values(tree.values(), pairs)
    if count <= EXACT_BRUTE:
        return from_values(masked_targets(work, players, _every_mask(P)), pairs)
    rows = 2 + 2 * -(-samples // 2) * (P - 1)
    work.expect(T * rows)
    if tree is not None and (sums := tree.sums(rows)) is not None:  # not more rows than samples would take
        work.spare(work.total - work.cost)
        return from_sums(sums, tree.inside)
    return _sampled(work, players, samples, seed)


def _serves_tree(work: BatchRunner) -> bool:
    """Whether rows can share common prefixes: one direction, a target that depends on one step, and no edits."""
    subject = work.explained
    if not isinstance(subject, Subject) or subject.sizes.bidirectional or work.target.t is None:
        return False
    return not edits_in_force(subject.lstm)  # because edits count steps from the start of a call


def from_values(values: Tensor, pairs: bool) -> MethodResult:
    """Compute Shapley values, and interactions (Grabisch & Roubens 1999), from the target of every mask ``[2^P]``."""
    f = values.numpy()
    P = int(np.log2(len(f)))
    masks = np.arange(len(f))
    sizes = _every_mask(P).sum(1).numpy()
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
    return MethodResult(
        parts=torch.from_numpy(parts),
        residual=float(f[-1]) - float(f[0]) - float(torch.from_numpy(parts).sum()),
        alone=torch.from_numpy(f[[1 << p for p in range(P)]] - f[0]) if pairs else None,
        interaction=torch.from_numpy(interaction) if pairs else None,
        whole=float(f[-1]),
        none=float(f[0]),
    )


def from_sums(sums: Tensor, inside: list[int]) -> MethodResult:
    """Compute the Shapley values of some players from `Counts.sums`; those of the others are 0."""
    by_player, overall, n = sums[inside].numpy(), sums[-1].numpy(), len(inside)
    weights = np.array([1 / (n * comb(n - 1, size)) for size in range(n)])
    parts = torch.zeros(len(sums) - 1, dtype=torch.float64)
    parts[inside] = torch.from_numpy((by_player[:, 1 : n + 1] - (overall[:n] - by_player[:, :n])) @ weights)
    whole, none = float(overall[n]), float(overall[0])
    return MethodResult(parts=parts, residual=whole - none - float(parts.sum()), whole=whole, none=none)


def _every_mask(P: int) -> Tensor:
    masks = torch.arange(2**P)
    return torch.stack([masks >> p & 1 for p in range(P)], dim=1).bool()


def _sampled(work: BatchRunner, players: Players, samples: int, seed: int) -> MethodResult:
    """Draw orders in which players are added, each with its reverse, and average what each player contributes."""
    P, pairs = len(players), -(-samples // 2)
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(P) for _ in range(pairs)]
    orders = np.stack([order for forward in drawn for order in (forward, forward[::-1])])
    whole, none = masked_targets(work, players, torch.tensor([[True], [False]]).expand(2, P)).tolist()
    rank = np.argsort(orders, axis=1)
    # Row k of an order has its first k players; the empty and full masks are the same for every order.
    present = torch.from_numpy(rank[:, None, :] < np.arange(1, P)[None, :, None])
    inner = masked_targets(work, players, present.reshape(-1, P)).numpy().reshape(len(orders), P - 1)
    steps = np.diff(np.column_stack([np.full(len(orders), none), inner, np.full(len(orders), whole)]))
    added = np.take_along_axis(steps, rank, axis=1)
    by_pair = added.reshape(pairs, 2, P).mean(1)
    error = by_pair.std(0, ddof=1) / np.sqrt(pairs) if pairs > 1 else np.full(P, np.nan)
    parts = torch.from_numpy(by_pair.mean(0))
    residual = whole - none - float(parts.sum())
    return MethodResult(
        parts=parts, residual=residual, error=torch.from_numpy(error), exact=False, whole=whole, none=none
    )
