"""Reads frames, datasets, mappings, arrays and tensors as columns of numbers with dates and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from torch import Tensor

from hiddenstate.base.memory import MOST_BYTES
from hiddenstate.base.messages import readable_name, shorten
from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, NameUnknownError, RankError, ShapeError
from hiddenstate.models.series.dates import Array, Dates, as_dates, with_gaps

_NUMBERS = "fiub"  # kinds of NumPy's types


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of numbers: each float64 ``[T, N]``, by name; NaN where a value is missing."""

    values: Mapping[str, Array]
    dates: Dates | None
    rows: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SeriesInput:
    """What a module reads from a frame. Created by `SeriesModel.prepare`.

    Attributes:
        x: ``[T, N, C]``, scaled, time first whatever the module's own order is; of its type, on its device.
        rows: the name of each row, such as a station.
        timeline: the dates with their time zone, or None if the frame has none.
        truth: the targets' columns, float64 ``[T, N, K]`` in the units of the data, NaN where a value is missing; None
            if the frame lacks one of them.
        filled: bool ``[T, N, C]``, where a value was missing and was filled; None if none was.
    """

    x: Tensor
    rows: tuple[str, ...]
    timeline: Dates | None
    truth: Tensor | None
    filled: Tensor | None

    @property
    def dates(self) -> Array | None:
        """The date of each step: datetime64 (in UTC, if the frame has a time zone), timedelta64, or numbers."""
        return None if self.timeline is None else self.timeline.values

    def part(self, begin: int, end: int) -> "SeriesInput":
        """Return the steps from ``begin`` to before ``end``."""
        x, truth, filled = (None if part is None else part[begin:end] for part in (self.x, self.truth, self.filled))
        assert x is not None
        return SeriesInput(x, self.rows, None if self.timeline is None else self.timeline[begin:end], truth, filled)

    def step_names(self) -> tuple[str, ...]:
        """Return the date of each step as text, or its number."""
        return tuple(map(str, range(len(self.x)))) if self.timeline is None else self.timeline.names


@dataclass(frozen=True)
class Wanted:
    """What is read from a frame."""

    features: tuple[str, ...]  # columns that it must have
    others: tuple[str, ...] = ()  # columns that are read if it has them
    dates: Any = None  # the column, index level or dimension of the dates, or the dates; found if None
    rows: Any = None  # the column, index level or dimension of the rows' names, or the names; found if None
    gaps: str | None = None  # what to do where dates are missing: refuse (None), "insert" or "join"
    time_first: bool = True  # the order of an array's first two axes


def read_columns(frame: object, wanted: Wanted) -> Columns:
    """Read the columns of a frame."""
    kind = type(frame)
    package = kind.__module__.partition(".")[0]
    if package == "pandas" and kind.__name__ == "DataFrame":
        columns = _of_pandas(frame, wanted)
    elif package == "xarray":
        columns = _of_xarray(frame, wanted)
    elif isinstance(frame, Mapping):
        columns = _of_mapping(frame, wanted)
    elif isinstance(frame, Tensor | np.ndarray):
        columns = _of_array(frame, wanted)
    else:
        raise ArgumentTypeError(
            "a series is a DataFrame of pandas, a Dataset of xarray, a dict of columns, a NumPy array or a tensor, got "
            f"{readable_name(kind)}"
        )
    return _without_gaps(columns, wanted.gaps)


def check_bytes(T: int, N: int, C: int) -> None:
    """Raise ArgumentError for a frame that takes more than 8 GiB, before any of it is copied."""
    if (nbytes := 8 * T * N * C) > MOST_BYTES:
        raise ArgumentError(
            f"a frame of {T:,} steps, {N:,} rows and {C:,} columns takes {nbytes:,} bytes, but at most {MOST_BYTES:,} "
            "are read at once: read it in parts"
        )


def _without_gaps(columns: Columns, gaps: str | None) -> Columns:
    dates = columns.dates
    if dates is None:
        return columns
    whole = with_gaps(dates, gaps)
    check_bytes(len(whole), len(columns.rows), len(columns.values))
    values = {name: _at_dates(column, dates, whole) for name, column in columns.values.items()}
    return Columns(values, whole, columns.rows)


def check_columns(there: Sequence[Any], features: Sequence[str], others: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the columns to read, features and others; reject missing features and doubled columns."""
    counts = {name: there.count(name) for name in (*features, *others)}
    missing = [name for name in features if not counts[name]]
    if missing:
        near = get_close_matches(missing[0], [name for name in there if isinstance(name, str)], n=1)
        raise NameUnknownError(
            f"{what} has no column {missing[0]!r}{f' (but {near[0]!r})' if near else ''}: the model reads "
            f"{shorten(list(features))}, and there are {shorten(list(there))}. Rename or add the column"
        )
    doubled = [name for name, count in counts.items() if count > 1]
    if doubled:
        raise ArgumentError(f"{what} has the column {doubled[0]!r} {counts[doubled[0]]} times: keep one of them")
    return tuple(name for name, count in counts.items() if count)


def _numbers(column: Any, name: str, dates: Dates | None = None) -> Array:
    """Return a column as float64; reject text and anything else that is not a number, naming its place."""
    dtype = getattr(column, "dtype", None)
    kind = getattr(dtype, "kind", "O")
    if kind in _NUMBERS:  # also pandas' own types, with missing values
        return np.asarray(
            column.to_numpy(np.float64, na_value=np.nan) if hasattr(column, "to_numpy") else column, np.float64
        )
    values = np.asarray(column, dtype=object).reshape(-1)
    bad = None
    if kind == "O" and hasattr(dtype, "kind"):
        allowed = [
            is_absent(value) or isinstance(value, int | float | np.number | np.bool_) for value in values.tolist()
        ]
        bad = None if all(allowed) else allowed.index(False)
        if bad is None:
            return np.array([np.nan if is_absent(value) else float(value) for value in values.tolist()])
    k = 0 if bad is None else bad
    place = f"row {k}" if dates is None else dates[k : k + 1].names[0]
    holds = (
        f"the column {name!r} holds {shorten(values[k])} at {place}" if len(values) else f"the column {name!r} is empty"
    )
    raise ArgumentTypeError(
        f"{holds} ({dtype}), expected a number: convert the column, with pandas.to_numeric or one column for each value"
    )


def is_absent(value: object) -> bool:
    """Whether a value is None or pandas' NA."""
    return value is None or type(value).__name__ == "NAType"


def _of_pandas(frame: Any, wanted: Wanted) -> Columns:
    if [*frame.columns] == [*range(len(wanted.features))]:
        frame = frame.set_axis(list(wanted.features), axis=1)  # it has no names
    names = check_columns(list(frame.columns), wanted.features, wanted.others, "the frame")
    check_bytes(len(frame), 1, len(names))
    dates, stations = _labels_of(frame, wanted)
    if stations is None:
        when = None if dates is None else as_dates(dates, "the dates")
        values = {name: _numbers(frame[name], name, when)[:, None] for name in names}
        return Columns(values, when, _row_names(wanted.rows, 1))
    if (lacking := stations.isna()).any():
        raise ArgumentError(f"the column that names the rows, {wanted.rows!r}, has no name in row {lacking.argmax()}")
    places = {str(name): np.flatnonzero(stations == name) for name in stations.unique()}
    whens = [
        None if dates is None else as_dates(dates[at], f"the dates of row {name!r}") for name, at in places.items()
    ]
    if len(places) < stations.nunique():
        raise ArgumentError(f"the names of rows in {wanted.rows!r} are not distinct as text: {shorten(list(places))}")
    columns = {name: _numbers(frame[name], name)[:, None] for name in names}
    parts = {
        name: Columns({column: values[at] for column, values in columns.items()}, when, (name,))
        for (name, at), when in zip(places.items(), whens, strict=True)
    }
    return _side_by_side(parts, wanted)


def _labels_of(frame: Any, wanted: Wanted) -> tuple[Any, Any]:
    """Return the dates of a frame's lines, and the names of their rows, each as an index of pandas or None."""
    index = frame.index
    levels = [index.get_level_values(k) for k in range(index.nlevels)]

    def named(name: str) -> Any:
        if name in index.names:
            return levels[index.names.index(name)]
        if list(frame.columns).count(name) != 1:
            there = [level for level in [*index.names, *frame.columns] if level is not None]
            raise NameUnknownError(f"the frame has no column {name!r}, or several: it has {shorten(there)}")
        return _as_index(frame[name])

    rows = named(wanted.rows) if isinstance(wanted.rows, str) else None
    if isinstance(wanted.dates, str):
        dates = named(wanted.dates)
    elif wanted.dates is not None:
        if len(wanted.dates) != len(frame):
            raise ShapeError(f"dates= has {len(wanted.dates)} dates, but the frame has {len(frame)} lines")
        dates = frame.iloc[:, :0].set_axis(wanted.dates).index  # taken by place, whatever labels a column of dates has
    else:
        of_time = [level for level in levels if getattr(level.dtype, "kind", "") in "mM" or hasattr(level, "freq")]
        lone = [] if index.nlevels > 1 or index.dtype.kind in "iu" else [index]
        dates = next(iter([*of_time, *lone, *_columns_of_dates(frame, wanted)]), None)
    if wanted.rows is None and len(levels) > 1:
        others = [level for level in levels if level is not dates]
        if len(levels) > 2 or len(others) > 1:
            raise ArgumentError(
                f"the index has the levels {shorten(list(index.names))}, expected one of dates and one of rows: "
                "name them with dates= and rows="
            )
        rows = others[0]
    return dates, rows


def _columns_of_dates(frame: Any, wanted: Wanted) -> list[Any]:
    """Return the only column of dates that a frame without dates in its index has, or none."""
    columns = [
        position
        for position, (name, dtype) in enumerate(zip(frame.columns, frame.dtypes, strict=True))
        if getattr(dtype, "kind", "") == "M" and name not in (*wanted.features, *wanted.others)
    ]
    return [_as_index(frame.iloc[:, columns[0]])] if len(columns) == 1 else []


def _as_index(column: Any) -> Any:
    """Return a column as an index of pandas, which keeps a time zone."""
    return column.set_axis(column.array).index


def _side_by_side(parts: Mapping[str, Columns], wanted: Wanted) -> Columns:
    """Return the columns that all rows have, at the dates of all of them."""
    if not parts:
        raise ShapeError("the frame is empty, expected at least one step")
    first, *others = parts.values()
    names = [name for name in first.values if all(name in other.values for other in others)]
    common = _common_dates(parts, wanted)
    check_bytes(len(first.values[names[0]] if common is None else common), len(parts), len(names))
    values = {
        name: np.concatenate([_at_dates(part.values[name], part.dates, common) for part in parts.values()], axis=1)
        for name in names
    }
    return Columns(values, common, tuple(parts))


def _common_dates(parts: Mapping[str, Columns], wanted: Wanted) -> Dates | None:
    """Return the dates of all rows, or None; with ``gaps="insert"``, a row may lack some of them."""
    names, dates = [*parts], [part.dates for part in parts.values()]
    lengths = [len(next(iter(part.values.values()))) for part in parts.values()]
    first = dates[0]
    for name, other, length in zip(names, dates, lengths, strict=True):
        if length == lengths[0] and (first is None or other is None or other.same_times(first)):
            continue
        if first is not None and other is not None and (first.zone is None) != (other.zone is None):
            raise ArgumentError(
                f"the dates of {names[0]!r} have {'no' if first.zone is None else 'a'} time zone, and those of "
                f"{name!r} have {'none' if other.zone is None else 'one'}: give both one, with tz_localize"
            )
        may_insert = first is not None and other is not None and first.same_span(other)
        if may_insert and wanted.gaps == "insert":
            continue
        spans = [
            f"{row!r} has {count} steps" + ("" if when is None else f" from {when.names[0]} to {when.names[-1]}")
            for row, when, count in ((names[0], first, lengths[0]), (name, other, length))
        ]
        cure = "Insert those that one lacks, with gaps='insert', cut" if may_insert else "Cut"
        raise ArgumentError(
            f"rows that are read together need the same dates: {'; '.join(spans)}. {cure} them to those that both "
            "have, or read them one by one"
        )
    if first is None or all(other is None or other.same_times(first) for other in dates):
        return first
    return Dates(np.unique(np.concatenate([part.values for part in dates if part is not None])), first.zone)


def _at_dates(column: Array, own: Dates | None, common: Dates | None) -> Array:
    """Return a column ``[T, N]`` at all dates, NaN at those that it lacks."""
    if own is None or common is None or own.same_times(common):
        return column
    whole = np.full((len(common), column.shape[1]), np.nan)
    whole[np.searchsorted(common.values, own.values)] = column
    return whole


def _row_names(rows: Any, N: int) -> tuple[str, ...]:
    """Return the names of N rows: those given, or numbers."""
    if rows is None:
        return tuple(map(str, range(N)))
    if isinstance(rows, str) or not hasattr(rows, "__len__"):
        raise ArgumentTypeError(f"rows= must be one name for each row, got {shorten(rows)}")
    names = tuple(map(str, rows))
    if len(names) != N or len(set(names)) != N:
        raise ArgumentError(f"rows= must be {N} different names, got {shorten(list(names))}")
    return names


def _of_xarray(frame: Any, wanted: Wanted) -> Columns:
    if type(frame).__name__ == "DataArray":
        holds = [
            dim
            for dim in frame.dims
            if dim in frame.coords and set(wanted.features) <= set(map(str, frame[dim].values))
        ]
        if not holds:
            raise NameUnknownError(
                f"this DataArray has no dimension that names {shorten(list(wanted.features))}: give a Dataset with a "
                "variable for each"
            )
        frame = frame.to_dataset(dim=holds[0])
    names = check_columns(list(map(str, frame.data_vars)), wanted.features, wanted.others, "the dataset")
    dims = [str(dim) for dim in frame[names[0]].dims]
    time = wanted.dates if isinstance(wanted.dates, str) else _time_dim(frame, dims)
    if time not in dims or len(dims) > 2:
        raise RankError(
            f"{names[0]!r} has the dimensions {dims}, expected one of time (named with dates=), and at most one of rows"
        )
    row = next((dim for dim in dims if dim != time), None)
    check_bytes(frame.sizes[time], 1 if row is None else frame.sizes[row], len(names))
    values = {}
    for name in names:
        if set(map(str, frame[name].dims)) != set(dims):
            raise ShapeError(
                f"{name!r} has the dimensions {list(frame[name].dims)}, and {names[0]!r} {dims}: they must be the same"
            )
        variable = frame[name].transpose(time, *([] if row is None else [row]))
        values[name] = _numbers(variable.values.reshape(-1), name).reshape(len(variable), -1)
    when = None
    if time in frame.coords and frame[time].dtype.kind in "Mmf":
        when = as_dates(frame[time].values, "the dates")
    stations = frame[row].values.tolist() if row in frame.coords else None
    return Columns(values, when, _row_names(stations, len(stations) if stations else values[names[0]].shape[1]))


def _time_dim(frame: Any, dims: Sequence[str]) -> str:
    of_time = [dim for dim in dims if dim in frame.coords and frame[dim].dtype.kind in "Mm"]
    return of_time[0] if len(of_time) == 1 else "time"


def _of_mapping(frame: Mapping[Any, Any], wanted: Wanted) -> Columns:
    if frame and all(type(part).__name__ == "DataFrame" for part in frame.values()):
        alone = Wanted(wanted.features, wanted.others, wanted.dates)
        parts = {str(name): _of_pandas(part, alone) for name, part in frame.items()}
        if len(parts) < len(frame):
            raise ArgumentError(f"the names of rows are not distinct as text: {shorten(list(frame))}")
        if several := [name for name, part in parts.items() if len(part.rows) > 1]:
            raise ArgumentError(f"the frame of row {several[0]!r} has several rows itself: give it as the whole frame")
        return _side_by_side(parts, wanted)
    names = check_columns(list(frame), wanted.features, wanted.others, "the dict")
    arrays = {name: _plain(frame[name]) for name in names}
    shapes = {name: value.shape for name, value in arrays.items()}
    lead = shapes[names[0]]
    for name, shape in shapes.items():
        if len(shape) not in (1, 2) or shape != lead:
            raise ShapeError(
                f"the column {name!r} has shape {list(shape)}, and {names[0]!r} {list(lead)}: expected [T] or [T, N] "
                "for all of them"
            )
    check_bytes(lead[0], lead[1] if len(lead) > 1 else 1, len(names))
    dates = frame[wanted.dates] if isinstance(wanted.dates, str) else wanted.dates
    when = _given_dates(dates, lead[0])
    labels = when if len(lead) == 1 else None
    values = {name: _numbers(value.reshape(-1), name, labels).reshape(lead[0], -1) for name, value in arrays.items()}
    return Columns(values, when, _row_names(wanted.rows, values[names[0]].shape[1]))


def _plain(value: Any) -> Array:
    if not isinstance(value, Tensor):
        return np.asarray(value)
    check_dense(value, "the series")
    check_memory(value, "the series")
    if value.is_complex() or value.is_meta:
        raise DtypeError(
            f"the series is a tensor of {value.dtype} on {value.device}, expected real numbers with values"
        )
    return value.detach().cpu().double().numpy()


def _given_dates(dates: Any, T: int) -> Dates | None:
    if dates is None:
        return None
    when = as_dates(dates, "dates=")
    if len(when) != T:
        raise ShapeError(f"dates= has {len(when)} dates, but the series has {T} steps")
    return when


def _of_array(frame: Tensor | Array, wanted: Wanted) -> Columns:
    C = len(wanted.features)
    form = "[T, N, C]" if wanted.time_first else "[N, T, C]"
    if frame.ndim not in (2, 3) or frame.shape[-1] != C:
        raise ShapeError(
            f"an array of a series must be [T, C] or {form}, with the C = {C} features in the order of the model, got "
            f"shape {list(frame.shape)}"
        )
    T, N = (frame.shape[0], 1) if frame.ndim == 2 else frame.shape[:2] if wanted.time_first else frame.shape[1::-1]
    check_bytes(T, N, C)
    array = _plain(frame)
    if array.dtype.kind not in _NUMBERS:
        _numbers(array.reshape(-1), wanted.features[0])
    whole = array[:, None] if array.ndim == 2 else array if wanted.time_first else array.swapaxes(0, 1)
    values = {name: np.asarray(whole[..., k], np.float64) for k, name in enumerate(wanted.features)}
    return Columns(values, _given_dates(wanted.dates, T), _row_names(wanted.rows, N))
