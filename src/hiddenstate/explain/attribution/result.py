"""`Attribution`: how much each word contributes to a target, and how well that agrees with occlusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, definite, number, sentence, sum_line
from hiddenstate.structure.tables import table

# A part and its occlusion, each relative to the largest, disagree if both exceed this with opposite signs ...
OPPOSED = 0.1
# ... or if one is large and the other negligible.
LARGE, NOTHING = 0.25, 0.05

OCCLUSION = "what is lost when that word alone is replaced"
TITLES = {
    "gradient": "part: gradient times difference to the baseline (an estimate; need not add up)",
    "integrated_gradients": "part: integrated gradients",
    "occlusion": f"part: {OCCLUSION} (need not add up)",
    "frozen": "part: with gates held fixed; blind to effects that only open or close a gate",
    "cd": "β: what comes from that word alone; γ: the rest (contextual decomposition)",
    "shapley": "part: Shapley value",
}
NAMES = {"zero": "zeros", "mean": "the mean training input", "unk": "an unknown word"}
MOST_PAIRS = 5
# How many words to name for and against the target, and the smallest share of the largest part that is named.
MOST_NAMED, LEADING = 3, 0.2
UNSEEN = 5e-4  # a share too small to be shown with three decimals
OF_BIASES = "biases of g"  # followed by the layer and direction


class Player(NamedTuple):
    """A span of steps ``start .. stop-1``, which is empty for the initial state."""

    name: str
    start: int
    stop: int

    @property
    def is_state(self) -> bool:
        """Whether this is the initial state."""
        return self.start == self.stop


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Parts:
    """The result of a method, in float64. Only an `Attribution` has the axis of baselines, ``B``.

    Attributes:
        parts: ``[B, P]``.
        residual: the largest error of the method's sum rule over all baselines: for integrated gradients and Shapley
            values ``value - reference - parts.sum()``, for frozen ``value - parts.sum() - rest``, for cd the largest
            ``h - β - γ``. Gradient and occlusion obey no sum rule; for them it is the difference defined for Shapley.
        rest: for ``frozen``, the other terms of the sum by name: biases, the initial state, steps outside all spans.
        gamma: ``[P]``, for ``cd``: everything that does not come from the span.
        alone: ``[B, P]``, the target with only that player present, minus the reference; None if not computed.
        interaction: ``[B, P, P]``, the joint effect of two players beyond their separate effects; None if not computed.
        error: ``[B, P]``, standard errors of sampled Shapley values; None otherwise.
        exact: False for sampled Shapley values and for integrals that did not converge, otherwise True.
        points: quadrature points of integrated gradients (the maximum over the baselines); 0 for other methods.
    """

    parts: Tensor
    residual: float
    rest: Mapping[str, float] = field(default_factory=dict)
    gamma: Tensor | None = None
    alone: Tensor | None = None
    interaction: Tensor | None = None
    error: Tensor | None = None
    exact: bool = True
    points: int = 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MethodResult(Parts):
    """The result of a method for one baseline, without the axis of baselines."""

    whole: float  # the target with all players present
    none: float  # the target with all players replaced
    occlusion: Tensor | None = None  # [P], what the target loses when one player is replaced; None if not requested


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PlayerParts(Parts, Explanation):
    """What `attribute` returns for P players and B baselines, whatever the players are.

    Attributes:
        method: the name of the method.
        target: a description of the target.
        value: the target in this run.
        baselines: the names of the B baselines.
        references: ``[B]``, the target with every player replaced.
        occlusion: ``[B, P]``, what the target loses when one player is replaced; None if not requested.
    """

    method: str
    target: str
    value: float
    baselines: tuple[str, ...]
    references: Tensor
    occlusion: Tensor | None
    cost: int

    @property
    def scores(self) -> Tensor:
        """``[P]``, the parts for the first baseline."""
        return self.parts[0]

    @property
    def disagreements(self) -> tuple[int, ...]:
        """The indices of players whose part and occlusion disagree, for the first baseline.

        Both are measured relative to the largest of their kind. They disagree if both exceed 10 % with opposite signs,
        or if one exceeds 25 % and the other is below 5 %.
        """
        if self.occlusion is None or self.method == "occlusion":
            return ()
        part, gone = (values[0] / values[0].abs().max().clamp(min=1e-300) for values in (self.parts, self.occlusion))
        opposed = (part * gone < 0) & (part.abs() > OPPOSED) & (gone.abs() > OPPOSED)
        small, large = torch.minimum(part.abs(), gone.abs()), torch.maximum(part.abs(), gone.abs())
        return tuple(torch.nonzero(opposed | ((large > LARGE) & (small < NOTHING)))[:, 0].tolist())

    def _numbers_of(self, b: int, p: int) -> dict[str, float]:
        """Return the numbers of one player, by name, as columns of a table."""
        values = {"part": self.parts[b], "gamma": self.gamma}
        values |= {
            name: None if table is None else table[b]
            for name, table in (("occlusion", self.occlusion), ("alone", self.alone), ("error", self.error))
        }
        order = ("part", "occlusion", "alone", "error", "gamma")
        return {name: float(numbers[p]) for name in order if (numbers := values[name]) is not None}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attribution(PlayerParts):
    """The contribution of each word (or span of words) to a target. Returned by `attribute`.

    P players: each step or each requested span, preceded by the initial state if that is a player. B baselines.
    It also has the attributes of `Parts` and `PlayerParts`, such as ``parts``, ``residual`` and ``value``.

    Attributes:
        words: the word at each step.
        players: the P players.
    """

    kind = "attribution"
    _saved = (
        "method target value words parts residual rest gamma alone interaction error exact points players baselines "
        "references occlusion cost disagreements"
    )

    words: tuple[str, ...]
    players: tuple[Player, ...]

    def rows(self) -> list[Row]:
        """Return one row for each player and baseline."""
        rows: list[Row] = []
        marked = self.disagreements
        for b, baseline in enumerate(self.baselines):
            for p, player in enumerate(self.players):
                row: dict[str, Any] = {"start": player.start, "stop": player.stop, "word": player.name}
                row |= {"baseline": baseline, **self._numbers_of(b, p)}
                rows.append(row | {"disagrees": p in marked})
        return rows

    def between(self, first: int, second: int) -> float:
        """Return the joint effect of two players beyond their separate effects, for the first baseline.

        Args:
            first: the index of one player.
            second: the index of the other.

        Raises:
            ArgumentError: interactions were not computed; they need ``spans=`` and occlusion, cd, or exact Shapley
                values of at most 16 players.
            IndexRangeError, ArgumentTypeError: there is no such player.
        """
        if self.interaction is None:
            raise ArgumentError(
                "interactions were not computed: they need spans= and the method occlusion or cd, or shapley "
                "with at most 16 spans (the other methods are sums over steps)"
            )
        p, q = (resolve_one(player, len(self.players), "player") for player in (first, second))
        return float(self.interaction[0, p, q])

    def __str__(self) -> str:
        lines = [
            sentence(f"What makes {definite(self.target)} {number(self.value)}?"),
            *describe_method(self, "word"),
            "",
        ]
        lines += [_one(self) if len(self.baselines) == 1 else _side_by_side(self), ""]
        lines += describe_sums(self)
        if self.interaction is not None:
            lines += describe_pairs(self.interaction[0], [player.name for player in self.players])
        lines += _leaders(self)
        if self.disagreements:
            lines.append(describe_disagreement(", ".join(_named(self.players[p]) for p in self.disagreements)))
        return "\n".join(lines)

    def _figure(self) -> Any:
        """Draw parts and occlusion as bars above the words."""
        from hiddenstate.explain.result.pictures import bars

        series: dict[str, list[float]] = {}
        for b, name in enumerate(self.baselines):
            label = self.method if len(self.baselines) == 1 else f"{self.method}, {name}"
            series[label] = self.parts[b].tolist()
        if self.occlusion is not None and self.method != "occlusion" and len(self.baselines) == 1:
            series["occlusion"] = self.occlusion[0].tolist()
        return bars(self.target, [player.name for player in self.players], series)


def joined(
    target: str, cost: int, method: str, baselines: Sequence[str], values: Sequence[MethodResult]
) -> dict[str, Any]:
    """Return the results of a method for all baselines as the fields of `PlayerParts`."""
    first = values[0]
    tables = {
        name: _stacked([getattr(result, name) for result in values])
        for name in ("parts", "occlusion", "alone", "interaction", "error")
    }
    return {
        "method": method,
        "target": target,
        "value": first.whole,
        "baselines": tuple(baselines),
        "references": torch.tensor([result.none for result in values], dtype=torch.float64),
        "residual": max((result.residual for result in values), key=abs),
        "cost": cost,
        "rest": first.rest,
        "gamma": first.gamma,
        "exact": all(result.exact for result in values),
        "points": max(result.points for result in values),
        **tables,
    }


def _stacked(values: Sequence[Tensor | None]) -> Tensor | None:
    """Stack the values of all baselines, or return None if there are none."""
    there = [value for value in values if value is not None]
    return torch.stack(there) if len(there) == len(values) else None


def _leaders(result: Attribution) -> list[str]:
    """Name the players that contribute most for and against the target, if there is one column of parts."""
    if len(result.baselines) > 1:
        return []
    parts = result.scores
    order = parts.abs().argsort(descending=True).tolist()
    large = [p for p in order if parts[p].abs() >= LEADING * parts[order[0]].abs() and parts[p] != 0]
    ways = {"for it": [p for p in large if parts[p] > 0], "against it": [p for p in large if parts[p] < 0]}
    sentences = [
        f"Most {way}: {', '.join(_named(result.players[p]) for p in chosen[:MOST_NAMED])}."
        for way, chosen in ways.items()
        if chosen
    ]
    return [sentence(" ".join(sentences))] if sentences else []


def _named(player: Player) -> str:
    return player.name if player.is_state else f"{player.name} ({_steps(player)})"


def describe_method(result: PlayerParts, noun: str, names: Mapping[str, str] = NAMES) -> list[str]:
    """Say what a method's parts are, and what players, each a ``noun``, are replaced by."""
    title = TITLES[result.method].replace("word", noun)
    if result.method == "integrated_gradients":
        title += f", {result.points} points" + ("" if result.exact else ": NOT CONVERGED, see the residual")
    if result.method == "shapley":
        title += f", over all ways to replace {noun}s" if result.exact else ", sampled; ± is the standard error"
    lines = [sentence(title)]
    beside = result.occlusion is not None and result.method != "occlusion" and len(result.baselines) == 1
    if beside:
        lines.append(f"occlusion: {OCCLUSION.replace('word', noun)}")
    if beside or result.method not in ("frozen", "cd"):
        replaced = " | ".join(names.get(name, name) for name in result.baselines)
        lines.append(sentence(f"a replaced {noun} is read as {replaced}"))
    return lines


def describe_disagreement(where: str) -> str:
    """Say that parts and occlusion disagree at some players."""
    return sentence(f"≠ Part and occlusion disagree at {where}. At least one of them is misleading there.")


def columns_beside(result: PlayerParts) -> dict[str, Tensor]:
    """Return the numbers ``[P]`` that are shown beside the parts for the first baseline, by their heading."""
    occlusion = None if result.method == "occlusion" else result.occlusion
    tables = {"occlusion": occlusion, "alone": result.alone, "±": result.error}
    columns = {name: values[0] for name, values in tables.items() if values is not None}
    return columns if result.gamma is None else columns | {"γ": result.gamma}


def _one(result: Attribution) -> str:
    """Write one baseline: a row for each player, with all its values."""
    parts = result.parts[0]
    largest, marked = float(parts.abs().max()), result.disagreements
    columns, rows = columns_beside(result), []
    for p, player in enumerate(result.players):
        part = float(parts[p])
        numbers = [*(number(float(values[p])) for values in columns.values()), number(part)]
        rows.append([_steps(player), player.name, *numbers, bar(part, largest), "≠" if p in marked else ""])
    names = [*columns, "β" if result.method == "cd" else "part"]
    return table(["step", "word", *names, "", ""], rows, "rl" + "r" * len(names) + "l")


def _side_by_side(result: Attribution) -> str:
    """Write several baselines: a column for each."""
    largest = float(result.parts.abs().max())
    rows = []
    for p, player in enumerate(result.players):
        cells = [_steps(player), player.name]
        for b in range(len(result.baselines)):
            part = float(result.parts[b, p])
            cells += [number(part), bar(part, largest, 8)]
        rows.append(cells)
    head = [cell for name in result.baselines for cell in (name, "")]
    return table(["step", "word", *head], rows, "rl" + "rl" * len(result.baselines))


def _steps(player: tuple[str, int, int]) -> str:
    _, start, stop = player
    return "" if start == stop else str(start) if stop == start + 1 else f"{start}-{stop - 1}"


def describe_sums(result: PlayerParts) -> list[str]:
    """Say how the parts add up."""
    has_baselines = result.method not in ("frozen", "cd")
    return [_sum(result, b) for b in range(len(result.baselines) if has_baselines else 1)]


def _sum(result: PlayerParts, b: int) -> str:
    total, value = float(result.parts[b].sum()), number(result.value)
    if result.method == "frozen":
        biases = sum(part for name, part in result.rest.items() if name.startswith(OF_BIASES))
        others = {name: part for name, part in result.rest.items() if not name.startswith(OF_BIASES)}
        return sum_line({"parts": total, OF_BIASES: biases, **others}, value, result.residual)
    if result.method == "cd":
        bias = result.rest.get("the head's bias", 0.0)
        return sentence(
            f"In every row, β + γ and the head's bias {number(bias)} add up to {value}; the states that are read "
            f"differ from β + γ by at most {result.residual:.0e}. The sum of all β has no meaning."
        )
    reference = float(result.references[b])
    name = f" ({result.baselines[b]})" if len(result.baselines) > 1 else ""
    missing = result.value - reference - total
    lack = "" if abs(missing) < UNSEEN * max(1.0, abs(result.value)) else f"; {number(missing)} is missing"
    return sentence(
        f"parts {number(total)}, and {number(reference)} with all replaced{name}: "
        f"together {number(total + reference)} of {value}{lack}."
    )


def describe_pairs(interaction: Tensor, names: Sequence[str], *, zeros: bool = True) -> list[str]:
    """Write the pairs with the largest interactions ``[P, P]``; without ``zeros`` only those that have one."""
    pairs = [(float(interaction[p, q]), p, q) for p, q in combinations(range(len(names)), 2)]
    pairs.sort(key=lambda pair: -abs(pair[0]))
    lines = [f"  {number(size)}  {names[p]} × {names[q]}" for size, p, q in pairs[:MOST_PAIRS] if zeros or size]
    return ["Two together, beyond what each does:", *lines] if lines else []
