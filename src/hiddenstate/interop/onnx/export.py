"""Exports LSTMs, GRUs, plain RNNs and models with them to ONNX files, which are checked before they are kept."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.files import check_place, written_beside
from hiddenstate.base.messages import with_article
from hiddenstate.base.modes import evaluating
from hiddenstate.base.validation import autocasts, optional_package
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, ExportError, HiddenStateError
from hiddenstate.interop.onnx.check import (
    CheckedRun,
    ExampleCall,
    FixedAxis,
    check_file,
    fixed_axes,
    result_names,
    runs_of_lstm,
    runs_of_model,
    runtime,
)
from hiddenstate.interop.onnx.lstm import OPSET, Form, Signature, build_model
from hiddenstate.interop.onnx.step import OneStep, StepExport
from hiddenstate.interop.torch.conversion import conversion_report, convert, from_torch, int8_layers
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import RNN, Layer
from hiddenstate.tracing.traceable import find_recordable

_OURS = (LSTM, GRU, RNN)
TOLERANCE = 1e-4  # above float32 rounding over many steps, and far below the effect of a misplaced gate
MOST_BYTES = 2**31 - 2**24  # maximum size of the weights, because an ONNX file is a single message of less than 2 GiB


def export_onnx(
    module: Any,
    path: str | Path,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    form: Form = "sequence",
    lengths: bool = False,
    states: bool = True,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int | None = None,
    check: bool = True,
    tolerance: float = TOLERANCE,
) -> None:
    """Export an LSTM, a GRU, a plain RNN, or any model, to an ONNX file that is checked against the module's numbers.

    The file matches the module in eval mode, without dropout. Before it is kept, it is run in onnxruntime on sequences
    and batches of several sizes; a file with different numbers is not written.

    A layer becomes the standard operator of its kind (a GRU with ``linear_before_reset=1``), one per layer, and accepts
    any number of time steps T and rows N. A ``"sequence"`` takes ``x`` (in the module's layout), optionally ``lengths
    [N]``, ``h0`` and ``c0 [L*D, N, H]``, and returns ``out``, ``h_n`` and ``c_n``, like a call. A ``"step"`` takes ``x
    [N, C]``, ``h`` and ``c [L, N, H]``, and returns ``out [N, H]``, ``h_n`` and ``c_n`` for the next step. Only an LSTM
    has ``c``.

    Any other model is exported by ``torch.onnx.export``; its layers (ours, and torch's if `hiddenstate.convert` can
    convert them) also become these operators. The file accepts any batch size and number of time steps (the first two
    axes of each tensor, as far as the model accepts other sizes: not the layers of a state ``[L, N, H]``) unless
    ``dynamic_shapes`` specifies otherwise; a warning is issued if the first input has such an axis.

    With ``form="step"``, a model is exported as its stream runs it (see `stream`, which also refuses what can't be
    streamed): ``x`` is one step, the example's input without its axis of steps; the states are inputs, such as
    ``lstm.h``, which start at zero, and outputs for the next step, such as ``lstm.h_next``. The file is run over
    several steps, each from the states that it returned, and compared with the stream.

    In both forms, a model's results are named ``out``, or ``out.0`` and ``out.1``, or by the keys of a dict, such as
    ``out.action``; torch chooses other names if one of them is None or does not depend on the inputs, or
    if an input, a weight or another result has such a name.

    A series model becomes a file with the input ``series``, in the module's own order of axes, and the output
    ``forecast``, both in the units of the data; its metadata has ``features``, ``targets``, ``units``, ``gives``,
    ``ahead`` and ``window``, as JSON.

    Args:
        module: an LSTM, GRU or RNN, ours or torch's, a model, or what `hiddenstate.series_model` returned.
        path: the file to write.
        args: for a model, the positional arguments of an example call.
        kwargs: for a model, the keyword arguments of the example call.
        form: ``"sequence"`` or ``"step"``.
        lengths: for a layer, whether the file takes lengths of rows (int64, in any order, zero allowed).
        states: for a layer, whether the state is an input and output; otherwise it starts at zero.
        dynamic_shapes: for a model, the dynamic sizes, as for ``torch.export.export``, with names; None for batch and
            time, ``{}`` for none.
        input_names: for a model, names of the file's inputs.
        output_names: for a model, other names of the file's outputs.
        opset: version of ONNX's operators: 14 or later, by default 17; for a model, any that torch accepts, by default
            torch's own.
        check: whether to run the file; use False if onnxruntime is not installed or does not support it.
        tolerance: the largest allowed difference, relative to the largest value (at least 1).

    Raises:
        ArgumentError: the module needs something that ONNX lacks (a projection, active edits, hooks, resets), arguments
            contradict each other, or the weights exceed 2 GiB.
        ArgumentTypeError: the module is not a `torch.nn.Module`, or ``args`` is not a tuple.
        DtypeError: a layer's weights are not float32 (or float64 with ``check=False``), or the memory of a weight was
            freed.
        ExportError: the file gives different numbers or does not run, or torch does not export the model.
        MissingDependencyError: onnx or onnxruntime (for a model also onnxscript) is not installed.
        FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
    """
    _check_form(form)
    for_models = {"args": args, "kwargs": kwargs, "dynamic_shapes": dynamic_shapes}
    for_models |= {"input_names": input_names, "output_names": output_names}
    for_lstms = {"form": form, "lengths": lengths, "states": states}
    metadata: Mapping[str, str] = {}
    if hasattr(module, "_to_exported"):  # a series model, which says all of this itself
        _refuse_options(for_models, dict.fromkeys(for_models), "known for a series model: leave it out")
        _refuse_options(for_lstms, {"form": "sequence", "lengths": False, "states": True}, "not for a series model")
        module, args, dynamic_shapes, input_names, output_names, metadata = module._to_exported()
    _refuse_module(module, tolerance)
    check_place(path)
    if check:
        runtime()
    if isinstance(module, (*_OURS, *TORCH_LAYERS)):
        kind = type(module).__name__
        _refuse_options(
            for_models,
            dict.fromkeys(for_models),
            f"for a model around {with_article(kind)}; the {kind} itself needs none",
        )
        module = module if isinstance(module, _OURS) else from_torch(module)
        signature = _signature(module, form, lengths, states)
        _refuse_layer(module, check)
        with evaluating(module):
            model = build_model(signature, module._weights(), OPSET if opset is None else opset)
            runs, floats = runs_of_lstm(module, signature, module._like()), f"{kind.lower()}.dequantize()"
            checked = partial(_check, module=module, runs=runs, tolerance=tolerance, floats=floats)
            _write(path, model, checked if check else None)
        return
    del for_lstms["form"]
    _refuse_options(for_lstms, {"lengths": False, "states": True}, "only for an LSTM, GRU or RNN itself")
    if form == "step":
        of_sequences = {"dynamic_shapes": dynamic_shapes, "input_names": input_names, "output_names": output_names}
        _refuse_options(
            of_sequences,
            dict.fromkeys(of_sequences),
            "not for a step, whose inputs and outputs are named by its states",
        )
        with evaluating(module):
            step = StepExport(module, _example(module, args, kwargs, None, None, None).args, kwargs or {})
            converted, _ = converted_copy(module)
            model = export_program(OneStep(step.form, converted).eval(), step.example, opset)
            _write(path, model, partial(step.check, tolerance=tolerance) if check else None)
        return
    example = _example(module, args, kwargs, dynamic_shapes, input_names, output_names)

    def export(attempt: Attempt) -> Any:
        with evaluating(attempt.module):
            return export_program(attempt.module, attempt.example, opset)

    def keep(model: Any) -> None:
        for name, text in metadata.items():
            model.metadata_props.add(key=name, value=text)
        runs = runs_of_model(module, example, model)
        checked = partial(_check, module=module, runs=runs, tolerance=tolerance, floats="hs.convert_back(model)")
        _write(path, model, checked if check else None)

    with evaluating(module):
        write_first(module, example, export, keep)


def _refuse_module(module: object, tolerance: float) -> None:
    """Before any work, reject anything that is not a module, is too large, or would lose something."""
    if not tolerance >= 0:
        raise ArgumentError(f"tolerance must not be negative, got {tolerance}")
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"export_onnx takes a torch.nn.Module, got {type(module).__name__}")
    layers = (part for part in map(find_recordable, module.modules()) if isinstance(part, _OURS))
    if any(edits_in_force(layer) for layer in layers):
        raise ArgumentError("edits are active, but an ONNX file can't contain them: exit their block first")
    if autocasts("cpu"):
        raise ArgumentError("torch.autocast is on, but an ONNX file can't contain it: exit its block first")
    nbytes = sum(value.nbytes for value in (*module.parameters(), *module.buffers()))
    if nbytes > MOST_BYTES:
        raise ArgumentError(
            f"the weights take {nbytes:,} bytes, more than the {MOST_BYTES:,} that fit into one ONNX file: "
            "torch.onnx.export(..., external_data=True) writes them to a separate file"
        )


def _refuse_options(options: Mapping[str, Any], defaults: Mapping[str, Any], reason: str) -> None:
    for name, value in options.items():
        if value != defaults[name]:
            raise ArgumentError(f"{name}= is {reason}")


def _refuse_layer(layer: Layer, check: bool) -> None:
    """Reject a layer that the operator can't represent."""
    kind = layer.sizes.kind.label
    if layer._forward_pre_hooks or layer._forward_hooks or type(layer).forward is not Recurrent.forward:
        raise ArgumentError(
            f"this {kind} has hooks or its own forward, which the file would lose: make pruning or weight norm "
            "permanent, remove the hooks, or put it into a model and export that"
        )
    dtype = layer._like().dtype
    if dtype is torch.float64 and check:
        raise DtypeError(
            f"onnxruntime supports the {kind} operator only in float32, so a float64 file can't be checked: export "
            f"copy.deepcopy({kind.lower()}).float(), or pass check=False if your runtime supports it"
        )
    if dtype not in (torch.float32, torch.float64):
        raise DtypeError(f"the weights are {dtype}, expected float32: export copy.deepcopy({kind.lower()}).float()")


def _check_form(form: object) -> None:
    if form not in get_args(Form):
        raise ArgumentError(f"unknown form {form!r}: expected 'sequence' or 'step'")


def _signature(layer: Layer, form: Form, lengths: bool, states: bool) -> Signature:
    if form == "step" and (lengths or not states):
        raise ArgumentError(
            "a step has no lengths and always takes the state: lengths= and states= only apply to a sequence"
        )
    if form == "step" and layer.bidirectional:
        raise ArgumentError(
            f"a bidirectional {layer.sizes.kind.label} can't run one step at a time: its reverse direction begins at "
            "the last step"
        )
    return Signature(layer.sizes, form, layer.batch_first, lengths, states)


def _example(
    module: nn.Module, args: tuple[Any, ...] | None, kwargs: Mapping[str, Any] | None, *more: Any
) -> ExampleCall:
    if not isinstance(args, tuple):
        raise ArgumentTypeError(
            f"args must be a tuple, an example of the arguments of a call of this {type(module).__name__}, got "
            f"{type(args).__name__}"
        )
    return ExampleCall(args, kwargs or {}, *more)


def _check(file: Path, module: nn.Module, runs: Iterator[CheckedRun], tolerance: float, floats: str) -> None:
    """Compare a file with the module; if that computes in int8, say how to get one that does not."""
    try:
        check_file(file, runs, tolerance)
    except ExportError as error:
        if not int8_layers(module):
            raise
        raise ExportError(
            f"{error}. The module computes in int8, and the file in floats, which may be why: export {floats}, or "
            "allow the difference with tolerance="
        ) from error


def _write(path: str | Path, model: Any, check: Callable[[Path], None] | None) -> None:
    """Write a model to a temporary file next to ``path``, check it, and rename it."""
    onnx = optional_package("onnx", "onnx", "writing an ONNX file")
    with written_beside(path) as beside:
        beside.write_bytes(model.SerializeToString())
        try:
            onnx.checker.check_model(str(beside), full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ExportError(f"the model is not valid ONNX: {error}") from error
        if check is not None:
            check(beside)


# Nodes left over when the exporter reorders weights, because it folds only small ones. None of them enlarges a tensor.
REORDERING = ("Slice", "Concat", "Unsqueeze")
TORCH_LAYERS = (nn.LSTM, nn.GRU, nn.RNN)
OPEN_AXES = 2  # batch and time, in either order


def export_program(module: nn.Module, example: ExampleCall, opset: int | None) -> Any:
    """Export a module, and return the ``onnx.ModelProto``."""
    for package in ("onnx", "onnxscript"):
        optional_package(package, "onnx", "exporting a model to ONNX")
    try:
        with warnings.catch_warnings():
            # torch's internal warning about axes with equal names, which is how axes of two inputs are tied together
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            program = torch.onnx.export(
                module,
                example.args,
                kwargs=dict(example.kwargs),
                dynamic_shapes=example.dynamic_shapes,
                input_names=example.input_names,
                output_names=example.output_names,
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        if isinstance(error.__cause__, HiddenStateError):
            raise error.__cause__ from None
        why = str(error.__cause__ or error)
        if why.lstrip().startswith("The error above") and error.__cause__ is not None:
            why = str(error.__cause__.__context__).partition("\n\n")[0]
        raise ExportError(f"torch.onnx.export can't export the module: {why}") from error
    assert program is not None
    _fold_weights(program.model)
    if example.output_names is None:
        _name_results(program)
    model = program.model_proto
    got = next(imported.version for imported in model.opset_import if not imported.domain)
    if opset not in (None, got):
        raise ExportError(
            f"torch.onnx.export gave a model of opset {got} instead of {opset}: ask for that one or a later one"
        )
    for node in model.graph.node:
        _forget_sources(node)
    return model


def _name_results(program: Any) -> None:
    """Name the file's outputs like the model's results, if they are as many values, which nodes compute."""
    graph, names = program.model.graph, result_names(program.exported_program.call_spec.out_spec)
    outputs = graph.outputs
    others = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    taken = {value.name for value in others if not value.is_graph_output()}
    is_free = len({*names} - taken) == len(names)
    if is_free and len({id(value) for value in outputs if value.producer()}) == len(outputs) == len(names):
        for value, name in zip(outputs, names, strict=True):
            value.name = name


def _forget_sources(node: Any) -> None:
    """Remove a node's source location, which contains source lines and paths of this machine."""
    kept = [entry for entry in node.metadata_props if entry.key != "pkg.torch.onnx.stack_trace"]
    del node.metadata_props[:]
    node.metadata_props.extend(kept)


def _fold_weights(model: Any) -> None:
    """Fold the reordering of the weights into constants, whatever their size."""
    optimizer = optional_package("onnxscript.optimizer", "onnx", "exporting a model to ONNX")
    optimizer.fold_constants(
        model, output_size_limit=2**62, should_fold=lambda node: True if node.op_type in REORDERING else None
    )
    optimizer.remove_unused_nodes(model)


class Attempt(NamedTuple):
    """A module to export, and the example call."""

    module: nn.Module
    example: ExampleCall


def write_first(
    module: nn.Module, example: ExampleCall, export: Callable[[Attempt], Any], keep: Callable[[Any], None]
) -> None:
    """Write the first export that works: converted layers and all axes dynamic; else as it is and named axes."""
    converted, left = converted_copy(module)
    is_open = example.dynamic_shapes is None
    shapes = _open_shapes(module, example) if is_open else example.dynamic_shapes
    best, plain = Attempt(converted, example._replace(dynamic_shapes=shapes)), Attempt(module, example)
    try:
        model = export(best)
        fixed = fixed_axes(module, example, model) if is_open else []
        if fixed:
            shapes = _open_shapes(module, example, fixed)
            model = export(Attempt(converted, example._replace(dynamic_shapes=shapes)))
        keep(model)
        if is_open:
            _warn_of_fixed(model, fixed)
    except (ExportError, ArgumentError) as error:
        reason = type(error)(f"{str(error).rstrip('.')}. {left}" if left else str(error))
        if converted is module and shapes is example.dynamic_shapes:
            raise reason from error.__cause__
        _write_plain(plain, export, keep, reason)


def _write_plain(
    plain: Attempt, export: Callable[[Attempt], Any], keep: Callable[[Any], None], reason: Exception
) -> None:
    """Export the model unchanged, or raise the reason why its better form failed."""
    try:
        keep(export(plain))
    except (ExportError, ArgumentError):
        raise reason from None
    if plain.example.dynamic_shapes is None:
        warnings.warn(f"the file takes only inputs of the example's sizes, since others fail: {reason}", stacklevel=4)


def converted_copy(module: nn.Module) -> tuple[nn.Module, str]:
    """Return a copy with converted layers and a sentence about the others; the module itself if there are none."""
    theirs = [path for path, part in module.named_modules() if isinstance(part, TORCH_LAYERS)]
    if not theirs:
        return module, ""
    try:
        converted = convert(module)
    except ArgumentError as error:  # the module can't be copied
        return module, _hint(f"{', '.join(map(repr, theirs))}: {error}")
    left = conversion_report(converted).left
    return converted, _hint("; ".join(f"{layer.paths[0]!r}: {layer.reason}" for layer in left)) if left else ""


def _hint(reasons: str) -> str:
    return (
        "torch's own layers are exported for the example's sizes only: convert them with hs.convert(model), which "
        f"could not be done here ({reasons})"
    )


def _open_shapes(module: nn.Module, example: ExampleCall, fixed: Sequence[FixedAxis] = ()) -> Mapping[str, Any] | None:
    """Make the first axes of every tensor dynamic, except for ``fixed`` ones."""
    try:
        arguments = inspect.signature(module.forward).bind(*example.args, **example.kwargs).arguments
    except (TypeError, ValueError):  # the arguments do not match the module's signature; torch reports that itself
        return None
    closed = {(id(axis.tensor), axis.dim) for axis in fixed}

    def open_axes(leaf: object) -> dict[int, Any] | None:
        if not isinstance(leaf, Tensor):
            return None
        indices = range(min(leaf.dim(), OPEN_AXES))
        return {k: torch.export.Dim.AUTO for k in indices if (id(leaf), k) not in closed}

    return pytree.tree_map(open_axes, dict(arguments))


def _warn_of_fixed(model: Any, fixed: Sequence[FixedAxis]) -> None:
    """Warn of the first input's fixed axes; in other inputs, they are often neither batch nor time."""
    if not model.graph.input:
        return
    first = model.graph.input[0]
    reasons = {axis.dim: axis.reason for axis in fixed if axis.name == first.name}
    for k, reason in reasons.items():
        size = first.type.tensor_type.shape.dim[k].dim_value
        warnings.warn(
            f"the file takes only size {size} on axis {k} of {first.name!r}, since the model fails on others: {reason}",
            stacklevel=4,
        )
    dims = enumerate(first.type.tensor_type.shape.dim[:OPEN_AXES])
    ones = [str(k) for k, dim in dims if dim.dim_value == 1 and k not in reasons]
    if ones:
        warnings.warn(
            f"the file takes only size 1 on axis {' and '.join(ones)} of {first.name!r}, since the example has size 1 "
            "there: give an example of at least 2 in args= to leave it open",
            stacklevel=4,
        )
