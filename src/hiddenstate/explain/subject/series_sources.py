"""`explained_series`: opens a series model, a module or a layer with its input, as an `ExplainedSeries`."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.errors import ArgumentError, ArgumentTypeError, HiddenStateError, ShapeError
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesValues
from hiddenstate.explain.subject.sources import module_subject, subject
from hiddenstate.explain.subject.subject import Subject, check_bytes
from hiddenstate.explain.subject.whole_module import WholeModule, whole_module
from hiddenstate.interop.torch.conversion import convert
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.series.frames import SeriesInput
from hiddenstate.models.series.module_form import recurrent_parts
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.tracing.traceable import find_recordable

FRAME_OPTIONS = ("dates", "rows", "gaps", "missing")  # of SeriesModel.prepare


def explained_series(
    model: Any, x: Any, *, hx: Any = None, time_first: bool | None = None, all_steps: bool = False, **options: Any
) -> ExplainedSeries:
    """Return the series that a model reads; the options are those of `SeriesModel.prepare`, or of `subject`.

    Of a series longer than a model's windows, that is the last window, unless ``all_steps``.
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
    """Return what a model reads of a frame; or what it read already, as it is."""
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
    kind, N = layer.sizes.kind, x.shape[1]
    state = [part[:, :1].expand(-1, N, -1).contiguous() for part in kind.parts_of(layer.initial)]
    output = layer.output
    if output is not None:
        output = replace(output, steps=output.steps[:, :1].expand(-1, N))
    return replace(layer, x=x, initial=kind.as_given(state), output=output)


def _layer_itself(layer: Subject, x: Tensor, *, any_input: bool = False) -> Subject:
    """Return a subject with its own rows, or with others."""
    if any_input:
        return layer.only(0)
    return layer if x is layer.x else _with_rows(layer, x)
