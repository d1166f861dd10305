"""Occlusion: what the target loses when a player is replaced; alone; and two at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from hiddenstate.explain.attribution.players import Players
from hiddenstate.explain.subject.batch_runner import BatchRunner


@dataclass(frozen=True, eq=False)
class Occluded:
    """The target where players are replaced, float64.

    Attributes:
        whole: with all players there.
        none: with all replaced.
        without: ``[P]``, with one replaced.
        alone: ``[P]``, with all others replaced; None where it was not asked for.
        interaction: ``[P, P]``, what two do together beyond what each does; 0 on the diagonal; None likewise.
    """

    whole: float
    none: float
    without: Tensor
    alone: Tensor | None = None
    interaction: Tensor | None = None

    @property
    def parts(self) -> Tensor:
        """``[P]``, the target less its value without each player."""
        parts: Tensor = self.whole - self.without
        return parts


def masked_targets(work: BatchRunner, players: Players, present: Tensor) -> Tensor:
    """Return the target ``[R]`` of rows in which some players are present, bool ``[R, P]``; float64 on the CPU."""
    work.expect(len(present) * work.subject.T)
    with torch.no_grad():
        blocks = present.split(work.rows_at_once)
        return torch.cat([work.values(players.inputs(rows), players.states(rows)).double().cpu() for rows in blocks])


def occluded(work: BatchRunner, players: Players, *, pairs: bool = False) -> Occluded:
    """Replace every player by its baseline, one after another, in one batch.

    Args:
        work: runs the subject.
        players: what is replaced.
        pairs: also each alone, and two at once.
    """
    P = len(players)
    work.expect(work.subject.T * (2 + P + (P + P * (P - 1) // 2 if pairs else 0)))
    everyone = torch.ones(1, P, dtype=torch.bool)
    single = ~torch.eye(P, dtype=torch.bool)
    couples: Sequence[tuple[int, int]] = list(combinations(range(P), 2)) if pairs else []
    rows = [everyone, ~everyone, single, *([~single] if pairs else [])]
    if couples:
        both = torch.ones(len(couples), P, dtype=torch.bool)
        for row, couple in zip(both, couples, strict=True):
            row[list(couple)] = False
        rows.append(both)
    value = masked_targets(work, players, torch.cat(rows))
    whole, none, without = float(value[0]), float(value[1]), value[2 : 2 + P]
    if not pairs:
        return Occluded(whole, none, without)
    interaction = torch.zeros(P, P, dtype=torch.float64)
    for (a, b), both_gone in zip(couples, value[2 + 2 * P :], strict=True):
        interaction[a, b] = interaction[b, a] = whole - without[a] - without[b] + both_gone
    return Occluded(whole, none, without, value[2 + P : 2 + 2 * P] - none, interaction)
