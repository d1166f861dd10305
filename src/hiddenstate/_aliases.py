"""Names of modules in version 0.1.0, which programs and pickles still use, and where those modules are now."""

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "held": "base.scoped",
    "checks": "base.validation",
    "files": "base.files",
    "indexing": "base.indexing",
    "drawing": "base.figures",
    "names": "structure.names",
    "sizes": "structure.sizes",
    "parameters": "structure.parameters",
    "layout": "structure.axis_order",
    "equations": "structure.equations",
    "structure_view": "structure.table",
    "unrolled": "structure.diagram",
    "edit": "edits.edit",
    "binding": "edits.resolve",
    "reference": "engine.reference",
    "observe": "engine.observer",
    "native": "engine.kernels",
    "layers": "engine.fast",
    "custom_op": "engine.operator",
    "scan": "engine.dispatch",
    "cudnn": "engine.flat_weights",
    "inputs": "engine.inputs",
    "stepper": "engine.packed",
    "trace": "tracing.trace",
    "recording": "tracing.record_spec",
    "requests": "tracing.recorders",
    "chain": "tracing.join",
    "moment": "tracing.unit_step",
    "summary": "tracing.summary",
    "frames": "tracing.tables",
    "trace_plot": "tracing.plots",
    "trace_file": "tracing.files",
    "model_run": "tracing.model_recorder",
    "model_trace": "tracing.models",
    "lstm": "nn.lstm",
    "cell": "nn.cell",
    "stream": "nn.stream",
    "advance": "nn.stream_runner",
    "torch_modules": "nn.torch_modules",
    "conversion": "interop.torch.conversion",
    "recast": "interop.torch.class_swap",
    "conversion_report": "interop.torch.report",
    "model_parts": "interop.torch.module_tree",
    "train": "models.tagger_training",
    "train_language": "models.language_training",
    "interop.onnx_check": "interop.onnx.check",
    "interop.onnx_export": "interop.onnx.export",
    "interop.onnx_graph": "interop.onnx.graph",
    "interop.onnx_lstm": "interop.onnx.lstm",
    "interop.onnx_node": "interop.onnx.node",
    "interop.onnx_program": "interop.onnx.program",
    "interop.onnx_runs": "interop.onnx.runs",
    "interop.onnx_signature": "interop.onnx.signature",
    "interop.onnx_stack": "interop.onnx.stack",
    "interop.onnx_symbols": "interop.onnx.symbols",
    "interop.onnx_import": "interop.onnx.importer",
    "interop.keras_config": "interop.keras.config",
    "interop.keras_file": "interop.keras.file",
    "interop.keras_import": "interop.keras.importer",
}
# Modules whose names are packages now: the packages hand on what they do not have themselves.
REPLACED = {
    "structure": "structure.structure",
}


class Alias(Loader):
    """Hands back a module that is already there, or imports it, under another name."""

    def __init__(self, new: str) -> None:
        self.new = new
        self._own: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module itself."""
        module = import_module(self.new)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Put back what the import system took for the module's own: its place. The module has run already."""
        module.__spec__ = self._own


class Finder(MetaPathFinder):
    """Finds the modules of `MOVED`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module of this name is imported, or None where it is none of these."""
        package, _, old = fullname.partition(".")
        return (
            ModuleSpec(fullname, Alias(f"hiddenstate.{MOVED[old]}"))
            if package == "hiddenstate" and old in MOVED
            else None
        )


def install() -> None:
    """Make the old names work."""
    sys.meta_path.append(Finder())
    for old, new in REPLACED.items():
        vars(import_module(f"hiddenstate.{old}"))["__getattr__"] = partial(_attribute, f"hiddenstate.{new}")


def _attribute(module: str, name: str) -> Any:
    return getattr(import_module(module), name)
