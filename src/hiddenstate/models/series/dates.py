"""The dates of a series (UTC with a zone, without one, differences, or numbers): order, gaps, names, steps."""

import math
import re
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from typing import Any

import numpy as np

from hiddenstate.base.messages import shorten
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, ShapeError

Array = np.ndarray[Any, Any]
_UNITS = {"D": 86_400 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6}  # in nanoseconds
_YEARS = 1678, 2261  # that nanoseconds have from their beginning to their end
MOST_INSERTED = 2**30
_MOST_ROUNDING = 1e-3  # of the step between numbers such as seconds
_UTC_OFFSET = re.compile(r":\d\d\S*(Z|[+-]\d\d(:?\d\d)?)$")


def period_of(when: Any) -> tuple[np.datetime64, np.datetime64]:
    """Return when a date such as ``"2015-06"`` begins, and when it is over, in nanoseconds."""
    try:
        begin = np.datetime64(when)
        known = not np.isnat(begin)
    except ValueError:
        known = False
    if not known:
        raise ArgumentError(f"{when!r} is not a date: give one such as '2015-01-01' or '2015-01'")
    if not _YEARS[0] <= begin.astype("M8[Y]").astype(int) + 1970 <= _YEARS[1]:
        raise ArgumentError(f"the date {when} must be in the years {_YEARS[0]} to {_YEARS[1]}, as those of a series")
    return begin.astype("M8[ns]"), (begin + 1).astype("M8[ns]")


@dataclass(frozen=True, eq=False)
class Dates:
    """The dates of T steps, in ascending order.

    Attributes:
        values: ``[T]``, datetime64 or timedelta64 in nanoseconds, or float64.
        zone: the time zone in which dates are named; ``values`` are then UTC. None for times without a zone.
    """

    values: Array
    zone: tzinfo | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, steps: Any) -> "Dates":
        return Dates(self.values[steps], self.zone)

    def _is_like(self, other: "Dates") -> bool:
        return self.values.dtype == other.values.dtype and (self.zone is None) == (other.zone is None)

    def same_times(self, other: "Dates") -> bool:
        """Whether both are the same times, in whatever time zone they are named."""
        return self._is_like(other) and len(self) == len(other) and bool((self.values == other.values).all())

    def same_span(self, other: "Dates") -> bool:
        """Whether both begin and end at the same times."""
        ends = [dates.values[[0, -1]] for dates in (self, other) if len(dates)]
        return self._is_like(other) and len(ends) == 2 and bool((ends[0] == ends[1]).all())

    def then(self, values: Array) -> "Dates":
        """Return these dates and later ones."""
        return Dates(np.concatenate([self.values, values]), self.zone)

    def ahead(self, steps: range) -> "Dates":
        """Return the dates that are these numbers of steps after the last one."""
        return self.then(self.after(steps[-1]))[-len(steps) :]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Each date as text, no more precise than needed."""
        if self.values.dtype.kind == "f":
            return tuple(f"{value:g}" for value in self.values)
        if self.values.dtype.kind == "m":
            return tuple(map(_of_difference, self.values))
        local = self.wall()
        times = local[~np.isnat(local)].astype("M8[ns]").astype(np.int64)
        unit: Any = next((unit for unit, size in _UNITS.items() if not (times % size).any()), "us")
        known = ~np.isnat(local)
        return tuple(
            str(time).replace("T", " ") if is_known else "an unknown date"
            for time, is_known in zip(local.astype(f"M8[{unit}]"), known, strict=True)
        )

    def index(self) -> Any:
        """Return the dates as an index of pandas."""
        pandas = optional_package("pandas", "frames", "a frame of forecasts")
        index = pandas.Index(self.values)
        return index if self.zone is None else index.tz_localize("UTC").tz_convert(self.zone)

    def wall(self) -> Array:
        """Return the wall-clock times."""
        return self.values if self.zone is None else np.asarray(self.index().tz_localize(None), "M8[ns]")

    def _of_wall(self, values: Array) -> Array:
        """Return wall-clock times in UTC; one in an hour that the clock skips is moved to the end of that hour."""
        if self.zone is None:
            return values
        pandas = optional_package("pandas", "frames", "dates in a time zone")
        local = pandas.DatetimeIndex(values).tz_localize(self.zone, ambiguous=False, nonexistent="shift_forward")
        return np.asarray(local.tz_convert("UTC").tz_localize(None), "M8[ns]")

    def steps_of(self, when: Any) -> range | list[int]:
        """Return the steps of a date, of several, or of a slice, including its last; ``"2015-01"`` is a whole month."""
        if isinstance(when, list | tuple):
            return sorted({step for part in when for step in self.steps_of(part)})
        if isinstance(when, slice):
            begun = np.ones(len(self), bool) if when.start is None else self._is_at(when.start)[0]
            not_over = np.ones(len(self), bool) if when.stop is None else self._is_at(when.stop)[1]
            ends = [int(mask.argmax()) if mask.any() else len(self) for mask in (begun, not_over[::-1])]
            steps: range | list[int] = range(
                ends[0], len(self) - ends[1], 1 if when.step is None else check_int("step", when.step)
            )
        else:  # where clocks are set back, a time may be that of two steps
            steps = np.flatnonzero(np.logical_and(*self._is_at(when))).tolist()
        if not steps:
            text = f"{when}"
            if isinstance(when, slice):
                both = f"{when.start} to {when.stop}"
                text = f"{when.start} or later" if when.stop is None else both
                text = f"{when.stop} or earlier" if when.start is None else text
            raise IndexRangeError(
                f"no step is at {text}: the series has dates from {self.names[0]} to {self.names[-1]}"
            )
        return steps

    def _is_at(self, when: Any) -> tuple[Array, Array]:
        """Return whether each step is at or after the beginning of a date, and whether it is before its end."""
        if self.values.dtype.kind != "M":
            raise ArgumentError(f"{when!r} is a date, but the steps of this series are not dates: give their numbers")
        if getattr(when, "tzinfo", None) is not None:
            moment = np.datetime64(int(when.timestamp() * 1e6), "us")
            values, (begin, end) = self.values, period_of(moment)
            if self.zone is None:
                raise ArgumentError(f"{when} has a time zone, and the dates of this series have none")
        else:
            values, (begin, end) = self.wall(), period_of(when)
        return values >= begin, values < end

    @cached_property
    def _clocks(self) -> "list[tuple[Rhythm, bool]]":
        """Each constant step between dates, and whether it is one of wall-clock times, not of UTC; the likelier first.

        Both are constant if no clock was set forward or back between the dates. Days are then those of the wall clock,
        unless they begin at midnight only in UTC.
        """
        rhythm, walls = find_rhythm(self.values), None if self.zone is None else find_rhythm(self.wall())
        clocks = [(rhythm, False)] if rhythm is not None else []
        if walls is not None:
            begins, in_utc = (times[-1] == times[-1].astype("M8[D]") for times in (self.wall(), self.values))
            clocks.insert(0 if walls.has_days and (begins or not in_utc) else 1, (walls, True))
        jitter = None if clocks else _rhythm_with_jitter(self.values)
        return clocks if jitter is None else [(jitter, False)]

    @property
    def rhythm(self) -> "Rhythm | None":
        """The constant step between dates, or None if there is none."""
        return self._clocks[0][0] if self._clocks else None

    def after(self, count: int) -> Array:
        """Return the dates of the ``count`` steps after the last one; NaT or NaN if the step is not constant."""
        if not self._clocks:
            unknown: Any = math.nan if self.values.dtype.kind == "f" else np.array("NaT", self.values.dtype)
            return np.full(count, unknown, dtype=self.values.dtype)
        return self._after(count, *self._clocks[0])

    def _after(self, count: int, rhythm: "Rhythm", is_walls: bool) -> Array:
        result: Array = rhythm.after((self.wall() if is_walls else self.values)[-1], count)
        return self._of_wall(result) if is_walls else result

    def may_be_next(self, date: Any, allowed: float) -> bool:
        """Whether a date may be the next one, in wall-clock time or UTC, to within a share of the step between them."""
        last = self.values[-1]
        due = [self._after(1, *clock)[0] for clock in self._clocks]
        return not due or any(abs(time - date) <= (time - last) * allowed for time in due)

    def filled(self) -> "Dates":
        """Return the dates with the missing ones inserted, at multiples of the usual step."""
        for is_walls in (False, True)[: 1 + (self.zone is not None)]:
            values = self.wall() if is_walls else self.values
            usual, steps = _usual_step(values), np.diff(values)
            count = (values[-1] - values[0]) / usual + 1
            if count > MOST_INSERTED:
                raise ArgumentError(
                    f"gaps='insert' would make {count:,.0f} steps: read a part of the frame, or resample it"
                )
            times = np.rint(steps / usual)
            if bool((abs(steps - times * usual) <= _rounding(values, usual)).all()):
                whole = values[0] + usual * np.arange(round(count))
                whole[np.concatenate([[0], np.cumsum(times)]).astype(np.int64)] = values
                return Dates(self._of_wall(whole) if is_walls else whole, self.zone)
        k = int(np.diff(self.values).argmax())
        before, after = self[k : k + 2].names
        raise ArgumentError(
            f"the dates are irregular, so no others can be inserted: not all steps are multiples of the usual "
            f"{_of_span(usual)}, as from {before} to {after}. Resample the frame, or take its steps as they are, with "
            "gaps='join'"
        )


def _usual_step(values: Array) -> Any:
    unique, counts = np.unique(np.diff(values), return_counts=True)
    return float(np.median(np.diff(values))) if values.dtype.kind == "f" else unique[counts.argmax()]


def _rounding(values: Array, step: Any) -> Any:
    return _MOST_ROUNDING * abs(step) if values.dtype.kind == "f" else np.timedelta64(0, "ns")


def _of_difference(value: Any) -> str:
    seconds = value / np.timedelta64(1, "s")
    return f"{seconds:g} s"


@dataclass(frozen=True)
class Rhythm:
    """The step between dates: ``step``, or a number of ``months``, or a business day."""

    step: Any = None  # a time difference or a number
    months: int = 0  # between dates on the same day of the month, or with ``step`` before its end
    is_business: bool = False
    has_jitter: bool = False  # whether steps differ from ``step`` by less than half of it

    @property
    def has_days(self) -> bool:
        """Whether it counts whole days."""
        return self.is_business or self.months > 0 or self.step % _DAY == np.timedelta64(0, "ns")

    def after(self, last: Any, count: int) -> Any:
        """Return the next ``count`` dates after the last one."""
        numbers = np.arange(1, count + 1)
        if self.is_business:
            day = last.astype("M8[D]")
            days: Any = np.busday_offset(day, numbers, roll="forward")
            return days.astype("M8[ns]") + (last - day.astype("M8[ns]"))
        if self.months:
            before_end = self.step if self.step is not None else np.timedelta64(0, "ns")
            shifted = last + before_end
            month = shifted.astype("M8[M]")
            within = shifted - month.astype("M8[ns]")
            return (month + self.months * numbers).astype("M8[ns]") + within - before_end
        return last + self.step * numbers


def _rhythm_with_jitter(values: Array) -> Rhythm | None:
    """Return the usual step of a sensor's clock: less than a minute, with all steps within half of it of that step."""
    steps = np.diff(values)
    if len(steps) < 2 or values.dtype.kind == "f":
        return None
    usual = np.median(steps.astype(np.int64)).astype(np.int64).astype("m8[ns]")
    is_clock = usual < np.timedelta64(1, "m") and bool((abs(steps - usual) < usual / 2).all())
    return Rhythm(usual, has_jitter=True) if is_clock else None


_DAY = np.timedelta64(1, "D").astype("m8[ns]")


def find_rhythm(values: Array) -> Rhythm | None:
    """Return the constant step of ascending dates; None if there is none, or only one date."""
    if len(values) < 2:
        return None
    steps = np.diff(values)
    if values.dtype.kind == "f":
        step = float(np.median(steps))
        return Rhythm(step) if bool((abs(steps - step) <= _MOST_ROUNDING * abs(step)).all()) else None
    if bool((steps == steps[0]).all()):
        return Rhythm(steps[0])
    if values.dtype.kind != "M":
        return None
    for before_end in (None, _DAY):
        shifted = values if before_end is None else values + before_end
        months = shifted.astype("M8[M]")
        within, between = shifted - months.astype("M8[ns]"), np.diff(months.astype(np.int64))
        if bool((within == within[0]).all()) and bool((between == between[0]).all()) and between[0] > 0:
            return Rhythm(before_end, int(between[0]))
    days = values.astype("M8[D]")
    hours = values - days.astype("M8[ns]")
    if bool(np.is_busday(days).all()) and bool((hours == hours[0]).all()):
        return Rhythm(is_business=True) if bool((np.busday_count(days[:-1], days[1:]) == 1).all()) else None
    return None


def as_dates(value: Any, what: str) -> Dates:
    """Return dates from an index or column of pandas, an array, or a list of dates; ``what`` names them in messages."""
    zone = getattr(value, "tz", None) or getattr(getattr(value, "dtype", None), "tz", None)
    if type(value).__name__ == "PeriodIndex":
        value = value.to_timestamp()
    if zone is not None:
        utc = optional_package("pandas", "frames", "dates in a time zone").DatetimeIndex(value).tz_convert("UTC")
        return _ordered(Dates(_in_nanoseconds(np.asarray(utc.tz_localize(None)), what), zone), what)
    values = np.asarray(value)
    if values.ndim != 1:
        raise ShapeError(f"{what} must be one date for each step, got an array of shape {list(values.shape)}")
    if values.dtype.kind in "OUS":
        values = _parsed(values, what)
    if values.dtype.kind in "iu":
        values = values.astype(np.float64)
    if values.dtype.kind not in "Mmf":
        raise ArgumentTypeError(f"{what} must be dates, time differences or numbers, got {values.dtype}")
    if values.dtype.kind in "Mm":
        values = _in_nanoseconds(values, what)
    return _ordered(Dates(values), what)


def _in_nanoseconds(values: Array, what: str) -> Array:
    """Return times in nanoseconds; reject those before 1678 or after 2261, for which these have no number."""
    exact: Array = values.astype(f"{values.dtype.kind}8[ns]")
    lost = (exact.astype(values.dtype) != values) & ~np.isnat(values)
    if lost.any():
        raise ArgumentError(f"{what} must be in the years {_YEARS[0]} to {_YEARS[1]}, got {values[int(lost.argmax())]}")
    return exact


def _parsed(values: Array, what: str) -> Array:
    """Return texts and dates of Python as datetime64; reject those with a time zone."""
    zoned = [date for date in values.tolist() if getattr(date, "tzinfo", None) is not None]
    if zoned:
        count = len({date.utcoffset() for date in zoned}) + (len(zoned) < len(values))
        raise ArgumentError(
            f"{what} has times in {count} time zones or UTC offsets: convert them to one, with "
            "pandas.to_datetime(dates, utc=True)"
        )
    offset = next((text for text in values.tolist() if isinstance(text, str) and _UTC_OFFSET.search(text)), None)
    if offset is not None:
        raise ArgumentTypeError(
            f"{what} are texts with a UTC offset, such as {offset!r}: convert them with "
            "pandas.to_datetime(dates, utc=True), and tz_convert to name them in another time zone"
        )
    try:
        return values.astype("M8")
    except (TypeError, ValueError) as error:
        bad = next((k for k, date in enumerate(values) if not _is_date(date)), 0)
        raise ArgumentTypeError(
            f"{what} must be dates, but row {bad} holds {shorten(values[bad])}: convert it with pandas.to_datetime"
        ) from error


def _is_date(value: Any) -> bool:
    try:
        np.datetime64(value)
    except (TypeError, ValueError):
        return False
    return True


def _ordered(dates: Dates, what: str) -> Dates:
    """Return the dates; reject missing, unsorted and doubled ones."""
    values = dates.values
    missing = np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
    if missing.any():
        raise ArgumentError(f"{what}: the date of row {int(missing.argmax())} is missing")
    before, after = values[:-1], values[1:]
    if (after < before).any():
        k = int((after < before).argmax())
        first, second = dates[k : k + 2].names
        raise ArgumentError(
            f"{what} are not in order: {second} follows {first}. Sort the frame by its dates; if it has several "
            "stations, name their column with rows="
        )
    if (after == before).any():
        k = int((after == before).argmax())
        raise ArgumentError(
            f"{what}: {dates[k : k + 1].names[0]} occurs twice, in rows {k} and {k + 1}. Keep one, or, if the frame "
            f"has several stations, name their column with rows={_of_clocks(dates, k, 'back')}"
        )
    if values.dtype.kind in "Mm" and len(values) > 1 and values[-1] - values[0] < np.timedelta64(0, "ns"):
        raise ArgumentError(f"{what} span more than 292 years: read a part of them")
    return dates


def _of_clocks(dates: Dates, k: int, way: str) -> str:
    """Return a hint if clocks may change in the hour at step k, for times of day without a zone."""
    if dates.values.dtype.kind != "M" or dates.zone is not None or dates.values[k] == dates.values[k].astype("M8[D]"):
        return ""
    return f". If clocks were set {way} then, give the dates their time zone, with tz_localize"


def with_gaps(dates: Dates, gaps: str | None) -> Dates:
    """Return the dates; with missing ones, if ``gaps`` is ``"insert"``."""
    if gaps not in (None, "join", "insert"):
        raise ArgumentError(f"gaps must be None, 'join' or 'insert', got {shorten(gaps)}")
    if len(dates) < 2 or gaps == "join" or dates.rhythm is not None:
        return dates
    if gaps == "insert":
        return dates.filled()
    usual, steps = _usual_step(dates.values), np.diff(dates.values)
    odd = abs(steps - usual) > _rounding(dates.values, usual)
    k = int(odd.argmax())
    before, after = dates[k : k + 2].names
    count = int(odd.sum())
    hour = np.timedelta64(1, "h")
    is_clocks = dates.values.dtype.kind == "M" and usual <= hour and steps[k] - usual == hour
    raise ArgumentError(
        f"the dates have gaps: {count} step{'s differ' if count > 1 else ' differs'} from the usual {_of_span(usual)}, "
        f"first the {_of_span(steps[k])} from {before} to {after}. gaps='insert' inserts the missing dates, whose "
        "values missing= fills; gaps='join' reads what follows a gap as the next step"
        f"{_of_clocks(dates, k, 'forward') if is_clocks else ''}"
    )


def _of_span(step: Any) -> str:
    if isinstance(step, float):
        return f"{step:g}"
    seconds = float(step / np.timedelta64(1, "s"))
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds / size:g} {name}{'' if seconds == size else 's'}"
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"
