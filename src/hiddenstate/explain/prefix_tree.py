"""The target for all ``2^P`` ways to replace players, by a tree of prefixes: masks that begin alike share their steps.

With single steps as players this runs ``2^(T+1) - 2`` row-steps, where masks one by one would run ``T·2^T``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.base.validation import State
from hiddenstate.explain.players import Players
from hiddenstate.explain.work import Work

BYTES = 2**24  # of the states that a thread holds at one level: what stays near the processor is copied fast
MOST_BYTES = 2**26  # of all threads together
COPIES = 4  # of them that a step makes


@dataclass(frozen=True)
class Segment:
    """Steps ``start .. stop-1`` that are run together: of one player, or of none (-1)."""

    start: int
    stop: int
    player: int


def segments_of(players: Players, T: int) -> list[Segment]:
    """Cut steps ``0 .. T-1`` into segments, the initial state first where it is a player."""
    found = [Segment(0, 0, k) for k, player in enumerate(players.every) if player.is_state]
    start = 0
    for t in range(1, T + 1):
        if t == T or players.owner[t] != players.owner[start]:
            found.append(Segment(start, t, players.owner[start]))
            start = t
    return found


class PrefixTree:
    """Grows the tree depth first in blocks of rows, so that memory stays within bounds whatever P is.

    Args:
        work: runs the subject, whose LSTM reads in one direction; the target looks at one step.
        players: P players.
    """

    def __init__(self, work: Work, players: Players) -> None:
        assert work.target.t is not None
        self._work, self._players = work, players
        self._segments = segments_of(players, work.target.t + 1)  # what comes later changes nothing
        self._values = torch.empty(2 ** len(players), dtype=torch.float64)
        sizes = work.subject.sizes
        row = len(sizes.tracks) * (sizes.hidden_size + sizes.output_size) * players.x.element_size() * COPIES
        self._most = max(2, min(BYTES * torch.get_num_threads(), MOST_BYTES) // row)

    @property
    def cost(self) -> int:
        """The row-steps of the whole tree."""
        rows, cost = 1, 0
        for segment in self._segments:
            rows *= 1 if segment.player < 0 else 2
            cost += rows * (segment.stop - segment.start)
        return cost

    @torch.no_grad()
    def grow(self) -> Tensor:
        """Return the target of every mask, ``[2^P]``: bit p of the index says whether player p is present."""
        self._grow(0, self._players.state, torch.zeros(1, dtype=torch.int64))
        values = self._values
        # A player behind the target's step is in no segment: present or not, the value is the same.
        for number in range(len(self._players)):
            if all(segment.player != number for segment in self._segments):
                masks = torch.arange(len(values))
                values = values[masks & ~(1 << number)]
        return values

    def _grow(self, level: int, state: State, masks: Tensor) -> None:
        """Run segment ``level`` and all behind it for rows that begin with a state, ``[L*D, R, ...]``."""
        segment = self._segments[level]
        forks = segment.player >= 0
        if forks and 2 * len(masks) > self._most and len(masks) > 1:
            half = len(masks) // 2
            for part in (slice(0, half), slice(half, None)):
                self._grow(level, (state[0][:, part], state[1][:, part]), masks[part])
            return
        if segment.start == segment.stop:
            state = self._both_states(state)
        elif forks:
            state = torch.cat([state[0]] * 2, dim=1), torch.cat([state[1]] * 2, dim=1)
        if forks:
            masks = torch.cat([masks, masks | 1 << segment.player])
        if segment.start < segment.stop:
            outputs = self._work.run(self._inputs(segment, len(masks)), state, first=segment.start)
            if level == len(self._segments) - 1:
                self._values[masks] = self._work.target.of(outputs).double().cpu()
                return
            state = outputs.state
        self._grow(level + 1, state, masks)

    def _inputs(self, segment: Segment, R: int) -> Tensor:
        """What the rows read: the first half the baseline, the second the input."""
        real = self._players.x[segment.start : segment.stop, None]
        if segment.player < 0:
            return real.expand(-1, R, -1)
        base = self._players.base[segment.start : segment.stop, None]
        return torch.cat([base.expand(-1, R // 2, -1), real.expand(-1, R // 2, -1)], dim=1)

    def _both_states(self, state: State) -> State:
        zero = self._players.zero
        return torch.cat([zero[0], state[0]], dim=1), torch.cat([zero[1], state[1]], dim=1)
