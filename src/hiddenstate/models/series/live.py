"""A series model that runs live: one step at a time, with rows that join and leave by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.base.messages import shorten
from hiddenstate.base.reading import reading
from hiddenstate.base.scalars import check_at_least
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError
from hiddenstate.models.series.dates import Array, Dates, as_dates
from hiddenstate.models.series.frames import is_absent
from hiddenstate.models.series.module_form import random_numbers
from hiddenstate.nn.packed_weights import fingerprint

if TYPE_CHECKING:
    import pandas

KIND = "hiddenstate.series-stream/1"
_KEPT = 40  # dates of each row, to know the step between them
_MOST_PRINTED = 30  # rows, and steps ahead of each


@dataclass(frozen=True, eq=False, repr=False)
class LiveForecast:
    """Forecasts of some rows. ``forecast["flow"]``, ``forecast["A"]["flow"]`` are numbers, or one for each step ahead.

    Attributes:
        values: in the units of the data, ``[A, R, K]``: for A steps ahead, R rows and K targets; float64. NaN for a
            model that reads windows, until the first is full.
        rows: the names of the rows.
        targets: the names of the targets.
        dates: for each row the dates that are forecast, ``[A]``, or None.
    """

    values: Tensor
    rows: tuple[str, ...]
    targets: tuple[str, ...]
    dates: tuple[Dates | None, ...]

    def __getitem__(self, name: str) -> Any:
        if name in self.rows and (name not in self.targets or len(self.rows) > 1):
            n = self.rows.index(name)
            return replace(self, values=self.values[:, n : n + 1], rows=(name,), dates=(self.dates[n],))
        if name not in self.targets or len(self.rows) > 1:
            there = self.targets if len(self.rows) == 1 else self.rows
            raise NameUnknownError(f"no forecast of {name!r}: there is {', '.join(there)}")
        values = self.values[:, 0, self.targets.index(name)].tolist()
        return values if len(values) > 1 else values[0]

    @property
    def forecasts(self) -> pandas.DataFrame:
        """A frame of pandas with a line for each row and date, and a column for each target."""
        package = optional_package("pandas", "frames", "a frame of forecasts")
        parts = {
            name: package.DataFrame(
                self.values[:, n].numpy(),
                range(1, len(self.values) + 1) if dates is None else dates.index().rename("date"),
                list(self.targets),
            )
            for n, (name, dates) in enumerate(zip(self.rows, self.dates, strict=True))
        }
        frame: pandas.DataFrame = package.concat(parts, names=["row"])
        return frame if len(self.rows) > 1 else frame.droplevel("row")

    def __repr__(self) -> str:
        lines = []
        for n, (row, dates) in enumerate(zip(self.rows[:_MOST_PRINTED], self.dates, strict=False)):
            for a, values in enumerate(self.values[:_MOST_PRINTED, n].tolist()):
                when = f"{a + 1}" if dates is None else dates.names[a]
                named = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.targets, values, strict=True))
                lines.append(f"{row} {when}: {named}" if len(self.rows) > 1 else f"{when}: {named}")
        count = len(self.values) * len(self.rows)
        if count > len(lines):
            lines.append(f"... {count:,} forecasts; forecasts has them all")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class _Row:
    """What is kept for one row: the module's state, or the last steps of a window; its last dates and forecast."""

    state: Any = None
    t: int = 0
    dates: Dates | None = None
    forecast: Tensor | None = None  # [A, K], in units


class SeriesStream:
    """Runs a series model live. Created by `SeriesModel.stream`.

    Each step gives what the module gives for the whole series so far (or for its last window). Rows (stations,
    machines) have names; they join with their first step, and wait if a step does not name them. A stream's state
    changes with each call: use one stream per thread.
    """

    def __init__(self, model: Any, *, gaps: str | None = None) -> None:
        if gaps not in (None, "join"):
            raise ArgumentError(f"gaps must be None or 'join' in a stream, got {shorten(gaps)}")
        self.model, self._gaps = model, gaps
        self._rows: dict[str, _Row] = {}
        self._call = _runner(model)

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of the rows."""
        return tuple(self._rows)

    def t(self, row: str | None = None) -> int:
        """Return the number of steps that a row has taken; without a name, the only row's, or the largest number."""
        if row is not None:
            return self._row(row).t
        return max((part.t for part in self._rows.values()), default=0)

    def step(self, values: Any, date: Any = None, *, rows: Sequence[str] | None = None) -> LiveForecast:
        """Read one time step of some rows, and return the forecasts after it.

        Args:
            values: a dict, or a Series of pandas, from feature to number; for several rows a dict from the row's name
                to such a dict, or a DataFrame whose index names the rows; or numbers in the order of the features,
                ``[C]``, or ``[n, C]`` with ``rows``. In the units of the data.
            date: the date of the step; if None, the one after the last, if rows have dates.
            rows: the names of the rows of an array, or of a DataFrame or its column that holds them. One unnamed row is
                the stream's only row; the first is called ``"0"``.

        Raises:
            NameUnknownError: a feature is missing.
            ArgumentError: a value is missing or infinite, the date is not after the last one or not the next, or it is
                not clear which row is meant.
            ArgumentTypeError: a value is not a number.
        """
        lines = _by_row(values, self.model.features, rows, self.rows)
        when = None if date is None else as_dates(_index([date]) if getattr(date, "tzinfo", None) else [date], "date=")
        dates = {name: self._dates_with(name, when) for name in lines}
        label = "this step" if when is None else when.names[0]
        numbers = [_numbers(row, name, label, self.model.features) for name, row in lines.items()]
        x = self.model.scaled(torch.tensor(numbers, dtype=torch.float64))[None]
        return self._read(x, dates)

    def feed(self, frame: Any, **options: Any) -> LiveForecast:
        """Read a whole frame, as `SeriesModel.prepare` does, and return the forecasts after its last step.

        Raises:
            HiddenStateError: as for `SeriesModel.prepare`.
            ArgumentError: the frame's dates do not follow those of its rows.
        """
        series = self.model.prepare(frame, **options)
        dates: dict[str, Dates | None] = {}
        for name in series.rows:
            before, new = self._rows.get(name, _Row()), series.timeline
            if before.t and (before.dates is None) != (new is None):
                raise ArgumentError(f"row {name!r} has {'no ' * (before.dates is None)}dates so far")
            if before.dates is not None and new is not None:
                first = self._dates_with(name, new[:1])
                assert first is not None
                new = Dates(np.concatenate([first.values, new.values[1:]]), new.zone)
            dates[name] = new
        return self._read(series.x, dates)

    def _read(self, x: Tensor, dates: Mapping[str, Dates | None]) -> LiveForecast:
        """Read steps ``x [T, R, C]`` of these rows; nothing changes if this fails."""
        names = [*dates]
        new: dict[str, _Row] = {}
        for begun in (True, False):  # rows that begin have no state yet
            at = [n for n, name in enumerate(names) if (name in self._rows) == begun]
            if not at:
                continue
            states = [self._rows[names[n]].state for n in at] if begun else None
            out, after = self._call(x[:, at], states)
            for k, n in enumerate(at):
                t = (self._rows[names[n]].t if begun else 0) + len(x)
                when = dates[names[n]]
                new[names[n]] = _Row(after[k], t, None if when is None else when[-_KEPT:], out[:, k])
        self._rows = {**self._rows, **new}
        return self._forecast(names)

    def _forecast(self, names: Sequence[str]) -> LiveForecast:
        parts = [self._rows[name] for name in names]
        values = torch.stack([part.forecast for part in parts if part.forecast is not None], dim=1)
        whens = tuple(None if part.dates is None else part.dates.ahead(self.model.form.ahead) for part in parts)
        return LiveForecast(values, tuple(names), self.model.targets, whens)

    def _dates_with(self, name: str, date: Dates | None) -> Dates | None:
        """Return a row's dates with the next one; reject one that does not follow."""
        row = self._rows.get(name, _Row())
        if not row.t:
            return date
        if row.dates is None:
            if date is not None:
                raise ArgumentError(f"row {name!r} has no dates so far: give none, or begin a new stream with dates")
            return None
        if date is None:
            return row.dates.then(row.dates.after(1))
        if date.values.dtype != row.dates.values.dtype or (date.zone is None) != (row.dates.zone is None):
            raise ArgumentError(
                f"the date of a step must have the type and time zone of row {name!r}'s earlier ones, such as "
                f"{row.dates.names[-1]}, got {date.names[0]}"
            )
        last, (new,) = row.dates.values[-1], date.values
        if not new > last:
            raise ArgumentError(
                f"the date of a step must be after the last of row {name!r}, {row.dates.names[-1]}, got {date.names[0]}"
            )
        rhythm = row.dates.rhythm
        may_jitter = rhythm is not None and (rhythm.has_jitter or (len(row.dates) == 2 and last.dtype.kind != "f"))
        allowed = 0.5 if may_jitter else 1e-3  # two dates do not show yet whether they have jitter
        if self._gaps is None and not row.dates.may_be_next(new, allowed):
            (due,) = row.dates.ahead(range(1, 2)).names
            raise ArgumentError(
                f"the next step of row {name!r} after {row.dates.names[-1]} is {due}, got {date.names[0]}: give "
                "the steps between, or create the stream with gaps='join' to read it as the next"
            )
        return row.dates.then(date.values)

    def join(self, name: str, *, like: str) -> None:
        """Begin a row from the state and the dates of another; a row that is not joined begins with its first step.

        Raises:
            ArgumentError: there is a row of this name already.
            NameUnknownError: there is no row ``like``.
        """
        if name in self._rows:
            raise ArgumentError(f"there is already a row {name!r}: continue it with step()")
        self._rows = {**self._rows, str(name): self._row(like)}

    def leave(self, name: str) -> None:
        """Forget a row.

        Raises:
            NameUnknownError: there is no such row.
        """
        self._row(name)
        self._rows = {other: row for other, row in self._rows.items() if other != name}

    def _row(self, name: str) -> _Row:
        if name not in self._rows:
            raise NameUnknownError(
                f"there is no row {name!r}: there {'is ' + ', '.join(self._rows) if self._rows else 'are none'}"
            )
        return self._rows[name]

    def fork(self) -> SeriesStream:
        """Return a second stream that continues from here; from then on, the two are independent."""
        other = SeriesStream.__new__(SeriesStream)
        other.__dict__.update(self.__dict__)  # rows are replaced, never changed
        return other

    def ahead(self, steps: int, future: Any = None) -> LiveForecast:
        """Forecast several steps ahead of every row, without changing the stream.

        A model that forecasts one step ahead reads its own forecasts: its features must be targets, or be given as
        ``future``.

        Args:
            steps: the number of steps.
            future: the features that are not targets, at the ``steps - 1`` steps after the last: a dict from feature to
                numbers, or a DataFrame; the same for all rows.

        Raises:
            ArgumentError: there is no row yet, or the module forecasts a step other than the next, or fewer steps.
            NameUnknownError: a feature is neither a target nor in ``future``.
        """
        count = check_at_least("steps", steps, 1)
        if not self._rows:
            raise ArgumentError("no row has taken a step yet: begin with step() or feed()")
        model = self.model
        if model.gives == "horizon":
            if count > model.horizon:
                raise ArgumentError(f"the model forecasts {model.horizon} steps ahead, got steps={count}")
            whole = self._forecast(self.rows)
            whens = tuple(None if dates is None else dates[:count] for dates in whole.dates)
            return replace(whole, values=whole.values[:count], dates=whens)
        if model.horizon != 1 and count > 1:
            raise ArgumentError(
                f"this model forecasts {model.horizon} steps ahead, so its forecasts can't be read as the next step: "
                "only a model that forecasts one step ahead can read its own forecasts"
            )
        others = _future([name for name in model.features if name not in model.targets], future, count - 1)
        branch, parts = self.fork(), [self._forecast(self.rows).values]
        branch._gaps = "join"
        for k in range(count - 1):
            known = {name: numbers[k] for name, numbers in others.items()}
            rows = {
                name: {**known, **dict(zip(model.targets, parts[-1][0, n].tolist(), strict=True))}
                for n, name in enumerate(self.rows)
            }
            parts.append(branch.step(rows).values)
        ahead = range(model.horizon, model.horizon + count)
        whens = tuple(None if row.dates is None else row.dates.ahead(ahead) for row in self._rows.values())
        return LiveForecast(torch.cat(parts), self.rows, model.targets, whens)

    def save(self, path: str | Path) -> None:
        """Write the state of every row, with names, dates and a fingerprint of the weights and scales, atomically.

        Raises:
            FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        about = []
        for n, (name, row) in enumerate(self._rows.items()):
            tensors |= {f"{n}.state.{k}": leaf for k, leaf in enumerate(_leaves(row.state))}
            if row.forecast is not None:
                tensors[f"{n}.forecast"] = row.forecast
            zone = None if row.dates is None or row.dates.zone is None else str(row.dates.zone)
            if row.dates is not None:
                values = row.dates.values
                tensors[f"{n}.dates"] = torch.from_numpy(
                    values if values.dtype.kind == "f" else values.astype(np.int64)
                )
            kind = None if row.dates is None else row.dates.values.dtype.kind
            about.append({"name": name, "t": row.t, "dates": kind, "zone": zone})
        metadata = {"rows": json.dumps(about, ensure_ascii=False), "weights": self._fingerprint()}
        metadata["columns"] = json.dumps([self.model.features, self.model.targets], ensure_ascii=False)
        write_tensors(path, KIND, tensors, metadata)

    def load(self, path: str | Path) -> None:
        """Continue from what `save` wrote, in a stream of a model with the same columns, weights and scales.

        Raises:
            FileFormatError: the file is damaged, is not a stream of a series, or belongs to a different model.
        """
        tensors, about = read_tensors(path, KIND)
        with reading(path):
            columns = json.dumps([self.model.features, self.model.targets], ensure_ascii=False)
            if about["columns"] != columns:
                raise FileFormatError(
                    f"{path} is of a model with the columns {about['columns']:.200}, expected {columns}"
                )
            if about["weights"] != self._fingerprint():
                raise FileFormatError(
                    f"{path} was saved with other weights or scales than this model's: load it into a stream of the "
                    "model that it was saved with"
                )
            rows = {}
            template = self._call(random_numbers(self.model.module, 1, 1, len(self.model.features)), None)
            for n, row in enumerate(json.loads(about["rows"])):
                rows[str(row["name"])] = self._loaded(n, row, tensors, template)
            if tensors:
                raise FileFormatError(f"{path} is damaged: it has an unexpected tensor {sorted(tensors)[0]!r}")
        self._rows = rows

    def _loaded(self, n: int, row: Mapping[str, Any], tensors: dict[str, Tensor], template: Any) -> _Row:
        out, (like,) = template
        leaves = [tensors.pop(f"{n}.state.{k}") for k in range(len(_leaves(like)))]
        for leaf, other in zip(leaves, _leaves(like), strict=True):
            fits = leaf.dim() == other.dim() if self.model.window else leaf.shape == other.shape
            if not fits or leaf.dtype != other.dtype or leaf.shape[-1] != other.shape[-1]:
                raise ValueError(f"a state has shape {list(leaf.shape)}, expected {list(other.shape)}")
        state = _rebuilt(like, iter([leaf.to(other.device) for leaf, other in zip(leaves, _leaves(like), strict=True)]))
        forecast = tensors.pop(f"{n}.forecast")
        if forecast.shape != out[:, 0].shape or type(row["t"]) is not int or row["t"] < 1:
            raise ValueError(f"a forecast has shape {list(forecast.shape)} after {row['t']!r:.20} steps")
        dates = None
        if row["dates"] is not None:
            values = tensors.pop(f"{n}.dates").numpy()
            kinds = {"M": "M8[ns]", "m": "m8[ns]", "f": "f8"}
            typed = values.astype("f8") if row["dates"] == "f" else values.view(kinds[row["dates"]])
            dates = as_dates(typed if row["zone"] is None else Dates(typed, row["zone"]).index(), "the saved dates")
        return _Row(state, row["t"], dates, forecast.double())

    def _fingerprint(self) -> str:
        scales = {f"scale {k}": part for k, part in enumerate((*self.model.scale, *self.model.target_scale))}
        return fingerprint({**dict(self.model.module.state_dict()), **scales})

    def __repr__(self) -> str:
        return f"SeriesStream({', '.join(self._rows) or 'no rows yet'}; {self.t()} steps)"


_Run = Callable[[Tensor, "list[Any] | None"], "tuple[Tensor, list[Any]]"]


def _runner(model: Any) -> _Run:
    """Return a function of steps ``[T, R, C]`` and the states of rows: forecasts ``[A, R, K]`` and the new states."""
    if model.window is not None:
        return _windows(model, model.window)
    run: Callable[..., tuple[Tensor, Any]]
    if model.carries_state:
        run = model.run
    elif model.network is not None and model.network.form.carries_state:
        network, scale = model.network, model.target_scale
        network.requires_grad_(False)

        def recompute(x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            out, after = network(x, state)
            return scale.in_units(out), after

        run = recompute
    else:
        raise ArgumentError(
            f"this {type(model.module).__name__} can't be streamed: it returns no state to continue from, and it is "
            f"{model.understood if model.network is None else 'bidirectional'}. Give window=, if it reads windows"
        )
    with torch.no_grad():
        of_one, of_two = (run(random_numbers(model.module, 2, R, len(model.features)))[1] for R in (1, 2))
    axes = _row_axes(of_one, of_two)

    def call(x: Tensor, states: list[Any] | None) -> tuple[Tensor, list[Any]]:
        with torch.no_grad():
            out, after = run(x, None if states is None else _joined(states, iter(axes)))
        rows = [
            _rebuilt(after, iter([leaf.narrow(a, n, 1) for leaf, a in zip(_leaves(after), axes, strict=True)]))
            for n in range(x.shape[1])
        ]
        return model.form.last(out).double().cpu(), rows

    return call


def _windows(model: Any, window: int) -> _Run:
    """Return the function for a model that reads windows: the state of a row is its last steps ``[t, C]``."""

    def call(x: Tensor, states: list[Any] | None) -> tuple[Tensor, list[Any]]:
        before = [x[:0, n] for n in range(x.shape[1])] if states is None else states
        after = [torch.cat([part, x[:, n]])[-window:] for n, part in enumerate(before)]
        values = torch.full((len(model.form.ahead), len(after), len(model.targets)), math.nan, dtype=torch.float64)
        full = [n for n, part in enumerate(after) if len(part) == window]
        if full:
            with torch.no_grad():
                out = model.forecast(torch.stack([after[n] for n in full], dim=1))
            values[:, full] = model.form.last(out).double().cpu()
        return values, after

    return call


def _leaves(state: Any) -> list[Tensor]:
    """Return the tensors of a state: nested tuples and lists of tensors."""
    if isinstance(state, Tensor):
        return [state]
    if not isinstance(state, tuple | list):
        raise ArgumentTypeError(f"a module's state must be tensors, or tuples of them, got {type(state).__name__}")
    return [leaf for part in state for leaf in _leaves(part)]


def _rebuilt(like: Any, leaves: Any) -> Any:
    """Return a state of the same form with other tensors."""
    return next(leaves) if isinstance(like, Tensor) else tuple(_rebuilt(part, leaves) for part in like)


def _row_axes(of_one: Any, of_two: Any) -> list[int]:
    """Return the axis of rows of each tensor of a state, from the states of one row and of two."""
    axes = []
    for a, b in zip(_leaves(of_one), _leaves(of_two), strict=True):
        differing = [k for k in range(a.dim()) if a.shape[k] != b.shape[k]]
        if len(differing) != 1:
            raise ArgumentError(
                f"a state of shape {list(b.shape)} for two rows has no axis of rows, so it can't be streamed"
            )
        axes += differing
    return axes


def _joined(states: Sequence[Any], axes: Iterable[int]) -> Any:
    """Return the state of several rows from that of each."""
    columns = zip(*map(_leaves, states), strict=True)
    return _rebuilt(states[0], iter([torch.cat(column, dim=a) for column, a in zip(columns, axes, strict=True)]))


def _index(dates: Any) -> Any:
    return optional_package("pandas", "frames", "dates in a time zone").DatetimeIndex(dates)


def _by_row(values: Any, features: Sequence[str], rows: Any, present: Sequence[str]) -> dict[str, Any]:
    """Return the values of each row: a dict or Series from feature to number, or numbers in the features' order."""
    if type(values).__name__ == "DataFrame":
        return _lines(values, rows, present)
    if type(values).__name__ == "Series":
        values = values.to_dict()
    if isinstance(values, Mapping):
        several = values and all(
            isinstance(part, Mapping) or (hasattr(part, "__len__") and not isinstance(part, str))
            for part in values.values()
        )
        if several and rows is not None:
            raise ArgumentError("rows= names the rows of an array or a frame, but the dict of this step names them")
        return {str(name): part for name, part in values.items()} if several else {_only(rows, present): values}
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim not in (1, 2) or array.shape[-1] != len(features):
        raise ArgumentError(
            f"a step must be {len(features)} numbers, in the order {', '.join(features)}, or a dict of them by name, "
            f"got shape {list(array.shape)}"
        )
    names = [_only(rows, present)] if array.ndim == 1 else [*map(str, rows or range(len(array)))]
    if len(names) != len(np.atleast_2d(array)) or len(set(names)) < len(names):
        raise ArgumentError(f"rows= must name each of the {len(array)} rows of the step once, got {shorten(names)}")
    if rows is None and array.ndim == 2 and present and not set(names) <= set(present):
        raise ArgumentError(f"the stream has the rows {shorten(list(present))}: name those of this step with rows=")
    return dict(zip(names, np.atleast_2d(array).tolist(), strict=True))


def _lines(frame: Any, rows: Any, present: Sequence[str]) -> dict[str, Any]:
    """Return the lines of a frame by the name of their row."""
    if isinstance(rows, str):
        if rows not in frame.columns:
            raise NameUnknownError(f"the frame has no column {rows!r}: it has {shorten(list(frame.columns))}")
        frame = frame.set_index(rows)
    elif rows is not None:
        if len(rows) != len(frame):
            raise ArgumentError(f"rows= must name each of the {len(frame)} lines of the frame, got {shorten(rows)}")
        frame = frame.set_axis(list(rows))
    names = [str(name) for name in frame.index]
    kind = getattr(frame.index.dtype, "kind", "O")
    if rows is None and (kind in "mM" or (kind in "iu" and present and not set(names) & set(present))):
        raise ArgumentError(
            f"the index of a step's frame names its rows, got {shorten(names)}: name them with rows=, such as "
            "rows='station', the column that holds them, or give one line as a dict"
        )
    if len(set(names)) < len(names):
        raise ArgumentError(f"a step has one line for each row, but the frame names {shorten(names)}")
    return dict(zip(names, frame.to_dict("records"), strict=True))


def _only(rows: Sequence[str] | None, present: Sequence[str]) -> str:
    """Return the name of the one row of a step."""
    names = [rows] if isinstance(rows, str) else rows
    if names is not None:
        if len(names) != 1:
            raise ArgumentError(f"the step is of one row, but rows= names {len(names)}")
        return str(names[0])
    if present and "0" not in present and len(present) > 1:
        raise ArgumentError(
            f"the stream has the rows {shorten(list(present))}, and this step names none of them: give a dict from the "
            f"row's name to its values, such as {{{present[0]!r}: ...}}, or rows=[{present[0]!r}]"
        )
    return present[0] if len(present) == 1 else "0"


def _numbers(row: Any, name: str, when: str, features: Sequence[str]) -> list[float]:
    """Return the numbers of one row in the order of the features; reject those missing, infinite or not numbers."""
    if type(row).__name__ == "Series":
        row = row.to_dict()
    if isinstance(row, Mapping):
        missing = [feature for feature in features if feature not in row]
        if missing:
            raise NameUnknownError(
                f"{missing[0]!r} is not given at {when} for row {name!r}: there is {shorten(list(row))}"
            )
        row = [row[feature] for feature in features]
    if len(row) != len(features):
        raise ArgumentError(f"row {name!r} has {len(row)} values at {when}, expected {len(features)}")
    numbers = []
    for feature, value in zip(features, row, strict=True):
        if is_absent(value) or value != value:
            raise ArgumentError(f"the value of {feature!r} at {when} is missing in row {name!r}: fill it first")
        if not isinstance(value, int | float | np.number | np.bool_ | Tensor):
            raise ArgumentTypeError(
                f"the value of {feature!r} at {when} in row {name!r} is {shorten(value)}, expected a number"
            )
        if not math.isfinite(float(value)):
            raise ArgumentError(f"the value of {feature!r} at {when} is infinite in row {name!r}: correct it")
        numbers.append(float(value))
    return numbers


def _future(features: Sequence[str], future: Any, count: int) -> dict[str, Any]:
    """Return the coming values of the features that are not targets."""
    if not features or not count:
        return {}
    columns = {} if future is None else future
    missing = [name for name in features if name not in columns]
    if missing:
        raise NameUnknownError(
            f"{missing[0]!r} is not a target, so its values at the next {count} step{'s' * (count > 1)} are needed: "
            f"give them as future={{{missing[0]!r}: [...]}}"
        )
    arrays: dict[str, Array] = {name: np.asarray(columns[name], np.float64).reshape(-1) for name in features}
    short = [name for name, array in arrays.items() if len(array) < count]
    if short:
        raise ArgumentError(f"future= has {len(arrays[short[0]])} values of {short[0]!r}, expected {count}")
    return arrays
