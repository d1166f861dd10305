"""`PrefixTree`: the target of every set of players, whose runs share beginnings, and states that have become equal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.validation import parts_of
from hiddenstate.explain.attribution.players import Players
from hiddenstate.explain.subject.target import BatchRunner

State = tuple[Tensor, ...]  # the tensors of a state, ``[L*D, R, ...]``

BYTES = 2**25  # limit for the states of one level: few enough to be in the cache when they are read again
COPIES = 4  # how many copies of the states a step makes
JOIN_EVERY = 16  # steps after which states are compared; differences take about twice as many to fade
COUNT_BYTES = 2**25  # limit for the counts of one level
MOST_COUNTED = 890  # players whose sets float64 can count
ROUNDING = 6  # difference of equal states, in units of the type's precision; 1 to 5 were met after convergence


@dataclass(frozen=True)
class Segment:
    """Steps ``start .. stop-1`` that are run together, and the players with numbers in them; often only one."""

    start: int
    stop: int
    players: tuple[int, ...]

    def sets(self) -> list[tuple[int, ...]]:
        """Return every set of the players, the empty one first."""
        sets: list[tuple[int, ...]] = [()]
        for player in self.players:
            sets += [(*members, player) for members in sets]
        return sets


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


@dataclass
class Masks:
    """Every set separately: its bits, and the row that it is in, both ``[M]``."""

    values: Tensor  # [2^P], the target of each set; bit p of the index is set if player p is in it
    masks: Tensor
    rows: Tensor

    @classmethod
    def of(cls, P: int) -> "Masks":
        """Return the empty set of P players, in the only row."""
        first = torch.zeros(1, dtype=torch.int64)
        return cls(torch.empty(2**P, dtype=torch.float64), first, first)

    def extended(self, sets: Sequence[tuple[int, ...]], R: int) -> "Masks":
        """Return the masks of R rows for each of some sets of further players, set by set."""
        masks = [self.masks | sum(1 << player for player in members) for members in sets]
        return Masks(self.values, torch.cat(masks), torch.cat([self.rows + k * R for k in range(len(sets))]))

    def joined(self, new_row: Tensor) -> "Masks":
        """Return the masks of fewer rows, after each row ``[R]`` has become one of these."""
        return Masks(self.values, self.masks, new_row[self.rows])

    def add(self, values: Tensor) -> None:
        """Add up the target ``[R]``, float64, of each row at its end."""
        self.values[self.masks] = values[self.rows]


@dataclass
class Counts:
    """How many sets of each size, with each player and in all: enough for Shapley values, for any number of players."""

    sums: Tensor  # [P+1, P+1], the sum of the target over sets with player p, the last over all, that have s players
    counts: Tensor  # [R, P+1, P+1], the number of such sets in each row; float64

    @classmethod
    def of(cls, P: int) -> "Counts":
        """Return the empty set of P players, in the only row."""
        counts = torch.zeros(1, P + 1, P + 1, dtype=torch.float64)
        counts[0, P, 0] = 1
        return cls(torch.zeros_like(counts[0]), counts)

    def extended(self, sets: Sequence[tuple[int, ...]], R: int) -> "Counts":
        """Return the counts of R rows for each of some sets of further players, set by set."""
        del R
        extended = torch.cat([self.counts.roll(len(members), -1) for members in sets])  # the last sizes are still 0
        for part, members in zip(extended.chunk(len(sets)), sets, strict=True):
            part[:, list(members)] = part[:, -1:].clone()
        return Counts(self.sums, extended)

    def joined(self, new_row: Tensor) -> "Counts":
        """Return the counts of fewer rows, after each row ``[R]`` has become one of these."""
        counts = self.counts.new_zeros(int(new_row.max()) + 1, *self.sums.shape)
        return Counts(self.sums, counts.index_add_(0, new_row, self.counts))

    def add(self, values: Tensor) -> None:
        """Add up the target ``[R]``, float64, of each row at its end."""
        self.sums += torch.einsum("r,rps->ps", values, self.counts)


Coalitions = Masks | Counts  # the sets of players that R rows stand for


class Runs(NamedTuple):
    """R rows that are run together."""

    state: State
    branch: Tensor  # [R], the number of the input that each row reads
    coalitions: Coalitions

    def joined(self, readout: Tensor | None) -> "Runs":
        """Return the runs with one row for states that are equal up to rounding and read the same from here on."""
        kept, new_row = rows_joined(self.state, self.branch, readout).unique(return_inverse=True)
        if len(kept) == len(new_row):
            return self
        state = tuple(part[:, kept.to(part.device)] for part in self.state)
        return Runs(state, self.branch[kept], self.coalitions.joined(new_row))


def rows_joined(state: State, branch: Tensor, readout: Tensor | None = None) -> Tensor:
    """Return for each row the first ``[R]`` of its branch whose state is equal up to rounding.

    The rounding of a value is relative to itself, or to the median of its row if that is larger, but then to 1 at most,
    the scale of a gate. A linear ``readout [n]`` of all values must be equal too, relative to the norm of its parts.
    """
    values = torch.cat([part.transpose(0, 1).flatten(1) for part in state], dim=1).cpu()
    precision = min(torch.finfo(values.dtype).eps, torch.finfo(torch.float32).eps)
    size = values.abs()
    scale = torch.maximum(size, size.median(1, keepdim=True).values.clamp(max=1))
    if readout is not None:
        parts = values * readout
        values = torch.cat([values, parts.sum(1, keepdim=True)], dim=1)
        scale = torch.cat([scale, parts.norm(dim=1, keepdim=True)], dim=1)
    allowed = ROUNDING * precision * scale
    direction = torch.rand(values.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = (values.double() @ direction).argsort()  # equal states have almost equal projections
    order = order[branch[order].argsort(stable=True)]
    values, allowed, branch = values[order], allowed[order], branch[order]
    is_near = ((values[1:] - values[:-1]).abs() <= allowed[1:]).all(1) & (branch[1:] == branch[:-1])
    place = torch.arange(len(order))
    first = torch.where(torch.cat([is_near.new_zeros(1), is_near]), 0, place).cummax(0).values
    is_near = ((values - values[first]).abs() <= allowed).all(1)  # of the first itself, not only of the one before
    rows = torch.empty_like(order)
    rows[order] = order[torch.where(is_near, first, place)]
    return rows


def readout_of_state(work: BatchRunner, players: Players) -> Tensor | None:
    """Return the vector ``[n]`` with which a linear target reads the values of a state; None for other targets."""
    if work.target.readout is None:
        return None
    parts = [torch.zeros_like(part[:, 0], device="cpu") for part in players.state]  # [L, units] each
    carried = work.subject.sizes.kind.carried
    for place, vector in work.target.readout.vectors.items():
        parts[carried.index(place.quantity)][place.layer] += vector.to(parts[0])
    return torch.cat([part.flatten() for part in parts])


class TooManyRowsError(Exception):
    """The states of the sets of players don't become equal soon enough."""


class PrefixTree:
    """Grows the tree depth-first in blocks of rows, so that memory stays bounded for any number of players.

    A recurrent layer forgets: once two states are equal up to rounding, what follows is the same, and is run once.
    """

    def __init__(self, work: BatchRunner, players: Players) -> None:
        assert work.target.t is not None
        self._work, self._players = work, players
        self._segments = split_into_segments(players, work.target.t + 1)  # later steps do not affect the target
        self.inside = sorted({player for segment in self._segments for player in segment.players})  # all others: 0
        sizes = work.subject.sizes
        row = len(sizes.layer_directions) * (sizes.hidden_size + sizes.output_size) * players.x.element_size() * COPIES
        self._most = max(2, BYTES // row)
        self._readout = readout_of_state(work, players)

    def cost(self, level: int = 0) -> int:
        """The number of row-steps from a segment on for each of its states, if none become equal."""
        rows, cost = 1, 0
        for segment in self._segments[level:]:
            rows *= 2 ** len(segment.players)
            cost += rows * (segment.stop - segment.start)
        return cost

    def values(self) -> Tensor:
        """Return the target of every mask, ``[2^P]``: bit p of the index is set if player p is present."""
        P = len(self._players)
        coalitions = Masks.of(P)
        self._grow_all(coalitions, math.inf)
        inside = sum(1 << player for player in self.inside)
        return coalitions.values[torch.arange(2**P) & inside]

    def sums(self, rows: int) -> Tensor | None:
        """Return the sums of `Counts`; None if more rows would run together than the limit, or than memory allows."""
        P = len(self._players)
        limit = min(rows, self._most, COUNT_BYTES // (8 * (P + 1) ** 2))
        widest = max(len(segment.players) for segment in self._segments)
        if P > MOST_COUNTED or 2**widest > limit:
            return None
        coalitions = Counts.of(P)
        try:
            self._grow_all(coalitions, limit)
        except TooManyRowsError:
            return None
        return coalitions.sums

    @torch.no_grad()
    def _grow_all(self, none: Coalitions, limit: float) -> None:
        """Grow from the empty set; raise TooManyRowsError for more rows than the limit."""
        self._limit = limit
        self._grow(0, Runs(self._players.state, torch.zeros(1, dtype=torch.int64), none), 0)

    def _grow(self, level: int, runs: Runs, since: int) -> None:
        """Run segment ``level`` and all later ones; states were compared ``since`` steps ago."""
        players = self._players
        for number, segment in enumerate(self._segments[level:], level):
            sets = segment.sets()
            if len(sets) * len(runs.branch) > self._limit:
                runs, since = runs.joined(self._readout), 0
                if len(sets) * len(runs.branch) > self._limit:
                    raise TooManyRowsError
            R = len(runs.branch)
            if segment.start == segment.stop:
                states = [players.zero, runs.state]
                inputs = players.x[:0, None].expand(-1, 2, -1)
            else:
                states = [runs.state] * len(sets)
                present = torch.tensor([[player in members for player in range(len(players))] for members in sets])
                inputs = players.inputs(present, slice(segment.start, segment.stop))
            if len(sets) * R > self._most:  # with enough rows, the branches are run in turn
                for k, members in enumerate(sets):
                    coalitions = runs.coalitions.extended([members], R)
                    branch_runs = Runs(states[k], torch.zeros(R, dtype=torch.int64), coalitions)
                    self._grow(number + 1, *self._run(number, branch_runs, inputs[:, [k]], since))
                return
            state = tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))
            branch = torch.arange(len(sets)).repeat_interleave(R)
            runs, since = self._run(number, Runs(state, branch, runs.coalitions.extended(sets, R)), inputs, since)

    def _run(self, level: int, runs: Runs, inputs: Tensor, since: int) -> tuple[Runs, int]:
        """Run a segment: each row reads its branch of ``inputs [T', B, C]``. In the last, add up the target."""
        segment, work, at = self._segments[level], self._work, 0
        while at < len(inputs):
            steps = slice(at, min(len(inputs), at + JOIN_EVERY - since))
            state = self._players.as_given(runs.state)
            outputs = work.run(inputs[steps, runs.branch.to(inputs.device)], state, first=segment.start + at)
            since, at = since + steps.stop - at, steps.stop
            is_over = at == len(inputs)
            if is_over and level == len(self._segments) - 1:
                runs.coalitions.add(work.target.of(outputs).double().cpu())
                break
            runs = runs._replace(state=parts_of(outputs.state))
            if is_over:  # from here on all rows read the same
                runs = runs._replace(branch=torch.zeros_like(runs.branch))
            if since == JOIN_EVERY:
                rows, runs, since = len(runs.branch), runs.joined(self._readout), 0
                if self._limit == math.inf:
                    work.spare((rows - len(runs.branch)) * (len(inputs) - at + self.cost(level + 1)))
        return runs, since
