"""`explained_series`: opens a series model, a module or a layer with its input, as an `ExplainedSeries`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.validation import check_memory, check_plain_tensor, map_state, parts_of
from hiddenstate.errors import ArgumentError, ArgumentTypeError, HiddenStateError, RankError, ShapeError
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesValues
from hiddenstate.explain.subject.sources import module_subject, subject
from hiddenstate.explain.subject.subject import (
    Subject,
    WholeModule,
    check_bytes,
    repeated_state,
)
from hiddenstate.interop.torch.conversion import convert
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.series.frames import SeriesInput
from hiddenstate.models.series.module_form import (
    NOT_REPEATABLE,
    ModuleForm,
    call_module,
    growing_axes,
    is_same,
    recurrent_parts,
    weight_of,
)
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.tracing.traceable import find_recordable, refuse_keras

FRAME_OPTIONS = ("dates", "rows", "gaps", "missing")  # of SeriesModel.prepare


def explained_series(
    model: Any, x: Any, *, hx: Any = None, time_first: bool | None = None, all_steps: bool = False, **options: Any
) -> ExplainedSeries:
    """Return the series that a model reads; the options are those of `SeriesModel.prepare`, or of `subject`.

    If a series is longer than a model's windows, that is its last window, unless ``all_steps``.
    """
    if isinstance(model, SeriesModel):
        return _of_series_model(model, x, hx, options, all_steps=all_steps)
    if isinstance(model, Tagger | LanguageModel) or (isinstance(model, Subject) and model.tokens is not None):
        raise ArgumentError("features= is for models that read numbers, and this one reads text: drop it")
    if isinstance(model, Subject) or (isinstance(model, nn.Module) and isinstance(find_recordable(model), Recurrent)):
        layer = subject(model, x, **({} if hx is None else {"hx": hx}), **options)
        return _plain(layer.x, None, partial(_layer_itself, layer), 0 if layer.lstm.batch_first else 1)
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            "with features=, expected a SeriesModel, a module with a recurrent layer, a layer or a Subject, got "
            f"{type(model).__name__}"
        )
    whole = whole_module(model, x, hx, time_first)
    find_layer = partial(_layer_inside, model, whole.initial, whole.rows_axis, options)
    return _plain(whole.x, whole, find_layer, whole.rows_axis)


def _plain(
    x: Tensor, whole: WholeModule | None, find_layer: Callable[[Tensor], Subject | str], rows_axis: int
) -> ExplainedSeries:
    T, N, C = x.shape
    features, steps, rows = (tuple(map(str, range(count))) for count in (C, T, N))
    return ExplainedSeries(x, x, features, steps, rows, whole, find_layer, partial(_more_numbers, x, rows_axis))


def _more_numbers(x: Tensor, rows_axis: int, values: Any) -> SeriesValues:
    """Return a tensor of other values in a module's own layout, time first."""
    if not isinstance(values, Tensor):
        raise ArgumentTypeError(f"expected a tensor of what the model reads, got {type(values).__name__}")
    check_plain_tensor(values, "history")
    check_memory(values, "history")
    if values.dim() not in (2, 3) or values.shape[-1] != x.shape[2] or 0 in values.shape:
        raise ShapeError(f"history= must have the C = {x.shape[2]} columns of the input, got {list(values.shape)}")
    return SeriesValues((values[:, None] if values.dim() == 2 else values.movedim(rows_axis, 1)).detach().to(x))


def _of_series_model(
    model: SeriesModel, frame: Any, hx: Any, options: dict[str, Any], *, all_steps: bool
) -> ExplainedSeries:
    unknown = [name for name in options if name not in FRAME_OPTIONS]
    if unknown:
        raise ArgumentTypeError(
            f"there is no option {unknown[0]!r} here: a series model takes {', '.join(FRAME_OPTIONS)}"
        )
    prepared, past = _prepared(model, frame, options), None
    if model.window is not None and len(prepared.x) > model.window and not all_steps:
        past = SeriesValues(prepared.x.detach(), prepared.timeline, prepared.rows)
        prepared = prepared.part(len(prepared.x) - model.window, len(prepared.x))
    x = prepared.x.detach()
    hidden = sum(int(part.hidden_size) for part in recurrent_parts(model.module).values())
    check_bytes(x.shape[0] * x.shape[1] * (x.shape[2] + hidden) * x.element_size(), "a run", *x.shape[:2])
    whole = WholeModule(model.forecast, x, hx, hidden=hidden, rows_axis=1 if model.time_first else 0)
    steps, timeline = prepared.step_names(), prepared.timeline
    ahead = model.horizon
    outputs: tuple[str, ...] = ()
    if timeline is not None and timeline.rhythm is not None:
        every = timeline.then(timeline.after(ahead)).names
        outputs = {"step": every[ahead:], "row": every[-1:], "horizon": every[len(steps) :]}[model.gives]
    return ExplainedSeries(
        x=x,
        values=model.scale.in_units(x),
        features=model.features,
        steps=steps,
        rows=prepared.rows,
        whole=whole,
        find_layer=partial(_layer_inside, model.module, whole.initial, whole.rows_axis, {}),
        read_more=partial(_more_frames, model, options),
        targets=model.targets,
        output_steps=outputs,
        units=model.units,
        ahead=ahead,
        dates=timeline,
        target_scale=model.target_scale,
        input_scale=model.scale,
        per_step=model.gives == "step",
        past=past,
    )


def _more_frames(model: SeriesModel, options: dict[str, Any], frame: Any) -> SeriesValues:
    prepared = _prepared(model, frame, options)
    return SeriesValues(prepared.x.detach(), prepared.timeline, prepared.rows)


def _prepared(model: SeriesModel, frame: Any, options: dict[str, Any]) -> SeriesInput:
    """Return what a model reads from a frame; input that was already prepared is returned unchanged."""
    return frame if isinstance(frame, SeriesInput) else model.prepare(frame, **options)


def _layer_inside(
    module: nn.Module, initial: Any, rows: int, options: dict[str, Any], x: Tensor, *, any_input: bool = False
) -> Subject | str:
    """Return the recurrent layer of a module, if it reads the module's own input x; otherwise the reason."""
    some = x[:, :1] if initial is None else x  # without a state, all rows are alike
    series = some.movedim(1, rows)
    try:
        converted = convert(module) if any(isinstance(part, nn.RNNBase) for part in module.modules()) else module
        layer = module_subject(converted, series if initial is None else (series, initial), **options)
    except HiddenStateError as error:
        return str(error)
    if any_input:
        return layer.only(0)
    if layer.x.shape != some.shape or layer.lengths is not None or not torch.equal(layer.x, some):
        return (
            f"the layer {layer.path!r} does not read the module's own input, because something before it changes that"
        )
    return layer if some.shape == x.shape else _with_rows(layer, x)


def _with_rows(layer: Subject, x: Tensor) -> Subject:
    """Return a subject with other rows, which begin with the state of its first row."""
    N, output = x.shape[1], layer.output
    if output is not None:
        output = replace(output, steps=output.steps[:, :1].expand(-1, N))
    state = repeated_state(map_state(lambda part: part[:, :1], layer.initial), N)
    return replace(layer, x=x, initial=state, output=output)


def _layer_itself(layer: Subject, x: Tensor, *, any_input: bool = False) -> Subject:
    """Return a subject with its own rows, or with others."""
    if any_input:
        return layer.only(0)
    return layer if x is layer.x else _with_rows(layer, x)


def _called(module: nn.Module, x: Tensor, state: Any, *, time_first: bool) -> Tensor:
    """Return a module's output for rows ``[T, R, C]``, as it returns it."""
    out, _ = call_module(module, x, state, time_first=time_first)
    if not 1 <= out.dim() <= 3:
        raise ArgumentTypeError(
            f"the module returned a tensor {list(out.shape)}, expected 1 to 3 axes: wrap the module in one that "
            "returns what you want to explain"
        )
    return out


def _forecasts(module: nn.Module, form: ModuleForm, x: Tensor, state: Any) -> Tensor:
    """Run rows ``[T, R, C]``; a single one is run twice, as a module may drop an axis of 1."""
    if x.shape[1] == 1:
        return _forecasts(module, form, x.expand(-1, 2, -1), repeated_state(state, 2))[..., :1, :]
    return form.arranged(_called(module, x, state, time_first=form.time_first))


def whole_module(model: nn.Module, x: Any, hx: Any = None, time_first: bool | None = None) -> WholeModule:
    """Return a module with the rows of its input, whose axis is found by calls with two and three rows."""
    check_module_memory(model)
    layers = [*recurrent_parts(model).values()]
    if not layers:
        refuse_keras(model)
        raise ArgumentError(f"this {type(model).__name__} contains no LSTM, GRU or RNN: give a module with one")
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        x = torch.from_numpy(np.ascontiguousarray(x)).to(weight_of(model))
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"a module reads a tensor, or a NumPy array of numbers, got {type(x).__name__}")
    check_plain_tensor(x, "x")
    check_memory(x, "x")
    if x.dim() not in (2, 3) or not x.is_floating_point() or 0 in x.shape:
        raise RankError(
            "a module's input is explained for a floating-point tensor of steps, rows and features, [T, N, C] or "
            f"[N, T, C], or one row [T, C]; got {list(x.shape)} of {x.dtype}"
        )
    x, hidden = x.detach(), sum(int(layer.hidden_size) for layer in layers)
    check_bytes(x.numel() // x.shape[-1] * (x.shape[-1] + hidden) * x.element_size(), "a run", *x.shape[:2])
    reasons = []
    for rows in (0, 1) if time_first is None else (int(time_first),):
        series = x[:, None] if x.dim() == 2 else x.movedim(rows, 1)
        try:
            state = _checked_state(hx, series.shape[1])
        except ShapeError as error:
            reasons.append(f"as {'[T, N, C]' if rows else '[N, T, C]'}, {error}")
            continue
        form = _form(model, series[:, 0], map_state(lambda part: part[:, :1], state), time_first=bool(rows))
        if isinstance(form, ModuleForm):
            return WholeModule(partial(_forecasts, model, form), series, state, form.as_returned, hidden, rows)
        reasons.append(f"as {'[T, N, C]' if rows else '[N, T, C]'}, {form}")
    raise ShapeError(
        f"this {type(model).__name__} can't read this input, {list(x.shape)}, with more rows: {'; '.join(reasons)}. "
        "Check the input's axes, or give time_first=True for [T, N, C], False for [N, T, C]"
        f"{'' if hx is None else '; and check hx=, the state with which the module is called'}"
    )


def _checked_state(hx: Any, N: int) -> Any:
    """Return a state with N rows; one without an axis of rows gets it."""
    for part in parts_of(hx):
        if not isinstance(part, Tensor) or part.dim() not in (2, 3) or (part.dim() == 3 and part.shape[1] != N):
            got = list(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ShapeError(f"hx= must be tensors [L, N, H] for the N = {N} rows, or [L, H] for one, got {got}")
    return map_state(lambda part: (part if part.dim() == 3 else part[:, None]).detach(), hx)


@torch.no_grad()
def _form(module: nn.Module, row: Tensor, state: Any, *, time_first: bool) -> ModuleForm | str:
    """Return the form of a module that reads variants of ``row [T, C]``; or why its rows are not on this axis."""
    rows = torch.stack([row, row.flip(0), row * 0.5], dim=1)
    outs = []
    for some in ([0, 1], [0, 1], [0, 1, 2], [1, 0]):
        try:
            outs.append(_called(module, rows[:, some], repeated_state(state, len(some)), time_first=time_first))
        except (ArgumentTypeError, KeyboardInterrupt):
            raise
        except Exception as error:
            return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if len(outs) == 2 and not is_same(outs[1].nan_to_num(), outs[0].nan_to_num(), outs[0]):
            raise ArgumentError(NOT_REPEATABLE.format(type(module).__name__))
    two, _, three, exchanged = outs
    axes = growing_axes(two, three, 2)
    if len(axes) != 1 or axes[0] == 2:
        return f"it returns {list(two.shape)} for 2 rows and {list(three.shape)} for 3, expected an axis of them"
    if not is_same(three.narrow(axes[0], 0, 2).double().nan_to_num(), two.double().nan_to_num(), two):
        return "the outputs of two rows change if it reads a third"
    if not is_same(exchanged.flip(axes[0]).double().nan_to_num(), two.double().nan_to_num(), two):
        return "the outputs of two rows depend on which is the first"
    if two.dim() < 3 and axes == [0]:
        return ModuleForm(time_first, "row", tuple(range(two.dim())), horizon=0)
    others = [axis for axis in range(two.dim()) if axis not in axes]
    return ModuleForm(time_first, "step", (others[0], *axes, *others[1:]), horizon=0)
