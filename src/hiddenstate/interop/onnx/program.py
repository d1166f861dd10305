"""Exports any module by ``torch.onnx.export``, in the best form: converted layers, and dynamic batch and time."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ExportError, HiddenStateError
from hiddenstate.interop.onnx.check import ExampleCall, FixedAxis, fixed_axes
from hiddenstate.interop.torch.conversion import conversion_report, convert

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
        raise ExportError(f"torch.onnx.export can't export the module: {error.__cause__ or error}") from error
    assert program is not None
    _fold_weights(program.model)
    model = program.model_proto
    got = next(imported.version for imported in model.opset_import if not imported.domain)
    if opset not in (None, got):
        raise ExportError(
            f"torch.onnx.export gave a model of opset {got} instead of {opset}: ask for that one or a later one"
        )
    for node in model.graph.node:
        _forget_sources(node)
    return model


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
