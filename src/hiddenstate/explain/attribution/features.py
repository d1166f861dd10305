"""Players of series: groups of features × windows of steps of a model's own input; baselines that suit a series."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_named
from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.attribution.feature_result import FeatureAttribution, Window
from hiddenstate.explain.attribution.methods import LOOKS_INSIDE, METHODS, AttributionOptions, check_suits
from hiddenstate.explain.attribution.players import (
    Players,
    baselines_by_name,
    check_spans,
    given_baseline,
    players_of,
)
from hiddenstate.explain.attribution.result import MethodResult, Player, joined
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesCase, SeriesTarget, SeriesValues, series_case
from hiddenstate.explain.subject.target import BatchRunner
from hiddenstate.models.series.dates import Dates

Column = int | str
Features = bool | Sequence[Column] | Mapping[str, Column | Sequence[Column]]
SeriesSpans = int | Sequence[tuple[int | str, int | str]]
BASELINES = ("zero", "mean", "previous", "climatology")
MOST_PAIRED = 16  # maximum number of players whose interactions are computed

Groups = dict[str, tuple[int, ...]]


def groups_of(series: ExplainedSeries, features: Features | None) -> Groups:
    """Return the columns of each group of features."""
    names = series.features
    if features is None or features is True:
        return {name: (k,) for k, name in enumerate(names)}
    if isinstance(features, Mapping):
        asked = {name: [part] if isinstance(part, int | str) else list(part) for name, part in features.items()}
    elif isinstance(features, Sequence) and not isinstance(features, str):
        asked = {
            part if isinstance(part, str) else names[resolve_named(part, names, "feature")]: [part] for part in features
        }
        if len(asked) < len(features):
            raise ArgumentError(f"features= names a column twice: {list(features)}")
    else:
        raise ArgumentTypeError(
            "features= must be True, a list of columns, or a dict from names to columns, such as "
            f"{{'temperature': [1, 2]}}; got {features!r:.60}"
        )
    groups = {
        str(name): tuple(resolve_named(part, names, "feature") for part in parts) for name, parts in asked.items()
    }
    owner: dict[int, str] = {}
    for name, columns in groups.items():
        if not columns:
            raise ArgumentError(f"the group {name!r} of features= has no columns: name at least one, or drop it")
        for column in columns:
            if column in owner:
                raise ArgumentError(
                    f"column {names[column]!r} is in the groups {owner[column]!r} and {name!r}: each can be in one"
                )
            owner[column] = name
    if not groups:
        raise ArgumentError("features= is empty: name columns, or leave it out for each column")
    return groups


def windows_of(series: ExplainedSeries, spans: SeriesSpans | None, origin: int) -> tuple[Window, ...]:
    """Return the windows of steps: single steps, windows of one length that end with the last step, or the spans."""
    T = series.T
    if spans is None:
        pairs = [(t, t + 1) for t in range(T)]
    elif isinstance(spans, int):
        length = check_int("spans", spans)
        if not 1 <= length <= T:
            raise ArgumentError(f"spans={length} is a window's number of steps: it must be in 1..{T}")
        first = T % length
        pairs = [*([(0, first)] if first else []), *((t, t + length) for t in range(first, T, length))]
    else:
        pairs = check_spans([_steps_of(series, span) for span in _as_pairs(spans)], T)
    names = series.steps
    windows = []
    for start, stop in pairs:
        name = names[start] if stop == start + 1 else f"{names[start]} to {names[stop - 1]}"
        windows.append(Window(name, start, stop, origin - stop + 1))
    return tuple(windows)


def _as_pairs(spans: object) -> list[tuple[Any, Any]]:
    if isinstance(spans, str) or not isinstance(spans, Sequence):
        raise ArgumentTypeError(
            f"spans= must be a number of steps, or pairs (start, stop) of steps or dates, got {spans!r:.60}"
        )
    pairs = [tuple(span) if isinstance(span, list | tuple) and len(span) == 2 else None for span in spans]
    if None in pairs:
        raise ArgumentTypeError(f"spans= must be pairs (start, stop) of steps or dates, got {spans!r:.60}")
    return pairs  # type: ignore[return-value]


def _steps_of(series: ExplainedSeries, span: tuple[Any, Any]) -> tuple[int, int]:
    """Return a span as step numbers; if it is two dates, both are included, as in pandas."""
    start, stop = span
    if not isinstance(start, str | date) or not isinstance(stop, str | date):
        return check_int("the start of a span", start), check_int("the stop of a span", stop)
    if series.dates is None:
        raise ArgumentError(f"the span {span} has dates, but the steps of this series are numbers")
    steps = series.dates.steps_of(slice(start, stop))
    return steps[0], steps[-1] + 1


def series_baselines(
    series: ExplainedSeries, rows: Sequence[int], baseline: Any, history: SeriesValues | None
) -> dict[str, Tensor]:
    """Return the baselines ``[T, R, C]`` of some rows, by name."""
    asked = "mean" if baseline is None else baseline
    return baselines_by_name(asked, "mean", lambda choice: _baseline(series, rows, choice, history))


def _baseline(series: ExplainedSeries, rows: Sequence[int], baseline: Any, history: SeriesValues | None) -> Tensor:
    x = series.x[:, rows]
    if isinstance(baseline, str):
        if baseline not in BASELINES:
            raise ArgumentError(
                f"there is no baseline {baseline!r} here; choose {' '.join(BASELINES)}, or give a tensor [C] or [T, C] "
                "of what the model reads, or, to a series model, a frame"
            )
        past = history or series.known
        if baseline == "zero":
            return torch.zeros_like(x)
        if baseline == "mean":
            return past.x.double().mean((0, 1)).to(x).expand_as(x)
        return torch.cat([x[:1], x[:-1]]) if baseline == "previous" else _climatology(series, rows, past)
    if not isinstance(baseline, Tensor) and series.targets:
        frame = series.read_more(baseline)
        if len(frame.x) != series.T:
            raise ShapeError(f"a baseline frame must have the {series.T} steps of the series, got {len(frame.x)}")
        return frame.rows_like(series, rows, "the baseline").to(x)
    return given_baseline(baseline, x[:, 0])[:, None].expand_as(x)


def _climatology(series: ExplainedSeries, rows: Sequence[int], past: SeriesValues) -> Tensor:
    """Return, for each step, the mean over its day and time in other years; 29 February counts as the 28th there."""
    if series.dates is None or past.dates is None or {"M"} != {d.values.dtype.kind for d in (series.dates, past.dates)}:
        raise ArgumentError("the baseline 'climatology' needs dates: give a frame with a DatetimeIndex")
    keys, years = _day_of_year(series.dates)
    past_keys, past_years = _day_of_year(past.dates)
    steps: dict[Any, list[int]] = {}
    for t, key in enumerate(past_keys):
        steps.setdefault(key, []).append(t)
    values = past.rows_like(series, rows, "history=")
    means = []
    for t, (key, year) in enumerate(zip(keys, years, strict=True)):
        others = [k for k in steps.get(key, []) if past_years[k] != year]
        if not others:
            raise ArgumentError(
                f"the baseline 'climatology' has no other year for {series.steps[t]}: give several years, as history="
            )
        means.append(values[others].double().mean(0))
    return torch.stack(means).to(series.x)


def _day_of_year(dates: Dates) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Return the month, the day and the time of day of dates by the wall clock, and their years."""
    times = dates.wall()
    days, months, years = times.astype("M8[D]"), times.astype("M8[M]"), times.astype("M8[Y]")
    month = (months - years.astype("M8[M]")).astype(int) + 1
    day = (days - months.astype("M8[D]")).astype(int) + 1
    day = np.where((month == 2) & (day == 29), 28, day)
    time = (times - days).astype("m8[s]").astype(int)
    return list(zip(month.tolist(), day.tolist(), time.tolist(), strict=True)), (years.astype(int) + 1970).tolist()


@dataclass(frozen=True)
class FeatureGrid:
    """The groups and windows that make the players, and what replaces them."""

    groups: Groups
    windows: tuple[Window, ...]
    state: str

    def players(self, case: SeriesCase, base: Tensor) -> Players:
        """Return the players: window by window, and in each window the groups."""
        parts = [Player(name, window.start, window.stop) for window in self.windows for name in self.groups]
        columns = [group for _ in self.windows for group in self.groups.values()]
        return players_of(case.explained, base, parts, columns, self.state)


class SeriesRequest(NamedTuple):
    """How to attribute a target of a series; see `attribute`."""

    method: str
    options: AttributionOptions
    features: Features | None = None
    spans: SeriesSpans | None = None
    baseline: Any = None
    state: str = "baseline"


def attribute_series(
    series: ExplainedSeries,
    of: SeriesTarget,
    row: int | str | None,
    request: SeriesRequest,
    past: SeriesValues | None,
    report: Progress | None,
) -> FeatureAttribution:
    """Attribute one target of one row; ``past`` is more of the series, for baselines."""
    case, grid = checked_case(series, of, row, request)
    bases = series_baselines(series, [case.row], request.baseline, past)
    work = BatchRunner(case.explained, case.target, report)
    values = [attribute_row(case, grid, base[:, 0], request, work) for base in bases.values()]
    check_finite(values[0].whole, case.target.name)
    of_row = f" of row {series.rows[case.row]!r}" if series.x.shape[1] > 1 else ""
    return FeatureAttribution(
        unit=case.unit,
        features=tuple(grid.groups),
        windows=grid.windows,
        steps=series.steps,
        columns=series.features,
        series=series.values[:, case.row].detach().double().cpu(),
        has_state=grid.state == "player",
        **joined(case.target.name + of_row, work.cost, request.method, tuple(bases), values),
    )


def check_finite(value: float, target: str) -> None:
    """Raise ArgumentError for a target that is NaN or infinite."""
    if not math.isfinite(value):
        raise ArgumentError(f"{target} is {value}, which has no parts: check the input, and the model's weights")


def checked_case(
    series: ExplainedSeries, of: SeriesTarget, row: int | str | None, request: SeriesRequest
) -> tuple[SeriesCase, FeatureGrid]:
    """Return a row with its target, which the method must suit, and its players."""
    method = request.method
    case = series_case(series, of, row, inside=method in ("shapley", *LOOKS_INSIDE))
    if method in LOOKS_INSIDE:
        check_suits(method, case.target, case.needed_layer(method))
    windows = windows_of(series, request.spans, case.origin)
    return case, FeatureGrid(groups_of(series, request.features), windows, request.state)


def attribute_row(
    case: SeriesCase, grid: FeatureGrid, base: Tensor, request: SeriesRequest, work: BatchRunner
) -> MethodResult:
    """Attribute one target of one row, for one baseline."""
    players = grid.players(case, base)
    pairs = request.options.pairs and len(players) <= MOST_PAIRED
    return METHODS[request.method](work, players, request.options._replace(pairs=pairs, others="other inputs"))
