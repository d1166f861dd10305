"""`Attribution`: how much each word has to do with a target; and how far that agrees with occlusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.explain.attribution_text import attribution_text, plot_attribution
from hiddenstate.explain.players import Player
from hiddenstate.explain.results import Explanation, Row

# A part disagrees with occlusion if both are of this size, as shares of the largest of each, and of opposite signs ...
OPPOSED = 0.1
# ... or one is large and the other as good as nothing.
LARGE, NOTHING = 0.25, 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Explanation):
    """The part of each word (or span of words) in a target. Made by `attribute`.

    P players: each step, or each span that was asked for; and the initial state first, where it is one. B baselines.
    Tensors are float64.

    Attributes:
        method: how it was found.
        target: what it is of, for people.
        value: the target in this run.
        words: what stands at each step.
        players: the P players.
        baselines: the names of the B baselines.
        references: ``[B]``, the target where every player is replaced.
        parts: ``[B, P]``.
        occlusion: ``[B, P]``, what the target loses when one player is replaced; None where it was not asked for.
        rest: other terms of the sum by name, of ``frozen``: biases, the initial state, steps of no span.
        gamma: ``[P]``, of ``cd``: all that does not come from the span.
        alone: ``[B, P]``, the target with that player alone, less the reference; None where it was not run.
        interaction: ``[B, P, P]``, what two players do together beyond what each does; None where it was not run.
        error: ``[B, P]``, standard errors of sampled Shapley values; None of others.
        exact: whether the method gave what it defines: False for sampled Shapley values and for integrals that did
            not converge.
        points: of the quadrature of integrated gradients (the most of all baselines); 0 for others.
        residual: the most that the method's law leaves over, of all baselines: for integrated gradients and Shapley
            values ``value - reference - parts.sum()``, for frozen ``value - parts.sum() - rest``, for cd the largest
            ``h - β - γ``. Gradient and occlusion obey no such law: it is the same difference as for Shapley values.
        cost: row-steps that were run.
    """

    kind: ClassVar[str] = "attribution"

    method: str
    target: str
    value: float
    words: tuple[str, ...]
    players: tuple[Player, ...]
    baselines: tuple[str, ...]
    references: Tensor
    parts: Tensor
    occlusion: Tensor | None
    residual: float
    cost: int
    rest: Mapping[str, float] = field(default_factory=dict)
    gamma: Tensor | None = None
    alone: Tensor | None = None
    interaction: Tensor | None = None
    error: Tensor | None = None
    exact: bool = True
    points: int = 0

    @property
    def scores(self) -> Tensor:
        """``[P]``, the parts for the first baseline."""
        return self.parts[0]

    @property
    def disagreements(self) -> tuple[int, ...]:
        """The players (by number) whose part and occlusion, for the first baseline, say different things.

        Both are taken as shares of the largest of their kind: of opposite signs and both above 10 %, or one above
        25 % and the other below 5 %.
        """
        if self.occlusion is None or self.method == "occlusion":
            return ()
        part, gone = (values[0] / values[0].abs().max().clamp(min=1e-300) for values in (self.parts, self.occlusion))
        opposed = (part * gone < 0) & (part.abs() > OPPOSED) & (gone.abs() > OPPOSED)
        small, large = torch.minimum(part.abs(), gone.abs()), torch.maximum(part.abs(), gone.abs())
        return tuple(torch.nonzero(opposed | ((large > LARGE) & (small < NOTHING)))[:, 0].tolist())

    def rows(self) -> list[Row]:
        """Return one row for each player and baseline."""
        found: list[Row] = []
        marked = self.disagreements
        for b, baseline in enumerate(self.baselines):
            for p, player in enumerate(self.players):
                row: dict[str, Any] = {"start": player.start, "stop": player.stop, "word": player.name}
                row |= {"baseline": baseline, "part": float(self.parts[b, p])}
                for name in ("occlusion", "alone", "error"):
                    values = getattr(self, name)
                    if values is not None:
                        row[name] = float(values[b, p])
                if self.gamma is not None:
                    row["gamma"] = float(self.gamma[p])
                found.append(row | {"disagrees": p in marked})
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        players = [player._asdict() for player in self.players]
        own = {name: value for name, value in vars(self).items() if name != "players"}
        return {**own, "players": players, "disagreements": self.disagreements}

    def between(self, first: int, second: int) -> float:
        """Return what two players do together beyond what each does, for the first baseline.

        Args:
            first: number of a player.
            second: number of another.

        Raises:
            ArgumentError: interactions were not run; they are for ``spans=``, and by occlusion, cd, or exact Shapley
                values.
        """
        if self.interaction is None:
            raise ArgumentError(
                "interactions were not computed: they are for spans=, and by the methods occlusion, cd, and shapley "
                "where it is exact (the others are sums over steps)"
            )
        return float(self.interaction[0, first, second])

    def __str__(self) -> str:
        return attribution_text(self)

    def plot(self) -> Any:
        """Draw parts and occlusion as bars over the words."""
        return plot_attribution(self)


def stacked(values: Sequence[Tensor | None]) -> Tensor | None:
    """Stack what was found for each baseline, or None where nothing was."""
    there = [value for value in values if value is not None]
    return torch.stack(there) if len(there) == len(values) else None
