"""Shapley values: exact, from the target of every mask, which a prefix tree may compute; or sampled over orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.explain.attribution.players import Players, masked_targets
from hiddenstate.explain.attribution.result import MethodResult
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner

State = tuple[Tensor, ...]  # the tensors of a state, ``[L*D, R, ...]``

BYTES = 2**24  # states per thread at one level: small enough for the cache, so that copies are fast
MOST_BYTES = 2**26  # limit for the states of all threads
COPIES = 4  # how many copies of the states a step makes
EXACT_STEPS = 16  # maximum number of players with a prefix tree
EXACT_BRUTE = 12  # maximum number of players otherwise, mask by mask


@dataclass(frozen=True)
class Segment:
    """Steps ``start .. stop-1`` that are run together, and the players with numbers in them; often only one."""

    start: int
    stop: int
    players: tuple[int, ...]

    def masks(self) -> list[int]:
        """Return the bits of every set of the players, the empty set first."""
        masks = [0]
        for player in self.players:
            masks += [mask | 1 << player for mask in masks]
        return masks


def split_into_segments(players: Players, T: int) -> list[Segment]:
    """Cut steps ``0 .. T-1`` into segments; if the initial state is a player, it comes first."""
    segments = [Segment(0, 0, (k,)) for k, player in enumerate(players.every) if player.is_state]
    owner, start = players.owner, 0
    for t in range(1, T + 1):
        if t == T or not torch.equal(owner[t], owner[start]):
            inside = sorted(set(owner[start].tolist()) - {-1})
            segments.append(Segment(start, t, tuple(inside)))
            start = t
    return segments


class PrefixTree:
    """Grows the tree depth-first in blocks of rows, so that memory stays bounded for any number of players."""

    def __init__(self, work: BatchRunner, players: Players) -> None:
        assert work.target.t is not None
        self._work, self._players = work, players
        self._segments = split_into_segments(players, work.target.t + 1)  # later steps do not affect the target
        self._values = torch.empty(2 ** len(players), dtype=torch.float64)
        sizes = work.subject.sizes
        row = len(sizes.layer_directions) * (sizes.hidden_size + sizes.output_size) * players.x.element_size() * COPIES
        self._most = max(2, min(BYTES * torch.get_num_threads(), MOST_BYTES) // row)

    @property
    def cost(self) -> int:
        """The number of row-steps in the whole tree."""
        rows, cost = 1, 0
        for segment in self._segments:
            rows *= 2 ** len(segment.players)
            cost += rows * (segment.stop - segment.start)
        return cost

    @torch.no_grad()
    def grow(self) -> Tensor:
        """Return the target of every mask, ``[2^P]``: bit p of the index is set if player p is present."""
        self._grow(0, self._players.state, torch.zeros(1, dtype=torch.int64))
        values = self._values
        # A player after the target's step is in no segment: it does not affect the value.
        for number in range(len(self._players)):
            if all(number not in segment.players for segment in self._segments):
                masks = torch.arange(len(values))
                values = values[masks & ~(1 << number)]
        return values

    def _grow(self, level: int, state: State, masks: Tensor) -> None:
        """Run segment ``level`` and all later ones for rows that start from a state, ``[L*D, R, ...]``."""
        segment, players = self._segments[level], self._players
        if segment.start == segment.stop:
            states = [players.zero, state]
            inputs = [players.x[:0, None]] * 2
        else:
            present = torch.tensor([[bits >> p & 1 for p in range(len(players))] for bits in segment.masks()])
            inputs = list(players.inputs(present.bool(), slice(segment.start, segment.stop)).split(1, dim=1))
            states = [state] * len(inputs)
        branches = [masks | bits for bits in segment.masks()]
        if len(branches) == 1 or len(branches) * len(masks) > self._most:
            # Enough rows: run the branches in turn, without copying the states.
            for branch, begin, x in zip(branches, states, inputs, strict=True):
                self._run(level, begin, branch, [x])
        else:
            together = tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))
            self._run(level, together, torch.cat(branches), inputs)

    def _run(self, level: int, state: State, masks: Tensor, inputs: Sequence[Tensor]) -> None:
        """Run a segment for rows in equal groups, one for each input ``[T', 1, C]``; then the later segments."""
        segment = self._segments[level]
        if segment.start < segment.stop:
            rows = [vector.expand(-1, len(masks) // len(inputs), -1) for vector in inputs]
            x = rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)
            outputs = self._work.run(x, self._players.as_given(state), first=segment.start)
            if level == len(self._segments) - 1:
                self._values[masks] = self._work.target.of(outputs).double().cpu()
                return
            state = self._players.kind.parts_of(outputs.state)
        self._grow(level + 1, state, masks)


def shapley(work: BatchRunner, players: Players, *, samples: int, seed: int, pairs: bool) -> MethodResult:
    """Compute Shapley values: exactly if feasible, otherwise from samples."""
    count, P, T = len(players) - players.has_state, len(players), work.T
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
    subject = work.explained
    if not isinstance(subject, Subject) or subject.sizes.bidirectional or work.target.t is None:
        return False
    return not edits_in_force(subject.lstm)  # because edits count steps from the start of a call


def from_values(values: Tensor, pairs: bool) -> MethodResult:
    """Compute Shapley values, and interactions (Grabisch & Roubens 1999), from the target of every mask ``[2^P]``."""
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
    return MethodResult(
        parts=torch.from_numpy(parts),
        residual=float(f[-1]) - float(f[0]) - float(torch.from_numpy(parts).sum()),
        alone=torch.from_numpy(f[[1 << p for p in range(P)]] - f[0]) if pairs else None,
        interaction=torch.from_numpy(interaction) if pairs else None,
        whole=float(f[-1]),
        none=float(f[0]),
    )


def _bits(masks: NDArray[np.int64], P: int) -> NDArray[np.int64]:
    """Return the number of players present in each mask."""
    return sum((masks >> p & 1 for p in range(P)), np.zeros_like(masks))


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
