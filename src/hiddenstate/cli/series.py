"""A series model and a file of numbers: their options, what ``read`` shows, and cases for ``explain``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TextIO

import typer

from hiddenstate.cli.conventions import STANDARD, json_text, standard_input, tell
from hiddenstate.errors import ArgumentError, TraceTooLargeError

if TYPE_CHECKING:
    from hiddenstate.models.series.forecasts import SeriesReading
    from hiddenstate.models.series.frames import SeriesInput
    from hiddenstate.models.series.series_model import SeriesModel

DEFAULT = "seattle-weather"
USUAL_STEPS = 30  # that are explained, of a model that carries a state
MOST_EXACT = 12  # players of exact Shapley values
_SHOWN, _CHANGED = 10, 3
Gaps = Literal["insert", "join"]

DatesOption = Annotated[
    str | None, typer.Option(help="For a file of numbers: the column of the dates; default: the only one.")
]
RowsOption = Annotated[
    str | None, typer.Option(help="For a file of numbers: the column that names the rows, such as stations.")
]
GapsOption = Annotated[
    Gaps | None, typer.Option(help="What to do if dates are missing; default: an error.", show_default=False)
]
MissingOption = Annotated[
    str | None,
    typer.Option(help="What replaces a missing value: a number, or previous; default: an error.", metavar="VALUE"),
]


class FrameOptions(NamedTuple):
    """The options for reading a file of numbers."""

    dates: str | None = None
    rows: str | None = None
    gaps: str | None = None
    missing: str | None = None


def refuse_series_options(options: Mapping[str, object], text: str) -> None:
    """Raise ArgumentError if a text model gets a file of numbers, or an option for one."""
    is_file = text.endswith((".csv", ".tsv", ".parquet")) and Path(text).is_file()
    named = [f"--{name}" for name, value in options.items() if value is not None]
    if is_file or named:
        what = f"{text} is" if is_file else f"{named[0]} is for"
        raise ArgumentError(f"{what} a file of numbers: name a series model with --model, such as {DEFAULT}")


def is_series(model: str | Path | None) -> bool:
    """Whether this is the folder, file or name of a series model."""
    from hiddenstate.models.model_folder import read_kind

    return model is not None and read_kind(model) == "series-model"


class SeriesRead(NamedTuple):
    """A series model, and what it reads from a file."""

    model: "SeriesModel"
    series: "SeriesInput"

    @staticmethod
    def of(model: str | Path, data: str, options: FrameOptions) -> "SeriesRead":
        """Load a model, and read a file; errors about its content name the file."""
        from hiddenstate.base.reading import reading
        from hiddenstate.models.model_folder import load
        from hiddenstate.models.series.series_model import SeriesModel
        from hiddenstate.models.series.tables import read_table

        loaded = load(model)
        assert isinstance(loaded, SeriesModel)
        fill: float | str | None = options.missing
        if fill not in (None, "previous"):
            try:
                fill = float(fill)
            except ValueError as error:
                raise ArgumentError(f"--missing takes a number or previous, got {fill!r}") from error
        source = standard_input() if data == STANDARD else data
        frame, dates, _ = read_table(source, loaded.features, loaded.targets, dates=options.dates, rows=options.rows)
        with reading("standard input" if data == STANDARD else data):
            series = loaded.prepare(frame, dates=dates, rows=options.rows, gaps=options.gaps, missing=fill)
        return SeriesRead(loaded, series)

    def case(self, of: str | None, at: str | None, ahead: int | None, last: int | None) -> "SeriesCommandCase":
        """Return the state and steps read for a forecast (by default the last), and its target, by name and date."""
        from hiddenstate.explain.subject.series import output

        model, series = self
        if ahead is not None and model.gives != "horizon":
            raise ArgumentError(f"--ahead chooses a step of a horizon, but this model forecasts {model.horizon} ahead")
        if ahead is not None and not 1 <= ahead <= model.horizon:
            raise ArgumentError(f"--ahead must be from 1 to {model.horizon}, the horizon, got {ahead}")
        steps_ahead = (ahead or 1) if model.gives == "horizon" else model.horizon
        end = len(series.x) if at is None else self._step(at) - steps_ahead + 1
        if end > len(series.x):
            larger = " or a larger --ahead" if steps_ahead < len(model.form.ahead) else ""
            raise ArgumentError(
                f"the forecast for {at} reads steps after {series.step_names()[-1]}, the last of the file: choose an "
                f"earlier one{larger}"
            )
        window, begin, state = model.window, 0, None
        if window is None and model.gives == "step" and model.carries_state:
            begin = max(0, end - (last or USUAL_STEPS))
            state = model.run(series.x[:begin])[1] if begin else None
        elif last is not None:
            raise ArgumentError(f"--last is for models that carry a state: this one reads {window or 'all'} steps")
        elif window is not None:
            begin = end - window
        if begin < 0 or end <= max(begin, 0):
            raise ArgumentError(
                f"the forecast for {at or 'the end'} reads {window or 1} steps, but the file begins at "
                f"{series.step_names()[0]}: choose a later date"
            )
        target: Any = of or model.targets[0]
        if model.gives == "horizon":
            target = output(target, at=steps_ahead - 1)
        return SeriesCommandCase(series.part(begin, end), state, target)

    def _step(self, at: str) -> int:
        """Return the step of a date, which may be after the series."""
        timeline = self.series.timeline
        if timeline is None or timeline.values.dtype.kind != "M":
            if not at.isdecimal():
                raise ArgumentError(f"--at must be the number of a step, as the file has no dates, got {at!r}")
            return int(at)
        steps = list(timeline.then(timeline.after(max(1, self.model.horizon))).steps_of(at))
        if len(steps) > 1:
            raise ArgumentError(f"--at {at} names {len(steps)} steps: give one date, such as {timeline.names[-1]}")
        return steps[0]

    def column(self, feature: str) -> int:
        """Return the number of a feature."""
        if feature not in self.model.features:
            raise ArgumentError(f"there is no feature {feature!r}: they are {', '.join(self.model.features)}")
        return self.model.features.index(feature)

    def number(self, row: str | None) -> int:
        """Return the number of a row, the first by default."""
        names = self.series.rows
        if row is None or row in names:
            return 0 if row is None else names.index(row)
        raise ArgumentError(f"there is no row {row!r}: the rows are {', '.join(names[:20])}")


class SeriesCommandCase(NamedTuple):
    """The steps that are read for one forecast, the state before them (or None), and the target."""

    part: "SeriesInput"
    state: Any
    target: Any


def show(
    read: SeriesRead, first: str | None, last: str | None, layer: int | None, row: str | None
) -> "tuple[SeriesReading, str]":
    """Return the forecasts of a file, and the text that shows them: skill, gates at the last steps, forecasts."""
    reading = read.model.read_input(read.series)
    if (first, last) != (None, None):
        reading = reading.between(*(_bound(part, read.series) for part in (first, last)))
    n, text = read.number(row), [str(reading)]
    if reading.series.truth is not None and any(o + reading.ahead[0] < len(read.series.x) for o in reading.origins):
        text.append(str(reading.skill()))
    try:
        text.append(_gates(read, reading, n, layer))
    except TraceTooLargeError:
        tell("the run is too long to show its gates")
    return reading, "\n\n".join(text) + "\n"


def _bound(text: str | None, series: "SeriesInput") -> Any:
    if text is None or (series.timeline is not None and series.timeline.values.dtype.kind == "M"):
        return text
    if not text.isdecimal():
        raise ArgumentError(f"--from and --to must be numbers of steps, as the file has no dates, got {text!r}")
    return int(text)


def _gates(read: SeriesRead, reading: "SeriesReading", n: int, layer: int | None) -> str:
    """Return a table of the last steps that were read for the last forecast: inputs, gates and states."""
    from hiddenstate.explain.result.terminal import share
    from hiddenstate.models.series.forecasts import with_unit
    from hiddenstate.structure.tables import table
    from hiddenstate.tracing.views import summaries_of

    path, (trace, *_) = next((path, calls) for path, calls in reading.trace.by_path.items() if calls)
    layer = trace.num_layers - 1 if layer is None else layer
    if not 0 <= layer < trace.num_layers:
        raise ArgumentError(f"--layer {layer} is out of range: this model has {trace.num_layers}, from 0")
    (steps,) = summaries_of(trace, [n], layer=layer, most=_CHANGED)
    model, begin = read.model, reading.origins[-1] + 1 - trace.length
    values = model.scale.in_units(read.series.x[begin : begin + trace.length, n].double().cpu())
    values = values.where(values.abs() > 1e-6 * model.scale.factor, 0)  # what rounding makes of 0
    names = read.series.step_names()
    lines = [
        [
            names[begin + step.t],
            *(f"{value:.4g}" for value in values[step.t].tolist()),
            *(share(opened, 5) for opened in step.gates.values()),
            f"{step.c_norm:.2f}",
            f"{step.h_norm:.2f}",
            " ".join(f"{unit}{'↑' if change > 0 else '↓'}" for unit, change in step.changed),
        ]
        for step in steps[-_SHOWN:]
    ]
    gates = [f"|{gate}|" if gate in "gn" else gate for gate in steps[0].gates]
    heads = ["", *(with_unit(name, model.units) for name in model.features), *gates, "‖c‖", "‖h‖", "changed most"]
    where = f" of {read.series.rows[n]}" if len(read.series.rows) > 1 else ""
    title = f"How the last forecast{where} was made: layer {layer}{f' of {path}' if path else ''}, mean over its units."
    return f"{title}\n{table(heads, lines, 'l' + 'r' * len(values[0]) + 'l' * len(gates) + 'rrl')}"


def write_forecasts(reading: "SeriesReading", format_: str, stream: TextIO) -> None:
    """Write all forecasts as JSON or CSV, with the skill in JSON."""
    frame = reading.to_dataframe()
    for name in ("origin", "date"):
        if reading.timeline is not None:
            frame[name] = frame[name].astype(str)  # of days, without the time
    if format_ == "csv":
        frame.to_csv(stream, index=False, lineterminator="\n")
        return
    frame = frame.astype(object).where(frame.notna(), None)
    stream.write(json_text({"units": dict(reading.units), "forecasts": frame.to_dict("records")}))
