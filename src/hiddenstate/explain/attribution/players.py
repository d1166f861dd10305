"""`Players`: steps, spans, or features in windows, kept or replaced by a baseline; the target with these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.validation import AnyState, check_memory, check_plain_tensor, parts_of, state_like
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, ShapeError
from hiddenstate.explain.attribution.result import Player
from hiddenstate.explain.result.terminal import shortened
from hiddenstate.explain.subject.subject import Explained, Subject
from hiddenstate.explain.subject.target import BatchRunner

Baseline = str | Tensor
Spans = Sequence[tuple[int, int]]


def resolve_baselines(subject: Subject, baseline: Baseline | Sequence[Baseline] | None) -> dict[str, Tensor]:
    """Return the baselines ``[T, C]`` of a single-row subject, by name."""
    asked = subject.baseline if baseline is None else baseline
    return baselines_by_name(asked, "zero", lambda choice: _baseline(subject, choice))


def baselines_by_name(asked: Any, example: str, resolve: Callable[[Any], Tensor]) -> dict[str, Tensor]:
    """Return one baseline or several, each resolved by a function, by name; ``example`` is a name for the error."""
    several = list(asked) if isinstance(asked, list | tuple) else [asked]
    if not several:
        raise ArgumentError(f"baseline= is empty: name one, such as {example!r}")
    baselines: dict[str, Tensor] = {}
    for number, choice in enumerate(several):
        name = choice if isinstance(choice, str) else "given" if len(several) == 1 else f"given {number}"
        baselines[name] = resolve(choice)
    return baselines


def _baseline(subject: Subject, baseline: Baseline) -> Tensor:
    x = subject.x[:, 0]
    if not isinstance(baseline, str):
        return given_baseline(baseline, x)
    if baseline == "zero":
        return torch.zeros_like(x)
    if baseline not in subject.vectors:
        known = " ".join(["zero", *subject.vectors])
        raise ArgumentError(f"there is no baseline {baseline!r} here; choose {known}, or give a tensor [C] or [T, C]")
    return subject.vectors[baseline]().detach().to(x).expand_as(x)


def given_baseline(baseline: object, x: Tensor) -> Tensor:
    """Return a baseline that was given as a tensor ``[C]`` or ``[T, C]``, for an input ``[T, C]``."""
    if not isinstance(baseline, Tensor):
        raise ArgumentTypeError(f"a baseline must be a name or a tensor, got {type(baseline).__name__}")
    if baseline.shape not in (x.shape, x.shape[1:]):
        raise ShapeError(f"a baseline must have shape [C] or [T, C] = {list(x.shape)}, got {list(baseline.shape)}")
    check_plain_tensor(baseline, "baseline")
    check_memory(baseline, "baseline")
    return baseline.detach().to(x).expand_as(x)


@dataclass(frozen=True, eq=False)
class Players:
    """P players in an input of one row, and their replacements."""

    every: tuple[Player, ...]  # the players, in time order; the first may be the initial state
    # [T, C], the index of the player that each number belongs to; -1 for numbers of no player, which stay; [T, 1] if
    # every player has all columns of its steps
    owner: Tensor
    x: Tensor  # [T, C], the input
    base: Tensor  # [T, C], the baseline; equal to the input at numbers of no player
    initial: AnyState | None  # the state of one row
    state: tuple[Tensor, ...]  # its tensors; zero replaces them if it is a player
    zero: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.every)

    @property
    def has_state(self) -> bool:
        """Whether the initial state is a player."""
        return self.every[0].is_state

    def sums(self, by_number: Tensor, of_state: float) -> Tensor:
        """Return the sum of numbers ``[T, C]`` over each player's part, and ``of_state`` for the initial state."""
        owner = torch.where(self.owner < 0, len(self), self.owner).expand_as(by_number).flatten()
        sums = torch.zeros(len(self) + 1, dtype=torch.float64).index_add_(0, owner, by_number.flatten())[:-1]
        if self.has_state:
            sums[0] = of_state
        return sums

    def inputs(self, present: Tensor, steps: slice = slice(None)) -> Tensor:
        """Return the inputs ``[T, R, C]`` of rows with some players present, bool ``[R, P]``, at some steps."""
        # The last row is for numbers of no player, whose owner is -1.
        by_player = torch.cat([present, torch.ones(len(present), 1, dtype=torch.bool)], dim=1).T
        there = by_player[self.owner[steps]].transpose(1, 2).contiguous().to(self.x.device)
        return torch.where(there, self.x[steps, None], self.base[steps, None])

    def states(self, present: Tensor) -> AnyState:
        """Return the initial states ``[L*D, R, ...]`` of rows with some players present, bool ``[R, P]``."""
        whole = [part.expand(-1, len(present), -1) for part in self.state]
        if not self.has_state:
            return self.as_given([part.contiguous() for part in whole])
        there = present[:, 0].to(self.x.device)[None, :, None]
        chosen = [torch.where(there, part, none) for part, none in zip(whole, self.zero, strict=True)]
        return self.as_given(chosen)

    def as_given(self, parts: Sequence[Tensor]) -> AnyState:
        """Return the tensors of a state in the form that a call takes."""
        return state_like(self.initial, parts)


def make_players(subject: Subject, base: Tensor, spans: Spans | None, state: str) -> Players:
    """Make the players of a single-row subject: its steps or spans of steps, and optionally its initial state."""
    checked = [(t, t + 1) for t in range(subject.T)] if spans is None else check_spans(spans, subject.T)
    words = subject.words()
    between = "" if all(len(word) == 1 for word in words) and subject.tokens is not None else " "  # characters
    every = [Player(shortened(between.join(words[start:stop])), start, stop) for start, stop in checked]
    return players_of(subject, base, every, [None] * len(every), state)


def players_of(
    explained: Explained, base: Tensor, parts: Sequence[Player], columns: Sequence[tuple[int, ...] | None], state: str
) -> Players:
    """Return parts of an input as players, and the initial state as the first of them if it is one."""
    if state not in ("baseline", "player"):
        raise ArgumentError(f"state must be 'baseline' (it is kept) or 'player', got {state!r}")
    x, initial = explained.x[:, 0], parts_of(explained.initial)
    if state == "player":
        if not initial:
            raise ArgumentError("state='player' needs an initial state, and none was given: give it, as hx=")
        parts, columns = [Player("initial state", 0, 0), *parts], [None, *columns]
    width = 1 if all(group is None for group in columns) else x.shape[1]
    owner = torch.full((len(x), width), -1)
    for number, (player, group) in enumerate(zip(parts, columns, strict=True)):
        owner[player.start : player.stop, slice(None) if group is None else list(group)] = number
    base = torch.where((owner < 0).to(x.device), x, base)
    zero = tuple(map(torch.zeros_like, initial))
    return Players(tuple(parts), owner, x, base, explained.initial, initial, zero)


def check_spans(spans: Spans, T: int) -> list[tuple[int, int]]:
    """Return spans as sorted pairs of steps, which must not overlap."""
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


def masked_targets(work: BatchRunner, players: Players, present: Tensor) -> Tensor:
    """Return the target ``[R]`` of rows with some players present, bool ``[R, P]``; float64 on the CPU."""
    work.expect(len(present) * work.T)
    with torch.no_grad():
        blocks = present.split(work.rows_at_once)
        return torch.cat([work.values(players.inputs(rows), players.states(rows)).double().cpu() for rows in blocks])
