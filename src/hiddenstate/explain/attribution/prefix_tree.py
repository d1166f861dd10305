"""Computes the target for all ``2^P`` ways to replace players, with a prefix tree: common prefixes run once.

With single steps as players this runs ``2^(T+1) - 2`` row-steps instead of the ``T·2^T`` of running each mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.explain.attribution.players import Players
from hiddenstate.explain.subject.batch_runner import BatchRunner

State = tuple[Tensor, ...]  # the tensors of a state, ``[L*D, R, ...]``

BYTES = 2**24  # states per thread at one level: small enough for the cache, so that copies are fast
MOST_BYTES = 2**26  # limit for the states of all threads
COPIES = 4  # how many copies of the states a step makes


@dataclass(frozen=True)
class Segment:
    """Steps ``start .. stop-1`` that are run together; they belong to one player, or to no player (-1)."""

    start: int
    stop: int
    player: int


def split_into_segments(players: Players, T: int) -> list[Segment]:
    """Cut steps ``0 .. T-1`` into segments; if the initial state is a player, it comes first."""
    found = [Segment(0, 0, k) for k, player in enumerate(players.every) if player.is_state]
    start = 0
    for t in range(1, T + 1):
        if t == T or players.owner[t] != players.owner[start]:
            found.append(Segment(start, t, players.owner[start]))
            start = t
    return found


class PrefixTree:
    """Grows the tree depth-first in blocks of rows, so that memory stays bounded for any P.

    Args:
        work: runs the subject; its LSTM is unidirectional, and its target depends on one step.
        players: the P players.
    """

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
            rows *= 1 if segment.player < 0 else 2
            cost += rows * (segment.stop - segment.start)
        return cost

    @torch.no_grad()
    def grow(self) -> Tensor:
        """Return the target of every mask, ``[2^P]``: bit p of the index is set if player p is present."""
        self._grow(0, self._players.state, torch.zeros(1, dtype=torch.int64))
        values = self._values
        # A player after the target's step is in no segment: it does not affect the value.
        for number in range(len(self._players)):
            if all(segment.player != number for segment in self._segments):
                masks = torch.arange(len(values))
                values = values[masks & ~(1 << number)]
        return values

    def _grow(self, level: int, state: State, masks: Tensor) -> None:
        """Run segment ``level`` and all later ones for rows that start from a state, ``[L*D, R, ...]``."""
        segment = self._segments[level]
        base, real = (of[segment.start : segment.stop, None] for of in (self._players.base, self._players.x))
        if segment.player < 0:
            self._run(level, state, masks, [real])
            return
        without = self._players.zero if segment.start == segment.stop else state
        with_it = masks | 1 << segment.player
        if 2 * len(masks) > self._most:  # enough rows: run the branches in turn, without copying the states
            self._run(level, without, masks, [base])
            self._run(level, state, with_it, [real])
        else:
            both = tuple(torch.cat(pair, dim=1) for pair in zip(without, state, strict=True))
            self._run(level, both, torch.cat([masks, with_it]), [base, real])

    def _run(self, level: int, state: State, masks: Tensor, inputs: Sequence[Tensor]) -> None:
        """Run a segment for rows in equal groups, one for each input ``[T', 1, C]``; then the later segments."""
        segment = self._segments[level]
        if segment.start < segment.stop:
            rows = [each.expand(-1, len(masks) // len(inputs), -1) for each in inputs]
            x = rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)
            outputs = self._work.run(x, self._players.as_given(state), first=segment.start)
            if level == len(self._segments) - 1:
                self._values[masks] = self._work.target.of(outputs).double().cpu()
                return
            state = self._players.kind.parts_of(outputs.state)
        self._grow(level + 1, state, masks)
