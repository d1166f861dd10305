"""`Players`: the parts of an input that are kept or replaced: steps, spans of steps, perhaps the initial state."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.validation import AnyState
from hiddenstate.cells.cell import Cell
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError
from hiddenstate.explain.result.terminal import shortened
from hiddenstate.explain.subject.subject import Subject

Spans = Sequence[tuple[int, int]]


class Player(NamedTuple):
    """A span of steps ``start .. stop-1``, which is empty for the initial state."""

    name: str
    start: int
    stop: int

    @property
    def is_state(self) -> bool:
        """Whether this is the initial state."""
        return self.start == self.stop


@dataclass(frozen=True, eq=False)
class Players:
    """P players in an input of one row, and their replacements.

    Attributes:
        every: the players, in time order.
        owner: ``[T]``, the index of the player that each step belongs to; -1 for steps of no player, which stay.
        x: ``[T, C]``, the input.
        base: ``[T, C]``, the baseline; equal to the input at steps of no player.
        state: the tensors of the initial state of one row; ``zero`` replaces them if it is a player.
        kind: the kind of cell.
    """

    every: tuple[Player, ...]
    owner: tuple[int, ...]
    x: Tensor
    base: Tensor
    state: tuple[Tensor, ...]
    zero: tuple[Tensor, ...]
    kind: Cell

    def __len__(self) -> int:
        return len(self.every)

    @property
    def has_state(self) -> bool:
        """Whether the initial state is a player."""
        return any(player.is_state for player in self.every)

    def sums(self, by_step: Tensor, of_state: float) -> Tensor:
        """Return the sum of numbers ``[T]`` over each player's steps, and this number for the initial state."""
        sums = [of_state if player.is_state else by_step[player.start : player.stop].sum() for player in self.every]
        return torch.tensor(sums, dtype=torch.float64)

    def inputs(self, present: Tensor) -> Tensor:
        """Return the inputs ``[T, R, C]`` of rows with some players present, bool ``[R, P]``."""
        R = len(present)
        steps = [torch.ones(R, dtype=torch.bool) if k < 0 else present[:, k] for k in self.owner]
        there = torch.stack(steps).to(self.x.device)[..., None]
        return torch.where(there, self.x[:, None], self.base[:, None])

    def states(self, present: Tensor) -> AnyState:
        """Return the initial states ``[L*D, R, ...]`` of rows with some players present, bool ``[R, P]``."""
        whole = [part.expand(-1, len(present), -1) for part in self.state]
        if not self.has_state:
            return self.as_given([part.contiguous() for part in whole])
        number = next(k for k, player in enumerate(self.every) if player.is_state)
        there = present[:, number].to(self.x.device)[None, :, None]
        chosen = [torch.where(there, part, none) for part, none in zip(whole, self.zero, strict=True)]
        return self.as_given(chosen)

    def as_given(self, parts: Sequence[Tensor]) -> AnyState:
        """Return the tensors of a state in the form that a call takes."""
        state: AnyState = self.kind.as_given(parts)
        return state


def make_players(subject: Subject, base: Tensor, spans: Spans | None, state: str) -> Players:
    """Make the players of a single-row subject: its steps or spans of steps, and optionally its initial state.

    Args:
        subject: a subject with one row.
        base: ``[T, C]``, the baseline.
        spans: pairs ``(start, stop)``, stop excluded; None makes every step a player.
        state: ``"baseline"`` keeps the initial state; ``"player"`` makes it a player, replaced by zeros.

    Raises:
        ArgumentError: spans overlap or are empty, or ``state`` is unknown.
        ArgumentTypeError: spans are not pairs of numbers.
        IndexRangeError: a span extends beyond the input.
    """
    if state not in ("baseline", "player"):
        raise ArgumentError(f"state must be 'baseline' (it is kept) or 'player', got {state!r}")
    checked = [(t, t + 1) for t in range(subject.T)] if spans is None else _checked(spans, subject.T)
    words = subject.words()
    between = "" if all(len(word) == 1 for word in words) and subject.tokens is not None else " "  # characters
    every = [Player(shortened(between.join(words[start:stop])), start, stop) for start, stop in checked]
    if state == "player":
        every.insert(0, Player("initial state", 0, 0))
    owner = [-1] * subject.T
    for number, player in enumerate(every):
        owner[player.start : player.stop] = [number] * (player.stop - player.start)
    x = subject.x[:, 0]
    stays = torch.tensor([k < 0 for k in owner], device=x.device)[:, None]
    kind = subject.sizes.kind
    initial = kind.parts_of(subject.initial)
    zero = tuple(map(torch.zeros_like, initial))
    return Players(tuple(every), tuple(owner), x, torch.where(stays, x, base), initial, zero, kind)


def _checked(spans: Spans, T: int) -> list[tuple[int, int]]:
    try:
        pairs = sorted((int(start), int(stop)) for start, stop in spans)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"spans must be pairs (start, stop) of steps, got {spans!r}") from error
    if not pairs:
        raise ArgumentError("spans= is empty: give pairs (start, stop), or leave it out for single steps")
    for start, stop in pairs:
        if not 0 <= start < stop <= T:
            raise IndexRangeError(f"span ({start}, {stop}) does not fit: 0 <= start < stop <= {T} must hold")
    for (_, stop), (start, _) in pairwise(pairs):
        if start < stop:
            raise ArgumentError(f"spans overlap at step {start}: each step can be in one span")
    return pairs
