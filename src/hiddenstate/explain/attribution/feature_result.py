"""`FeatureAttribution`: how much each feature contributes in each window of steps; a table that adds up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from hiddenstate.base.indexing import resolve_named
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.explain.attribution.result import (
    PlayerParts,
    columns_beside,
    describe_disagreement,
    describe_method,
    describe_pairs,
    describe_sums,
)
from hiddenstate.explain.result.explanation import Row
from hiddenstate.explain.result.terminal import bar, definite, number, sentence, shortened
from hiddenstate.structure.tables import table

MOST_ROWS = 12  # maximum number of windows, and of single parts, in the text
STATE = "initial state"
REPLACED = {
    "zero": "zero",
    "mean": "its mean",
    "previous": "the value one step before",
    "climatology": "the mean of the same day of other years",
    "given": "the given baseline",
}


class Window(NamedTuple):
    """Neighbouring steps ``start .. stop-1``.

    ``lag`` is how many steps before the target's step the last of them is; negative if it is after.
    """

    name: str
    start: int
    stop: int
    lag: int


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FeatureAttribution(PlayerParts):
    """The contribution of each feature in each window of steps to a target. Returned by `attribute`.

    It also has the attributes of `Parts` and `PlayerParts`; their P players are the windows in time order, and in each
    window the features; if the initial state is a player, it comes first. B baselines, W windows, F features.

    Attributes:
        unit: the unit of the target, of parts and of effects; empty if there is none.
        features: the F features, or groups of features.
        windows: the W windows.
        steps: the names of all steps of the input: dates, or numbers.
        columns: the names of all columns of the input.
        series: ``[T, C]``, the input, in the units of the data.
        has_state: whether the initial state is a player.
    """

    kind = "feature attribution"
    _saved = (
        "method target value unit features windows steps columns series has_state parts residual rest gamma alone "
        "interaction error exact points baselines references occlusion cost disagreements"
    )

    unit: str
    features: tuple[str, ...]
    windows: tuple[Window, ...]
    steps: tuple[str, ...]
    columns: tuple[str, ...]
    series: Tensor
    has_state: bool

    @property
    def table(self) -> Tensor:
        """``[W, F]``, the parts for the first baseline, without the initial state's."""
        return self.parts[0, int(self.has_state) :].reshape(len(self.windows), len(self.features))

    @property
    def by_window(self) -> Tensor:
        """``[W]``, the sum over the features."""
        return self.table.sum(1)

    @property
    def by_feature(self) -> Tensor:
        """``[F]``, the sum over the windows."""
        return self.table.sum(0)

    @property
    def of_state(self) -> float:
        """The part of the initial state for the first baseline; 0 if it is not a player."""
        return float(self.parts[0, 0]) if self.has_state else 0.0

    def player(self, window: int | str, feature: int | str) -> int:
        """Return the index of a window and a feature among the players.

        Args:
            window: the number or the name of the window.
            feature: the number or the name of the feature.

        Raises:
            NameUnknownError, IndexRangeError: there is no such window or feature.
        """
        w = resolve_named(window, [name for name, *_ in self.windows], "window")
        f = resolve_named(feature, self.features, "feature")
        return int(self.has_state) + w * len(self.features) + f

    def between(self, first: tuple[int | str, int | str], second: tuple[int | str, int | str]) -> float:
        """Return the joint effect of two players beyond their separate effects, for the first baseline.

        Args:
            first: the window and the feature of one player.
            second: the window and the feature of the other.

        Raises:
            ArgumentError: interactions were not computed; they need at most 16 players, and occlusion, cd, or exact
                Shapley values.
            ArgumentTypeError: a player is not a pair of a window and a feature.
            NameUnknownError, IndexRangeError: there is no such window or feature.
        """
        for player in (first, second):
            if isinstance(player, str) or not isinstance(player, Sequence) or len(player) != 2:
                raise ArgumentTypeError(
                    f"between takes two pairs (window, feature), such as (0, {self.features[0]!r}), got {player!r:.60}"
                )
        if self.interaction is None:
            raise ArgumentError(
                "interactions were not computed: they need at most 16 players (join columns with features=, steps with "
                "spans=) and the method occlusion, cd, or shapley"
            )
        return float(self.interaction[0, self.player(*first), self.player(*second)])

    def rows(self) -> list[Row]:
        """Return one row for each window, feature and baseline; the initial state has a row without a window."""
        rows: list[Row] = []
        marked = set(self.disagreements)
        for b, baseline in enumerate(self.baselines):
            for p, (window, feature) in enumerate(self._players()):
                row: dict[str, Any] = {"window": window.name, "start": window.start, "stop": window.stop}
                row |= {"lag": window.lag, "feature": feature, "baseline": baseline}
                rows.append(row | self._numbers_of(b, p) | {"disagrees": p in marked})
        return rows

    def _players(self) -> list[tuple[Window, str]]:
        state = [(Window("", 0, 0, self.windows[-1].lag + self.windows[-1].stop), STATE)] if self.has_state else []
        return state + [(window, feature) for window in self.windows for feature in self.features]

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        lines = [sentence(f"What makes {definite(self.target)} {number(self.value)}{unit}?")]
        lines += [*describe_method(self, "input", REPLACED), ""]
        if len(self.windows) > 1:
            lines += [_margin("feature", self.features, self.by_feature, {}), ""]
        if len(self.features) > 1:
            lags = {window.name: str(window.lag) for window in self.windows}
            lines += [_margin("window", list(lags), self.by_window, lags), ""]
        lines += [_largest(self), "", *describe_sums(self)]
        if self.interaction is not None:
            players = [f"{feature} {window.name}".strip() for window, feature in self._players()]
            lines += describe_pairs(self.interaction[0], players, zeros=False)
        if self.disagreements:
            lines.append(describe_disagreement(f"{len(self.disagreements)} of {len(self.scores)} inputs"))
        return "\n".join(lines)

    def _figure(self) -> Any:
        """Draw the table as a heat map, time across and features down, with sums, and the series above it."""
        from hiddenstate.explain.result.series_pictures import SeriesMap, draw_series_map

        unit = f" [{self.unit}]" if self.unit else ""
        return draw_series_map(
            SeriesMap(
                title=f"{self.target}: {number(self.value)}{unit}",
                what=f"{self.method.replace('_', ' ')}{unit}",
                values=self.table,
                features=self.features,
                spans=[(start, stop) for _, start, stop, _ in self.windows],
                steps=self.steps,
                series=self.series,
                columns=self.columns,
            )
        )


def _margin(what: str, names: Sequence[str], values: Tensor, lags: Mapping[str, str]) -> str:
    """Write sums over features or windows, the largest of them if there are many, in their order."""
    order = sorted(values.abs().argsort(descending=True, stable=True)[:MOST_ROWS].tolist())
    largest = float(values.abs().max())
    rows = [
        [
            names[k] if lags else shortened(names[k]),
            *([lags[names[k]]] if lags else []),
            number(float(values[k])),
            bar(float(values[k]), largest),
        ]
        for k in order
    ]
    few = f" ({len(order)} of {len(names)})" if len(order) < len(names) else ""
    return table([f"{what}{few}", *(["lag"] if lags else []), "sum", ""], rows, "l" + "r" * bool(lags) + "rl")


def _largest(result: FeatureAttribution) -> str:
    """Write the players with the largest parts, with all their numbers, in time order."""
    parts, players = result.scores, result._players()
    order = sorted(parts.abs().argsort(descending=True, stable=True)[:MOST_ROWS].tolist())
    largest, marked = float(parts.abs().max()), set(result.disagreements)
    columns = [*columns_beside(result).items()]
    columns += [(name, result.parts[b]) for b, name in enumerate(result.baselines) if b]
    rows = []
    for p in order:
        window, feature = players[p]
        numbers = [number(float(values[p])) for _, values in columns]
        part, place = float(parts[p]), [window.name, str(window.lag), shortened(feature)]
        rows.append([*place, *numbers, number(part), bar(part, largest), "≠" if p in marked else ""])
    names = [name for name, _ in columns]
    own = "β" if result.method == "cd" else "part" if len(result.baselines) == 1 else result.baselines[0]
    few = f" ({len(order)} of {len(players)})" if len(order) < len(players) else ""
    return table([f"window{few}", "lag", "feature", *names, own, "", ""], rows, "lrl" + "r" * (len(names) + 1) + "l")
