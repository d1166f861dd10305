"""`hs.series_model`: a trained module that reads numbers, with the names, units and scaling of its columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from difflib import get_close_matches
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiddenstate.base.indexing import DatedSteps
from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.messages import shorten
from hiddenstate.base.scalars import check_at_least, check_bool
from hiddenstate.base.validation import check_tensor
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import check_is_edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, RankError, ShapeError
from hiddenstate.models.series.dates import Array, Dates
from hiddenstate.models.series.forecasts import SeriesReading, ahead_text, with_unit
from hiddenstate.models.series.frames import SeriesInput, Wanted, read_columns
from hiddenstate.models.series.live import SeriesStream
from hiddenstate.models.series.module_form import (
    ModuleForm,
    call_module,
    check_module,
    find_form,
    forecast_in,
    is_same,
    random_numbers,
    weight_of,
)
from hiddenstate.models.series.network import SeriesNetwork, find_network
from hiddenstate.models.series.scale import Pairs, Scale, pairs_by_name, scale_of
from hiddenstate.models.series.stored import StoredSeries, stored_scale
from hiddenstate.nn.model_edits import edit as edit_layers
from hiddenstate.tracing.models import ModelTrace, trace
from hiddenstate.tracing.trace import Trace
from hiddenstate.tracing.traceable import torchs_layers_recordable

Fill = float | str
ROW_STEPS_AT_ONCE = 2**18  # of windows, so that memory stays bounded


class SeriesModel:
    """A trained module that reads series, with the names, units and scaling of its columns. See `series_model`.

    Attributes:
        module: the user's module itself, not a copy.
        features: the columns that it reads.
        targets: the columns that it forecasts.
        units: the unit of each column that has one.
        window: the only number of steps that it reads; None if it reads any.
        form: what the module takes and gives, found by calling it.
        scale: the offset and the factor of each feature, from what the module reads to the units of the data.
        target_scale: the offset and the factor of each target, from what the module gives to the units of the data.
    """

    def __init__(
        self,
        module: nn.Module,
        features: tuple[str, ...],
        targets: tuple[str, ...],
        form: ModuleForm,
        scales: tuple[Scale, Scale],
        units: Mapping[str, str],
        window: int | None,
    ) -> None:
        self.module, self.features, self.targets, self.units, self.window = module, features, targets, units, window
        self.form, (self.scale, self.target_scale) = form, scales

    @property
    def gives(self) -> str:
        """What the module gives: a forecast per ``"row"`` or per ``"step"``, or a ``"horizon"`` of several per row."""
        return self.form.gives

    @property
    def horizon(self) -> int:
        """How far ahead of the last step that was read the last forecast is, in steps; 0 for the same step."""
        return self.form.horizon

    @property
    def time_first(self) -> bool:
        """Whether the module reads ``[T, N, C]``; otherwise ``[N, T, C]``."""
        return self.form.time_first

    @property
    def carries_state(self) -> bool:
        """Whether the module takes and returns a state, so that a series in pieces gives the same as the whole."""
        return self.form.carries_state

    @cached_property
    def network(self) -> SeriesNetwork | None:
        """A network of the simple shape that gives what the module gives, with copies of its weights; or None.

        The simple shape is linear layers and activations before and after one stack of recurrent layers. It is found
        in the module by calling it; what was found is recomputed on random numbers, and compared with what the module
        gives. A module with a different shape is used as it is; `understood` gives the reason.
        """
        return None if isinstance(self._network_or_reason, str) else self._network_or_reason

    @property
    def understood(self) -> str:
        """The layers of the module, if it has the simple shape, or why it is used as it is; as text."""
        return (
            f"taken as it is: {self._network_or_reason}"
            if isinstance(self._network_or_reason, str)
            else str(self._network_or_reason.shape)
        )

    @cached_property
    def _network_or_reason(self) -> SeriesNetwork | str:
        check_module_memory(self.module)
        return find_network(self.module, self.form, len(self.features), self.window)

    def with_module(self, module: nn.Module) -> SeriesModel:
        """Return the model with a different module, whose inputs and outputs have the same form."""
        scales = self.scale, self.target_scale
        return SeriesModel(module, self.features, self.targets, self.form, scales, self.units, self.window)

    def __repr__(self) -> str:
        per = {"row": "one forecast a row", "step": "one forecast a step", "horizon": "all steps of the horizon a row"}
        order = "[T, N, C]" if self.time_first else "[N, T, C]"
        raw = [any(self.scale.changes) and not changes for changes in self.target_scale.changes]
        named = [
            with_unit(name, self.units) + " (as the module gives it)" * is_raw
            for name, is_raw in zip(self.targets, raw, strict=True)
        ]
        ahead = ahead_text([self.horizon])
        return (
            f"SeriesModel({type(self.module).__name__} {order}: {', '.join(self.features)} → {', '.join(named)}, "
            f"{ahead}, {per[self.gives]}{f', windows of {self.window} steps' if self.window else ''})"
        )

    def prepare(
        self,
        frame: Any,
        *,
        dates: Any = None,
        rows: Any = None,
        gaps: str | None = None,
        missing: Fill | Mapping[str, Fill] | None = None,
    ) -> SeriesInput:
        """Return what the module reads from a frame.

        Columns are found by name, whatever their order; only what has no names is read by position: an array, a tensor,
        or a frame whose columns are numbered from 0.

        Args:
            frame: a DataFrame of pandas, whose dates are its index; a dict from station to such a frame; a Dataset of
                xarray with a variable for each column, or a DataArray with a dimension of features; a dict of columns
                ``[T]`` or ``[T, N]``; or a NumPy array or tensor, ``[T, C]`` or in the module's own order of axes. In
                the units of the data.
            dates: the column, index level or dimension of the dates; or the dates, one for each step. By default those
                of the index, or else the only column of dates.
            rows: the column, index level or dimension that names the rows (stations, customers); or a name for each.
            gaps: what to do if dates are missing: by default they are refused; ``"insert"`` inserts them, with missing
                values, including those that one row lacks between its first and last; ``"join"`` reads what follows a
                gap as the next step.
            missing: what replaces a missing value: a number, or ``"previous"``, the value before; for all columns, or
                by column. By default missing values are refused.

        Raises:
            NameUnknownError: the frame lacks a feature.
            ArgumentError: a column occurs twice, a value is missing or infinite, dates are unsorted, doubled, missing
                or in several time zones, rows have different dates, or the frame takes more than 8 GiB.
            ArgumentTypeError: the frame is of another class, or a column holds text.
            ShapeError, RankError: an array has the wrong shape.
        """
        wanted = Wanted(self.features, self.targets, dates, rows, gaps, self.time_first)
        columns = read_columns(frame, wanted)
        values = np.stack([columns.values[name] for name in self.features], axis=-1)
        if not values.size:
            what = "rows" if len(values) else "steps"
            raise ShapeError(f"the frame has no {what}, expected at least one")
        filled = _fill(values, self.features, columns.rows, columns.dates, missing)
        x = self.scaled(torch.from_numpy(values))
        if not bool(x.isfinite().all()):
            place = _place_of(~x.isfinite().cpu().numpy(), self.features, columns.rows, columns.dates)
            raise ArgumentError(f"{place} is too large for the module's {x.dtype}: correct it")
        truth = None
        if all(name in columns.values for name in self.targets):
            truth = torch.from_numpy(np.stack([columns.values[name] for name in self.targets], axis=-1))
        return SeriesInput(x, columns.rows, columns.dates, truth, filled)

    def read(self, frame: Any, *, every: int = 1, edits: Sequence[Edit] = (), **options: Any) -> SeriesReading:
        """Return the module's forecasts for a frame, with their dates, in the units of the data.

        A module that gives one forecast per step makes one at each step of the frame; a module with a ``window`` makes
        one after each window of that length; any other module makes one after the whole frame.

        Args:
            frame: as for `prepare`. Columns of the targets, if there are any, are what `SeriesReading.skill` compares
                with.
            every: the number of steps from one forecast to the next.
            edits: the edits to apply, as for `hiddenstate.what_if`, which compares with the forecasts without them.
            options: the options of `prepare`: ``dates``, ``rows``, ``gaps``, ``missing``.

        Raises:
            ArgumentError: the frame is shorter than the model's window.
            IndexRangeError: an edit is at a date that the series does not have.
            HiddenStateError: as for `prepare`.
        """
        return self.read_input(self.prepare(frame, **options), every=every, edits=edits)

    def read_input(
        self, series: SeriesInput, *, every: int = 1, edits: Sequence[Edit] = (), origins: range | None = None
    ) -> SeriesReading:
        """Return the forecasts for what `prepare` returned, as `read` does; or only those after some steps, origins."""
        return self._reading(series, every, edits, windows_apart=bool(edits), origins=origins)

    def _reading(
        self,
        series: SeriesInput,
        every: int,
        edits: Sequence[Edit],
        *,
        windows_apart: bool,
        origins: range | None = None,
    ) -> SeriesReading:
        """Return the forecasts; windows that are run apart have the rounding of those with edits."""
        possible = self._origins(len(series.x), check_at_least("every", every, 1))
        if origins is None:
            origins = possible
        elif not origins or origins[0] not in possible or origins[-1] not in possible:
            raise ArgumentError(f"forecasts can be made after the steps {possible}, got {origins}")
        if isinstance(edits, Edit):
            raise ArgumentTypeError("edits= must be a list of edits, got one: put it in brackets")
        dated = [_with_steps(edit, series) for edit in edits]
        with torch.no_grad():
            values = self._values(series.x, origins, dated, windows_apart).double().cpu()
        record = partial(self._record, series, dated)
        module = self.module
        kind = module.shape.sizes.kind.label if isinstance(module, StoredSeries) else type(module).__name__
        return SeriesReading(series, values, origins, self.form.ahead, self.targets, self.units, kind, record)

    def _origins(self, T: int, every: int) -> range:
        """Return the steps after which forecasts are made."""
        if self.window is not None and self.window > T:
            raise ArgumentError(
                f"the frame has {T} steps, but the model reads windows of {self.window}: give at least as many"
            )
        if self.window is None and self.gives != "step":
            return range(T - 1, T)
        first = (self.window or 1) - 1
        return range(T - 1 - (T - 1 - first) // every * every, T, every)

    def _editing(self, edits: Sequence[Edit], begin: int, T: int) -> AbstractContextManager[object]:
        """Return a context manager in which edits apply to a run of T steps from step ``begin`` of the series on."""
        here = [moved for edit in edits if (moved := _shifted(edit, begin, T)) is not None]
        if not here:
            return nullcontext()
        stack = ExitStack()
        with stack:  # torch's own layers can be edited in it
            stack.enter_context(torchs_layers_recordable())
            stack.enter_context(edit_layers(self.module, *here))
            return stack.pop_all()

    def _values(self, x: Tensor, origins: range, edits: Sequence[Edit], windows_apart: bool) -> Tensor:
        """Return the forecasts ``[O, A, N, K]`` after each origin."""
        if self.window is None:
            with self._editing(edits, 0, len(x)):
                out = self.forecast(x)
            return out[list(origins), None] if self.gives == "step" else self.form.last(out)[None]
        T, N, K = self.window, x.shape[1], len(self.targets)
        parts = []
        together = 1 if windows_apart else max(1, ROW_STEPS_AT_ONCE // (T * N))  # a date is another step of each
        for few in (origins[k : k + together] for k in range(0, len(origins), together)):
            windows = torch.stack([x[o + 1 - T : o + 1] for o in few], dim=1)
            with self._editing(edits, few[0] + 1 - T, T):
                out = self.forecast(windows.flatten(1, 2))
            parts.append(self.form.last(out).reshape(-1, len(few), N, K).transpose(0, 1))
        return torch.cat(parts)

    def _record(self, series: SeriesInput, edits: Sequence[Edit], origin: int, values: Tensor) -> ModelTrace:
        """Return the run that gives these forecasts ``[A, N, K]`` after an origin, with the dates of its steps."""
        begin = 0 if self.window is None else origin + 1 - self.window
        x, names = series.x[begin : origin + 1], series.step_names()[begin : origin + 1]
        with torchs_layers_recordable(), torch.no_grad(), self._editing(edits, begin, len(x)):
            run = trace(self.module, x, call=lambda part: self.run(part)[0])
        last = self.form.last(run.out).double().cpu()
        if not is_same(last, values, x):
            gap = float((last - values).abs().max())
            raise ArgumentError(
                f"the recorded run of this {type(self.module).__name__} gives forecasts that differ by up to "
                f"{gap:.3g}: it does not give the same twice, or its layers do not run on the engine as torch runs them"
            )
        rows = (names,) * x.shape[1]
        by_path = {path: tuple(_dated(call, rows) for call in calls) for path, calls in run.by_path.items()}
        return replace(run, by_path=by_path)

    def stream(self, *, gaps: str | None = None) -> SeriesStream:
        """Return a stream, which reads one step at a time and gives the module's forecast after each.

        A module that carries a state is called with it; one of the simple shape is recomputed from its layers; one that
        reads windows is called with the last steps.

        Args:
            gaps: what to do with a date that is not the next one: refuse it (None), or read it as the next
                (``"join"``).

        Raises:
            ArgumentError: the module does none of these, or is bidirectional.
        """
        return SeriesStream(self, gaps=gaps)

    def _to_exported(self) -> tuple[Any, ...]:
        """Return the model in the units of the data as arguments of `export_onnx`, and the metadata of its file."""
        time, rows = (0, 1) if self.time_first else (1, 0)
        x = random_numbers(self.module, self.window or 9, 3, len(self.features)).double().cpu()
        series = self.scale.in_units(x).to(weight_of(self.module))
        about = {
            "features": self.features,
            "targets": self.targets,
            "units": dict(self.units),
            "gives": self.gives,
            "ahead": [*self.form.ahead],
            "window": self.window,
        }
        axes = {rows: "N"} if self.window else {time: "T", rows: "N"}
        args = (series if self.time_first else series.transpose(0, 1).contiguous(),)
        metadata = {name: json.dumps(value, ensure_ascii=False) for name, value in about.items()}
        shapes = ({axis: axes[axis] for axis in sorted(axes)},)
        return _InUnits(self).eval(), args, shapes, ("series",), ("forecast",), metadata

    def _to_stored(self) -> StoredSeries:
        """Return the model as a model folder stores it, with copies of its weights."""
        if self.network is None:
            raise ArgumentError(
                f"this {type(self.module).__name__} can't be stored: only linear layers and activations before and "
                f"after one recurrent stack can. It is {self.understood}. Save the module itself, with torch.save"
            )
        shape = self.network.shape
        pairs = {
            name: torch.stack([*scale], dim=1).tolist()
            for name, scale in (("scale", self.scale), ("target_scale", self.target_scale))
        }
        config = {
            "before": [list(layer) for layer in shape.before],
            "rnn": asdict(shape.sizes),
            "then": shape.then,
            "last": shape.last,
            "after": [list(layer) for layer in shape.after],
            "steps": shape.horizon,
            "horizon": self.horizon,
            "window": self.window,
            **pairs,
            "weights_dtype": "float32",
        }
        columns = {"features": [*self.features], "targets": [*self.targets], "units": dict(self.units)}
        stored = StoredSeries(shape, columns, config).to(weight_of(self.network))
        stored.load_state_dict(self.network.state_dict())
        return stored

    @staticmethod
    def _of_stored(stored: StoredSeries) -> SeriesModel:
        """Return the model of a network that a model folder stored."""
        config, columns = stored.config, stored.columns
        features, targets = tuple(columns["features"]), tuple(columns["targets"])
        scales = stored_scale(config, "scale", features), stored_scale(config, "target_scale", targets)
        form = stored.form._replace(horizon=config["horizon"])
        return SeriesModel(stored, features, targets, form, scales, dict(columns["units"]), config["window"])

    def scaled(self, values: Tensor) -> Tensor:
        """Return values ``[..., C]`` in the units of the data as the module reads them, of its type, on its device."""
        return self.scale.scaled(values).to(weight_of(self.module))

    def forecast(self, x: Tensor, state: Any = None) -> Tensor:
        """Return the module's own forecasts, in the units of the data. Differentiable in x; the module is in eval mode.

        Args:
            x: ``[T, R, C]``, scaled, time first, with any number of rows R.
            state: the state that the module carries, as it returned it; None to begin without one.

        Returns:
            ``[R, K]`` if the module gives one forecast per row, ``[T, R, K]`` if one per step, ``[horizon, R, K]`` if
            all steps of a horizon.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: x does not fit.
            ArgumentError: a state is given, but the module carries none.
        """
        return self.run(x, state)[0]

    def run(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the forecasts, as `forecast` does, and the state that the module returned, or None."""
        value = check_tensor(x, "x", weight_of(self.module))
        if value.dim() != 3:
            raise RankError(f"x must be [T, R, C], got {value.dim()}D of shape {list(value.shape)}")
        if value.shape[2] != len(self.features) or not len(value) or (self.window and len(value) != self.window):
            steps = self.window or "T"
            cure = f": the model reads windows of {self.window} steps, so give the last {self.window}"
            raise ShapeError(
                f"x has shape {list(value.shape)}, expected [{steps}, R, {len(self.features)}]"
                f"{cure if self.window and len(value) > self.window else ''}"
            )
        if state is not None and not self.carries_state:
            raise ArgumentError(f"this {type(self.module).__name__} carries no state: call it without state=")
        out, after = call_module(self.module, value, state, time_first=self.time_first)
        return self.target_scale.in_units(self.form.arranged(out)), after if self.carries_state else None


class _InUnits(nn.Module):
    """Calls a model's module, with its axes, in the units of the data."""

    def __init__(self, model: SeriesModel) -> None:
        super().__init__()
        self.module, self.form = model.module, model.form
        like = weight_of(model.module)
        for name, scale in (("read", model.scale), ("given", model.target_scale)):
            self.register_buffer(f"{name}_offset", scale.offset.to(like))
            self.register_buffer(f"{name}_factor", scale.factor.to(like))

    def forward(self, series: Tensor) -> Tensor:
        """Return the forecasts in the form in which the module returns them."""
        buffers: dict[str, Any] = dict(self.named_buffers(recurse=False))
        out = forecast_in(self.module((series - buffers["read_offset"]) / buffers["read_factor"]))
        size = [1] * out.dim()
        if self.form.has_targets_axis:
            size[self.form.axes[-1]] = -1
        return buffers["given_offset"].view(size) + buffers["given_factor"].view(size) * out


def _with_steps(edit: Edit, series: SeriesInput) -> Edit:
    """Return an edit whose dates are the steps of a series, still marked as such."""
    check_is_edit(edit)
    if not isinstance(edit.t, DatedSteps):
        return edit
    if series.timeline is None:
        raise ArgumentError(f"t={edit.t.value!r} is a date, but the series has none: give the number of the step")
    return replace(edit, t=DatedSteps(tuple(series.timeline.steps_of(edit.t.value))))


def _shifted(edit: Edit, begin: int, T: int) -> Edit | None:
    """Return an edit with the steps of its dates in a run that begins at a step; None if they are not in it."""
    if not isinstance(edit.t, DatedSteps):
        return edit
    steps = tuple(step - begin for step in edit.t.value if 0 <= step - begin < T)
    if steps and len(steps) < len(edit.t.value) and isinstance(edit.value, Tensor) and edit.value.dim() == 3:
        raise ArgumentError(
            f"the edit of {edit.place!r} has a value for each of {len(edit.t.value)} dates, which are not all in one "
            "window: give one edit for each date"
        )
    return replace(edit, t=steps) if steps else None


def _dated(call: Trace, rows: tuple[tuple[str, ...], ...]) -> Trace:
    """Return the trace with the dates of the series' steps, if it has as many."""
    fits = call.length == len(rows[0]) and call.batch == len(rows)
    return replace(call, tokens=rows) if fits else call


def _fill(
    values: Array, features: Sequence[str], rows: Sequence[str], dates: Dates | None, missing: Any
) -> Tensor | None:
    """Fill missing values ``[T, N, C]`` in place; reject infinite ones, and those for which nothing is given."""
    is_missing = np.isnan(values)
    infinite = np.isinf(values)
    if infinite.any():
        raise ArgumentError(
            f"{_place_of(infinite, features, rows, dates)} is infinite: correct it, or mark it as missing"
        )
    fills = missing if isinstance(missing, Mapping) else dict.fromkeys(features, missing)
    unknown = [name for name in fills if name not in features]
    if unknown:
        raise NameUnknownError(f"missing= names {unknown[0]!r}, which is not a feature: they are {', '.join(features)}")
    for k, name in enumerate(features):
        fill = fills.get(name)
        if fill == "previous":
            at = np.where(is_missing[..., k], 0, np.arange(len(values))[:, None])
            values[..., k] = np.take_along_axis(values[..., k], np.maximum.accumulate(at, axis=0), axis=0)
        elif isinstance(fill, int | float | np.number) and not isinstance(fill, bool):
            if not math.isfinite(fill):
                raise ArgumentError(f"missing= must be finite, got {fill}")
            values[..., k][is_missing[..., k]] = fill
        elif fill is not None:
            raise ArgumentTypeError(f"missing= must be a number or 'previous', got {shorten(fill)}")
    left = np.isnan(values)
    if left.any():
        cure = (
            "there is none before it"
            if fills.get(features[int(np.argwhere(left)[0, 2])]) == "previous"
            else ("fill it, or say what stands for it: missing='previous', or a number")
        )
        raise ArgumentError(f"{_place_of(left, features, rows, dates)} is missing: {cure}")
    return torch.from_numpy(is_missing) if is_missing.any() else None


def _place_of(where: Array, features: Sequence[str], rows: Sequence[str], dates: Dates | None) -> str:
    """Describe the first True of a mask ``[T, N, C]``."""
    t, n, k = (int(part) for part in np.argwhere(where)[0])
    step = f"step {t}" if dates is None else dates[t : t + 1].names[0]
    row = f" of row {rows[n]!r}" if len(rows) > 1 else ""
    count = int(where.sum())
    return f"the value of {features[k]!r} at {step}{row}{f' (the first of {count:,})' if count > 1 else ''}"


def series_model(
    module: nn.Module,
    features: Iterable[str],
    targets: Iterable[str],
    *,
    scale: Any = None,
    target_scale: Any = "features",
    time_first: bool | None = None,
    units: str | Mapping[str, str] | None = None,
    horizon: int | None = None,
    window: int | None = None,
) -> SeriesModel:
    """Name the columns, units and scaling of a trained module that reads series.

    The module may be anything that contains a recurrent layer and maps ``[N, T, C]`` or ``[T, N, C]`` to one forecast
    per row, one per step, or all steps of a horizon, with or without a state; its form is found by calling it a few
    times with random numbers. It is never copied or changed.

    Args:
        module: the trained module, or an LSTM, GRU or RNN itself.
        features: the names of the columns that it reads, in its order: a list, or an index of pandas.
        targets: the names of the columns that it forecasts, in the order of its outputs (or of its classes); or the
            only one.
        scale: the scaling of the columns: mean and standard deviation, as numbers, or one for each feature; a dict
            from column to such a pair; or a fitted scaler of scikit-learn. None if the module reads the data as they
            are.
        target_scale: the scaling of the targets, in the same forms; None if the module gives the units of the
            data. By default the columns of ``scale`` that have the targets' names; a target that it does not name is
            returned as the module gives it, and ``print(model)`` says so.
        time_first: whether the module reads ``[T, N, C]``; found automatically if None.
        units: the unit of the targets, or of each column, by name.
        horizon: how many steps after the last one read a forecast is for; 0 for the same step, 1 by default. For a
            module that gives all steps of a horizon, their number, which is found automatically.
        window: the number of steps that the module reads, if it was trained on windows of one length.

    Returns:
        The `SeriesModel`.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or the module returns no tensor.
        ArgumentError: a name occurs twice, a column of the scale is constant, or the module has no recurrent layer.
        ShapeError: the module can't read this many features, does not give this many targets, or mixes rows.

    >>> import hiddenstate as hs
    >>> class Forecaster(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm, self.linear = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 1)
    ...     def forward(self, x):
    ...         return self.linear(self.lstm(x)[0])
    >>> hs.series_model(Forecaster(), ["rain", "flow"], "flow", scale={"flow": (30.0, 12.0)}, units="m³/s")
    SeriesModel(Forecaster [N, T, C]: rain, flow → flow [m³/s], 1 step ahead, one forecast a step)
    """
    checked = check_module(module)
    check_module_memory(checked)
    names, outputs = _names(features, "features"), _names([targets] if isinstance(targets, str) else targets, "targets")
    order = None if time_first is None else check_bool("time_first", time_first)
    ahead = None if horizon is None else check_at_least("horizon", horizon, 0)
    length = None if window is None else check_at_least("window", window, 1)
    pairs = pairs_by_name(scale, names, "scale")
    of_targets = pairs if _is_default(target_scale) else pairs_by_name(target_scale, outputs, "target_scale")
    _check_scaled(names, outputs, pairs)
    scales = scale_of(names, pairs, "scale"), scale_of(outputs, of_targets, "target_scale")
    form = find_form(checked, len(names), len(outputs), window=length, horizon=ahead, time_first=order)
    return SeriesModel(checked, names, outputs, form, scales, _units(units, names, outputs), length)


def _check_scaled(features: Sequence[str], targets: Sequence[str], pairs: Pairs) -> None:
    """Reject a scale that seems to misname a feature; others may have no scale, and it may have more columns."""
    others = {name.casefold(): name for name in pairs if name not in (*features, *targets)}
    for name in features:
        near = [] if name in pairs else get_close_matches(name.casefold(), others, n=1, cutoff=0.8)
        if near or (others and not any(feature in pairs for feature in features)):
            wrong = others[near[0]] if near else next(iter(others.values()))
            raise NameUnknownError(
                f"scale has no {name!r}, but {wrong!r}, which is not a feature: name its columns as features does"
            )


def _is_default(target_scale: object) -> bool:
    if isinstance(target_scale, str) and target_scale != "features":
        raise ArgumentError(f"target_scale must be 'features', None or a scale, got {target_scale!r}")
    return isinstance(target_scale, str)


def _names(names: object, what: str) -> tuple[str, ...]:
    names = names.tolist() if hasattr(names, "tolist") else names  # an index of pandas, an array of NumPy
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(f"{what} must be a list of names, got {shorten(names)}")
    doubled = [name for name in names if list(names).count(name) > 1]
    if doubled or not names:
        raise ArgumentError(f"{what} names {doubled[0]!r} twice" if doubled else f"{what} must have at least one name")
    return tuple(names)


def _units(units: object, features: Sequence[str], targets: Sequence[str]) -> dict[str, str]:
    if units is None:
        return {}
    if isinstance(units, str):
        return dict.fromkeys(targets, units)
    if not isinstance(units, Mapping) or not all(isinstance(part, str) for part in [*units, *units.values()]):
        raise ArgumentTypeError(f"units must be a text, or a dict from column to text, got {shorten(units)}")
    unknown = [name for name in units if name not in (*features, *targets)]
    if unknown:
        raise NameUnknownError(f"units names {unknown[0]!r}, which is neither a feature nor a target")
    return dict(units)
