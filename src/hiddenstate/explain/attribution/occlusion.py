"""Occlusion: the change of the target when a player is replaced, when all others are, and when two are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from hiddenstate.explain.attribution.players import Players
from hiddenstate.explain.subject.batch_runner import BatchRunner


@dataclass(frozen=True, eq=False)
class Occluded:
    """The target with players replaced, float64.

    Attributes:
        whole: the target with all players present.
        none: the target with all players replaced.
        without: ``[P]``, the target with one player replaced.
        alone: ``[P]``, the target with all other players replaced; None if not requested.
        interaction: ``[P, P]``, the joint effect of two players beyond their separate effects; 0 on the diagonal; None
            if not requested.
    """

    whole: float
    none: float
    without: Tensor
    alone: Tensor | None = None
    interaction: Tensor | None = None

    @property
    def parts(self) -> Tensor:
        """``[P]``, the target minus its value without each player."""
        parts: Tensor = self.whole - self.without
        return parts


def masked_targets(work: BatchRunner, players: Players, present: Tensor) -> Tensor:
    """Return the target ``[R]`` of rows with some players present, bool ``[R, P]``; float64 on the CPU."""
    work.expect(len(present) * work.subject.T)
    with torch.no_grad():
        blocks = present.split(work.rows_at_once)
        return torch.cat([work.values(players.inputs(rows), players.states(rows)).double().cpu() for rows in blocks])


def occluded(work: BatchRunner, players: Players, *, pairs: bool = False) -> Occluded:
    """Replace each player by its baseline, one per row of a single batch.

    Args:
        work: runs the subject.
        players: the players to replace.
        pairs: whether to also run each player alone, and replace every two at once.
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
