"""What a series model gave for a frame: forecasts with dates, in the units of the data, and their skill."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, IndexRangeError, NameUnknownError
from hiddenstate.models.series.dates import Array, Dates
from hiddenstate.models.series.frames import SeriesInput
from hiddenstate.structure.tables import table

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from hiddenstate.tracing.models import ModelTrace

_RESAMPLED = 1000  # draws of blocks for an interval
_DAY = np.timedelta64(1, "D")
_SHOWN = 5  # the last forecasts, in text


@dataclass(frozen=True, eq=False, repr=False)
class SeriesReading:
    """The forecasts of a module for a frame. Created by `SeriesModel.read`; ``print`` it to see the last ones.

    Attributes:
        series: the frame as the module read it.
        values: the forecasts, in the units of the data, ``[O, A, R, K]``: for O origins (the last step that was read
            for a forecast), A steps ahead, R rows and K targets; detached, float64.
        origins: the step of each origin, ``[O]``.
        ahead: how many steps after its origin a forecast is, ``[A]``.
        targets: the names of the targets.
        units: the unit of each column that has one.
        module: the name of the module's class.
    """

    series: SeriesInput
    values: Tensor
    origins: Sequence[int]
    ahead: Sequence[int]
    targets: tuple[str, ...]
    units: Mapping[str, str]
    module: str
    _record: Callable[[int, Tensor], ModelTrace]

    @cached_property
    def trace(self) -> ModelTrace:
        """The run that made the last forecasts, with every recurrent layer; its steps carry their dates.

        For a model that reads windows, it is the run of the last window. Recorded on first use, without gradients.

        Raises:
            TraceTooLargeError: the record would take more than 1 GiB; read a part of the frame.
            ArgumentError: the recorded run gives forecasts different from the module's, which is not deterministic.
        """
        return self._record(self.origins[-1], self.values[-1])

    @cached_property
    def timeline(self) -> Dates | None:
        """The dates of the series' steps, and of those after it that are forecast; None without dates."""
        dates = self.series.timeline
        if dates is None or not (more := max(0, self.origins[-1] + max(self.ahead) + 1 - len(dates))):
            return dates
        return dates.then(dates.after(more))

    def step_name(self, step: int) -> str:
        """Return the date of a step, which may be after the series, or its number."""
        if self.timeline is None:
            return str(step)
        last = len(self.series.x) - 1
        known = step <= last or self.timeline.rhythm is not None
        return self.timeline.names[step if known else last] + (
            "" if known else f" + {step - last} step{'s' * (step - last > 1)}"
        )

    @cached_property
    def _lines(self) -> tuple[Array, Array, Array]:
        """The row, the origin and the steps ahead of each line of the frame, in order."""
        sizes = len(self.series.rows), len(self.origins), len(self.ahead)
        row, origin, ahead = (index.reshape(-1) for index in np.indices(sizes))
        return row, np.asarray(self.origins)[origin], np.asarray(self.ahead)[ahead]

    @cached_property
    def truth(self) -> Array | None:
        """The measured values at forecast steps, ``[O, A, R, K]``; NaN if missing, None if the frame lacks a target."""
        if self.series.truth is None:
            return None
        steps = np.asarray(self.origins)[:, None] + np.asarray(self.ahead)
        return _at(self.series.truth.numpy(), steps)

    @property
    def forecasts(self) -> pandas.DataFrame:
        """The forecasts as a frame of pandas: a column for each target, a line for each date that is forecast.

        With several rows, the index begins with the row; if several steps ahead are forecast, the origin comes before
        the date. Without dates, steps are numbered. Needs pandas (``pip install 'hiddenstate[frames]'``).
        """
        package = optional_package("pandas", "frames", "a frame of forecasts")
        row, origin, ahead = self._lines
        index: dict[str, Any] = {} if len(self.series.rows) == 1 else {"row": np.asarray(self.series.rows)[row]}
        if len(self.ahead) > 1:
            index["origin"] = self._labels(origin)
        index["date" if self.timeline is not None else "step"] = self._labels(origin + ahead)
        values = self.values.permute(2, 0, 1, 3).reshape(-1, len(self.targets)).numpy()
        levels = [package.Index(level, name=name) for name, level in index.items()]
        lines = levels[0] if len(levels) == 1 else package.MultiIndex.from_arrays(levels)
        return package.DataFrame(values, lines, list(self.targets))

    def _labels(self, steps: Array) -> Any:
        return steps if self.timeline is None else self.timeline[steps].index()

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a line for each row, origin, step ahead and target, with the forecast and the measured value."""
        package = optional_package("pandas", "frames", "to_dataframe")
        row, origin, ahead = (np.repeat(part, len(self.targets)) for part in self._lines)
        values = self.values.permute(2, 0, 1, 3).reshape(-1).numpy()
        truth = np.full_like(values, np.nan) if self.truth is None else self.truth.transpose(2, 0, 1, 3).reshape(-1)
        names = list(self.targets) * (len(values) // len(self.targets))
        columns = {"row": np.asarray(self.series.rows)[row], "origin": self._labels(origin)}
        columns |= {"date": self._labels(origin + ahead), "ahead": ahead, "target": names}
        return package.DataFrame({**columns, "forecast": values, "measured": truth})

    def between(self, first: Any = None, last: Any = None) -> SeriesReading:
        """Return the forecasts for the dates from ``first`` to ``last``, both included, such as a held-out year.

        For a horizon, only forecasts whose steps are all in this range are returned. Earlier measurements are still
        known, so `skill` can compare with the season before.

        Args:
            first: a date, such as ``"2015-01-01"`` or ``"2015"``, or for steps without dates a number.
            last: a date or number, as for ``first``. None means the end, or for ``first`` the beginning.

        Raises:
            IndexRangeError: there is no forecast for such a date.
            ArgumentError: a date is needed, or can't be understood.
        """
        if self.timeline is None or self.timeline.values.dtype.kind != "M":
            begin, end = (None if part is None else check_int("a step", part) for part in (first, last))
            return self.of_steps(begin or 0, self.origins[-1] + self.ahead[-1] + 1 if end is None else end + 1)
        steps = self.timeline.steps_of(slice(first, last))
        return self.of_steps(steps[0], steps[-1] + 1)

    def of_steps(self, begin: int, end: int) -> SeriesReading:
        """Return the forecasts for the steps from ``begin`` to before ``end``, as `between` does."""
        is_in = [begin <= o + self.ahead[0] and o + self.ahead[-1] < end for o in self.origins]
        if not any(is_in):
            last = self.step_name(self.origins[-1] + self.ahead[-1])
            raise IndexRangeError(
                f"no forecast is for these dates: they are for {self.step_name(self.origins[0] + self.ahead[0])} to "
                f"{last}"
            )
        first = is_in.index(True)
        part = slice(first, first + sum(is_in))
        return replace(self, values=self.values[part], origins=self.origins[part])

    def skill(self, *, season: int | str | timedelta | None = None) -> Skill:
        """Compare the forecasts with persistence, the season and the mean, where the target was measured.

        Persistence is the last value that was known; the season's forecast is the value one season before (or as many
        seasons as needed for it to be known); the mean is that of the measured values, so skill against it is the
        Nash-Sutcliffe efficiency. Intervals are from a bootstrap over blocks of neighbouring origins.

        Args:
            season: the length of a season: a number of steps, or, if the series has dates, a time such as ``"7D"`` or
                ``"24h"``, as pandas writes it. If None, a day for steps shorter than a day, a year for others, if the
                series is longer.

        Raises:
            ArgumentError: the frame has no column of the target, or no forecast can be compared, as when the horizon is
                longer than what follows the first origin.
        """
        return self.compare({}, season)

    def compare(self, others: Mapping[str, Array], season: int | str | timedelta | None = None) -> Skill:
        """Also compare with other forecasts ``[O, A, R, K]``, by name."""
        if self.series.truth is None or self.truth is None:
            raise ArgumentError(
                f"the frame has no column of {self.targets[0]!r} to compare with: add it, even if the module does not "
                "read it"
            )
        length = _season(self.series.timeline) if season is None else _steps_of_season(season, self.series.timeline)
        if length is not None and length < 1:
            raise ArgumentError(f"season must be at least 1 step, got {length}")
        if np.isnan(self.truth).all():
            raise ArgumentError(
                f"no forecast can be compared: the first is for {self.step_name(self.origins[0] + self.ahead[0])}, and "
                f"the series ends at {self.series.step_names()[-1]}. Give a frame that is longer than the horizon"
            )
        rivals = _rivals(self.series.truth.numpy(), np.asarray(self.origins), np.asarray(self.ahead), length)
        rivals |= others
        error = (self.values.numpy() - self.truth) ** 2
        lines = []
        for k, target in enumerate(self.targets):
            for ahead in [None, *(self.ahead if len(self.ahead) > 1 else [])]:
                at = slice(None) if ahead is None else [*self.ahead].index(ahead)
                for name, rival in rivals.items():
                    pair = (part[:, at, :, k].reshape(len(error), -1) for part in (error, (rival - self.truth) ** 2))
                    if (line := _compared(target, ahead, name, *pair)) is not None:
                        lines.append(line)
        return Skill(tuple(lines), dict(self.units), tuple(self.ahead))

    def __repr__(self) -> str:
        count, rows = len(self.origins), len(self.series.rows)
        return f"SeriesReading({self.module}: {', '.join(self.targets)}, {count} origins, {rows} row{'s' * (rows > 1)})"

    def __str__(self) -> str:
        """Return the last forecasts of each row, in units, with the measured values."""
        last, rows = self.origins[-1], self.series.rows
        names = [with_unit(name, self.units) for name in self.targets]
        first, ahead = self.series.step_names()[0], ahead_text(self.ahead)
        text = [
            f"{self.module}: {', '.join(names)}, {ahead}; read from {first} to {self.step_name(last)}, "
            f"{len(self.origins):,} forecast{'s' * (len(self.origins) > 1)} of {len(rows)} row{'s' * (len(rows) > 1)}"
        ]
        places = [(len(self.origins) - 1, a) for a in range(len(self.ahead))][: 2 * _SHOWN]
        if len(self.ahead) == 1:
            places = [(o, 0) for o in range(max(0, len(self.origins) - _SHOWN), len(self.origins))]
        heads = [f"{row} {name}".strip() for row in (rows if len(rows) > 1 else [""]) for name in self.targets]
        steps = [self.step_name(self.origins[o] + self.ahead[a]) for o, a in places]
        cells = [[self._cell(o, a, n, k) for n in range(len(rows)) for k in range(len(names))] for o, a in places]
        lines = [[step, *line] for step, line in zip(steps, cells, strict=True)]
        return "\n".join([*text, table(["", *heads], lines, "l")])

    def _cell(self, o: int, a: int, n: int, k: int) -> str:
        value = f"{self.values[o, a, n, k]:.4g}"
        truth = math.nan if self.truth is None else self.truth[o, a, n, k]
        return value if math.isnan(truth) else f"{value} (measured {truth:.4g})"

    def plot(
        self, path: str | Path | None = None, *, target: str | None = None, row: str | int = 0, last: int = 365
    ) -> Figure:
        """Draw forecasts and measured values over their dates. Needs matplotlib.

        Args:
            path: a file to write the picture to; not written if None.
            target: the target; the first if None.
            row: the row, by name or number.
            last: how many of the last forecasts to draw; for a horizon, all steps from the last origin are drawn.

        Raises:
            NameUnknownError: there is no such target or row.
            ArgumentError, IsADirectoryError, FileWriteError: the file cannot be written.
        """
        return plot_readings({"forecast": self}, path, target=target, row=row, last=last)

    def _curve(self, n: int, k: int, last: int) -> tuple[Array, Array]:
        """Return the steps and the values of a target's last forecasts, or of all from the last origin."""
        if len(self.ahead) > 1:
            return self.origins[-1] + np.asarray(self.ahead), self.values[-1, :, n, k].numpy()
        at = slice(-last, None)
        return np.asarray(self.origins)[at] + self.ahead[0], self.values[at, 0, n, k].numpy()

    def _times(self, steps: Array) -> Array:
        """Return the times of steps to draw them at."""
        return steps if self.timeline is None else self.timeline[steps].wall()

    def place_of(self, target: str | None, row: str | int) -> tuple[int, int]:
        """Return the numbers of a row and a target."""
        names = [*self.series.rows]
        n = names.index(row) if isinstance(row, str) and row in names else row
        if not isinstance(n, int) or not 0 <= n < len(names):
            raise NameUnknownError(f"there is no row {row!r}: the rows are {', '.join(names)}")
        if target is not None and target not in self.targets:
            raise NameUnknownError(f"there is no target {target!r}: the targets are {', '.join(self.targets)}")
        return n, 0 if target is None else self.targets.index(target)


def _at(values: Array, steps: Array) -> Array:
    """Return ``values [T, R, K]`` at steps ``[O, A]``, as ``[O, A, R, K]``; NaN where there is no such step."""
    inside = (steps >= 0) & (steps < len(values))
    return np.where(inside[..., None, None], values[np.clip(steps, 0, len(values) - 1)], np.nan)


def _rivals(truth: Array, origins: Array, ahead: Array, season: int | None) -> dict[str, Array]:
    """Return the simple forecasts to compare with, each ``[O, A, R, K]``."""
    steps = origins[:, None] + ahead
    known = np.minimum(origins[:, None], steps - 1)  # at the same step, the value before is the last one known
    rivals = {"persistence": _at(truth, known)}
    if season is not None:
        rivals[f"{season} steps before"] = _at(truth, steps - season * -(-(steps - known) // season))
    measured = _at(truth, steps)
    mean = np.nanmean(measured, axis=(0, 1), keepdims=True, where=~np.isnan(measured).all(axis=(0, 1), keepdims=True))
    return {**rivals, "the mean (NSE)": np.broadcast_to(mean, measured.shape)}


def _season(dates: Dates | None) -> int | None:
    """Return the usual season in steps, or None if the series has no dates, or is no longer than a season."""
    if dates is None or dates.rhythm is None or dates.values.dtype.kind != "M":
        return None
    rhythm = dates.rhythm
    if rhythm.months:
        season = 12 // rhythm.months if 12 % rhythm.months == 0 else None
    elif rhythm.is_business:
        season = 5
    elif rhythm.step < _DAY:
        season = int(_DAY / rhythm.step) if _DAY % rhythm.step == np.timedelta64(0, "ns") else None
    else:
        season = {1: 365, 7: 52}.get(int(rhythm.step / _DAY)) if rhythm.step % _DAY == np.timedelta64(0, "ns") else None
    return season if season is not None and season < len(dates) and season > 1 else None


def _steps_of_season(season: Any, dates: Dates | None) -> int:
    """Return the length of a season in steps, given as a number of them or as a time, as pandas writes it."""
    if not isinstance(season, str | timedelta | np.timedelta64):
        return check_int("season", season)
    pandas = optional_package("pandas", "frames", "a season that is a time")
    try:
        length = pandas.Timedelta(season).to_timedelta64()
    except ValueError as error:
        raise ArgumentError(f"season must be a number of steps, or a time such as '7D', got {season!r:.40}") from error
    step = None if dates is None or dates.rhythm is None or dates.values.dtype.kind == "f" else dates.rhythm.step
    if step is None or dates is None or dates.rhythm is None or dates.rhythm.months:
        raise ArgumentError(
            f"season={season!r} is a time, but the steps of this series are not: give a number of steps"
        )
    count: int = round(length / step)
    if not dates.rhythm.has_jitter and count * step != length:
        raise ArgumentError(f"season={season!r} is not a whole number of steps of {step / np.timedelta64(1, 's'):g} s")
    return count


def ahead_text(steps: Sequence[int]) -> str:
    """Return how many steps ahead forecasts are, as text."""
    if len(steps) > 1:
        return f"{steps[0]} to {steps[-1]} steps ahead"
    return f"{steps[0]} step{'s' * (steps[0] > 1)} ahead" if steps[0] else "at the same step"


def with_unit(name: str, units: Mapping[str, str]) -> str:
    """Return the name of a column with its unit, if it has one."""
    return f"{name} [{units[name]}]" if name in units else name


@dataclass(frozen=True)
class SkillLine:
    """A comparison of the forecasts of one target with one rival.

    Attributes:
        target: the target.
        ahead: the steps ahead; None for all together.
        rival: the forecast that it is compared with.
        rmse: the root of the mean squared error of the forecasts, in units.
        rival_rmse: the root of the rival's mean squared error.
        skill: 1 - MSE / MSE of the rival: 0 is no better, 1 is perfect.
        low: the lower end of a 95 % interval of the skill.
        high: its upper end.
        count: the number of forecasts that both have.
        mae: the mean absolute error of the forecasts, in units.
        rival_mae: the rival's mean absolute error.
        mae_skill: 1 - MAE / MAE of the rival.
        mae_low: the lower end of its 95 % interval.
        mae_high: its upper end.
    """

    target: str
    ahead: int | None
    rival: str
    rmse: float
    rival_rmse: float
    skill: float
    low: float
    high: float
    count: int
    mae: float
    rival_mae: float
    mae_skill: float
    mae_low: float
    mae_high: float


def _compared(target: str, ahead: int | None, rival: str, error: Array, other: Array) -> SkillLine | None:
    """Compare squared errors ``[O, M]``; None if there is nothing to compare."""
    both = ~np.isnan(error) & ~np.isnan(other)
    if not both.any():
        return None
    count, by_power = int(both.sum()), list[tuple[float, float, float, float, float]]()
    for power in (1, 0.5):  # squared errors, and absolute ones
        ours, theirs = (np.where(both, part**power, 0).sum(1) for part in (error, other))
        a, b = ours.sum(), theirs.sum()
        interval = _interval(ours[both.any(1)], theirs[both.any(1)])
        by_power.append((float(a / count), float(b / count), float(1 - a / b) if b else math.nan, *interval))
    (mse, rival_mse, skill, low, high), absolute = by_power
    rmse, rival_rmse = math.sqrt(mse), math.sqrt(rival_mse)
    return SkillLine(target, ahead, rival, rmse, rival_rmse, skill, low, high, count, *absolute)


def _interval(ours: Array, theirs: Array) -> tuple[float, float]:
    """Return the 95 % interval of the skill from blocks of neighbouring origins, drawn with replacement."""
    count = len(ours)
    length = max(1, round(math.sqrt(count)))
    if count < 2 * length:
        return math.nan, math.nan
    draws = -(-count // length)
    starts = np.random.default_rng(0).integers(0, count - length + 1, (_RESAMPLED, draws))
    sums = [np.concatenate([[0], np.cumsum(part)]) for part in (ours, theirs)]
    a, b = ((part[starts + length] - part[starts]).sum(1) for part in sums)
    skill = 1 - a[b > 0] / b[b > 0]
    low, high = np.quantile(skill, [0.025, 0.975]) if len(skill) else (math.nan, math.nan)
    return float(low), float(high)


@dataclass(frozen=True, eq=False, repr=False)
class Skill:
    """The skill of forecasts against simple ones. Created by `SeriesReading.skill`; ``print`` it to see the table.

    Attributes:
        lines: the comparisons.
        units: the unit of each column that has one.
        ahead: the steps ahead that are forecast.
    """

    lines: tuple[SkillLine, ...]
    units: Mapping[str, str]
    ahead: tuple[int, ...]

    def against(self, rival: str, target: str | None = None, ahead: int | None = None) -> SkillLine:
        """Return the comparison with a rival, such as ``"persistence"``, or the beginning of its name.

        Raises:
            NameUnknownError: there is no such comparison.
        """
        for line in self.lines:
            if line.rival.startswith(rival) and target in (None, line.target) and line.ahead == ahead:
                return line
        names = ", ".join(map(repr, dict.fromkeys(line.rival for line in self.lines)))
        raise NameUnknownError(f"there is no comparison with {rival!r} of this target and step: there are {names}")

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a line for each comparison."""
        package = optional_package("pandas", "frames", "to_dataframe")
        return package.DataFrame([asdict(line) for line in self.lines])

    def __str__(self) -> str:
        text = []
        for target, ahead in dict.fromkeys((line.target, line.ahead) for line in self.lines):
            lines = [line for line in self.lines if (line.target, line.ahead) == (target, ahead)]
            unit = f" {self.units[target]}" if target in self.units else ""
            if ahead is not None and len(self.ahead) > _SHOWN and ahead not in (self.ahead[0], self.ahead[-1]):
                continue  # they are in to_dataframe
            when = ahead_text(self.ahead if ahead is None else (ahead,))
            count = f"{lines[0].count:,} forecast{'s' * (lines[0].count > 1)}"
            text.append(f"{target}, {when}: RMSE {lines[0].rmse:.4g}{unit} over {count}")
            width = max(len(line.rival) for line in lines)
            for line in lines:
                interval = "" if math.isnan(line.low) else f"  ({line.low:.2f} to {line.high:.2f})"
                text.append(f"  {line.rival:<{width}}  RMSE {line.rival_rmse:<8.4g}  skill {line.skill:5.2f}{interval}")
        return "\n".join(
            [*text, "skill: 0 is no better, 1 is perfect; in brackets, 95 % intervals over blocks of dates"]
        )

    __repr__ = __str__


def plot_readings(
    readings: Mapping[str, SeriesReading], path: str | Path | None, *, target: str | None, row: str | int, last: int
) -> Figure:
    """Draw the forecasts of readings of one frame, and the measured values, over their dates."""
    first = next(iter(readings.values()))
    n, k = first.place_of(target, row)
    from hiddenstate.base.figures import draw_to

    return draw_to(path, lambda: _drawn(readings, n, k, check_int("last", last)))


_COLORS = "#0072b2", "#d55e00", "#009e73", "#cc79a7"  # of Okabe and Ito


def _drawn(readings: Mapping[str, SeriesReading], n: int, k: int, last: int) -> Figure:
    from hiddenstate.base.figures import one_plot

    figure, ax = one_plot(10, 3.6)
    first = next(iter(readings.values()))
    for color, (name, reading) in zip(_COLORS, readings.items(), strict=False):
        steps, values = reading._curve(n, k, last)
        style: dict[str, Any] = {"color": color, "marker": "o" if len(steps) < 30 else "", "markersize": 3}
        ax.plot(reading._times(steps), values, label=name, linewidth=1.4, **style)
    steps = first._curve(n, k, last)[0]
    if first.series.truth is not None:
        begin, end = max(0, steps[0] - (last // 4 if len(first.ahead) > 1 else 0)), len(first.series.x)
        known = np.arange(begin, min(end, steps[-1] + 1))
        measured = first.series.truth[begin : known[-1] + 1 if len(known) else begin, n, k].numpy()
        ax.plot(first._times(known), measured, color="#333333", linewidth=0.9, label="measured", zorder=1)
    name = first.targets[k]
    ax.set_ylabel(with_unit(name, first.units), parse_math=False)
    ax.set_title(f"{first.module}, row {first.series.rows[n]}" if len(first.series.rows) > 1 else first.module)
    if first.timeline is None:
        ax.set_xlabel("step")
    figure.legend(frameon=False, ncols=4, loc="outside upper right")
    return figure
