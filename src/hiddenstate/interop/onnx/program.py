"""Exports any module to an ONNX model by ``torch.onnx.export``."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ExportError, HiddenStateError

# Nodes left over when the exporter reorders weights, because it folds only small ones. None of them enlarges a tensor.
REORDERING = ("Slice", "Concat", "Unsqueeze")


class Given(NamedTuple):
    """The arguments of the module's example call, and of the exporter."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dynamic_shapes: Any
    input_names: Sequence[str] | None
    output_names: Sequence[str] | None

    def tensors(self) -> list[Tensor]:
        """The arguments that become the model's inputs, in its order."""
        return [leaf for leaf in pytree.tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Tensor)]

    def call(self, module: nn.Module, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Call the module with other tensors instead of the example's, and return the model's outputs."""
        leaves, form = pytree.tree_flatten((self.args, dict(self.kwargs)))
        left = iter(tensors)
        filled = [next(left) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, form)
        return [leaf for leaf in pytree.tree_leaves(module(*args, **kwargs)) if isinstance(leaf, Tensor)]


def export_program(module: nn.Module, given: Given, opset: int | None) -> Any:
    """Export a module, and return the ``onnx.ModelProto``.

    Raises:
        HiddenStateError: an LSTM inside raised one of this library's errors.
        ExportError: torch could not export the module.
        MissingDependencyError: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        optional_package(package, "onnx", "exporting a model to ONNX")
    try:
        with warnings.catch_warnings():
            # torch's internal warning about axes with equal names, which is how axes of two inputs are tied together
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name", UserWarning)
            program = torch.onnx.export(
                module,
                given.args,
                kwargs=dict(given.kwargs),
                dynamic_shapes=given.dynamic_shapes,
                input_names=given.input_names,
                output_names=given.output_names,
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
