"""Chooses the path that computes a call, a stream's next steps, or a cell's step: the first that can."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base import later, scoped
from hiddenstate.base.scoped import Block, Scoped, in_force, scope
from hiddenstate.base.torch_internals import active_transform, is_tracing
from hiddenstate.engine import cell_steps, reference
from hiddenstate.engine.call import Call, CallResult, PathReport
from hiddenstate.engine.cell_steps import CellStep
from hiddenstate.engine.dropout import draw_masks
from hiddenstate.engine.paths import native_path, operator, packed, torch_path
from hiddenstate.engine.paths.packed import FEW_STEPS, StreamSteps
from hiddenstate.engine.weights import Int8Weights
from hiddenstate.errors import ArgumentError

Backend = Literal["auto", "reference"]
chosen_backends: Scoped[Backend] = ContextVar("hiddenstate_backends", default=())


def backend(name: Backend) -> Block:
    """Choose the path for calls inside a block: ``"auto"`` (the fastest possible) or ``"reference"``.

    The choice applies to the thread (or asyncio task) that opens the block; the innermost block takes precedence.

    Raises:
        ArgumentError: unknown name.
    """
    if name not in ("auto", "reference"):
        raise ArgumentError(f"unknown backend {name!r}: expected 'auto' or 'reference'")
    return scope(chosen_backends, (name,))


def uses_reference() -> bool:
    """Whether the reference path was requested."""
    chosen = in_force(chosen_backends) if scoped.any_open else []
    return bool(chosen) and chosen[-1] == "reference"


class Path(NamedTuple):
    """A path: its name, what computes it, and its function."""

    name: str
    what: str
    run: Callable[..., Any]


# Functions that write a call into the graph of ``torch.onnx.export``. The higher-level package `interop.onnx` adds its
# own.
exporters: list[Callable[[Call], CallResult]] = later.exporters


def _exports_to_onnx() -> bool:
    # A wrapper, because Dynamo treats torch's function as always False, and torch.onnx.export also tries Dynamo.
    return torch.onnx.is_in_onnx_export()


# Has the effect of torch.compiler.assume_constant_result, which would import all of Dynamo here and take a second.
_exports_to_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _run_operator(call: Call) -> CallResult:
    form = native_path.casting_form(call)
    if form is None:
        return CallResult(*operator.run(call, draw_masks(call)))
    with torch.autocast("cpu", enabled=False):
        narrow = native_path.cast(form, call)
        return CallResult(*operator.run(narrow, draw_masks(narrow)))


def _run_uncompiled(call: Call) -> CallResult:
    """Run outside the compiled graph, because only torch.lstm compiles with gradients."""
    return torch.compiler.disable(run)(call)


def _run_reference(call: Call) -> CallResult:
    return reference.run(replace(call, masks=draw_masks(call)) if call.dropout else call)


def _by_name(*paths: Path) -> dict[str, Path]:
    return {path.name: path for path in paths}


# The paths in the order in which they are tried.
PATHS = _by_name(
    Path("onnx", "ONNX's own operator, during torch.onnx.export", lambda call: exporters[-1](call)),
    Path("operator", "one operator in the graph of torch.compile or torch.export", _run_operator),
    Path("break", "a break in the graph of torch.compile, and then a path below", _run_uncompiled),
    *(Path(form, what, partial(native_path.run, form)) for form, what in native_path.FORMS.items()),
    Path("torch", "torch's own kernels", torch_path.run),
    Path("reference", "plain torch, step by step", _run_reference),
)

STREAM_PATHS = _by_name(
    Path("packed", "the engine, step by step on weights packed once", packed.run),
    Path("call", "a call, on one of the paths above", lambda steps, x, state: run(steps.call(x, state))),
)

CELL_PATHS = _by_name(
    Path("compiled", "torch's cell in the graph of torch.compile or torch.export", cell_steps.run_torch),
    Path("native", "one native call, and one backward for the weights of all steps", cell_steps.run),
    Path("torch", "torch's own cell", cell_steps.run_torch),
    Path("reference", "plain torch", cell_steps.run_reference),
)

OBSERVED = "edits are active, or a trace records the call"
_REFERENCE = 'hiddenstate.backend("reference") is active'


def _why_only_reference(call: Call | StreamSteps | CellStep) -> str | None:
    """Return why neither torch's kernels nor weights packed for a stream may compute a call, a step or steps."""
    if uses_reference():
        return _REFERENCE
    return OBSERVED if call.is_observed else active_transform()


def _traced_path(call: Call) -> str | None:
    """Return the path that writes a call into the graph of a compiler or exporter; None if the call runs now."""
    compiling = torch.compiler.is_compiling()
    if (compiling or is_tracing()) and _exports_to_onnx():
        return "onnx"
    if not compiling or _why_only_reference(call) is not None:
        return None
    casts = native_path.casting_form(call) == "native bfloat16"
    if (casts or not torch.is_autocast_enabled("cpu")) and operator.computes(call, torch.bfloat16 if casts else None):
        return "operator"
    # torch.export allows no graph breaks, and needs none.
    return "break" if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting() else None


def choose(call: Call) -> tuple[str, dict[str, str]]:
    """Return the name of the first path that can compute a call, and the reasons against the faster ones."""
    reasons: dict[str, str] = {}
    name = _traced_path(call) or native_path.choose(call, reasons, _REFERENCE if uses_reference() else None)
    if name is not None:
        return name, reasons
    against = _why_only_reference(call) or torch_path.why_not(call)
    if against is None:
        return "torch", reasons
    reasons["torch"] = against
    return "reference", reasons


class ComputedBy(NamedTuple):
    """What computes a call, and the name of its path or, if that is not the engine's, the reason."""

    name: Literal["engine", "reference", "torch"]
    detail: str


def computed_by(call: Call | CellStep, name: str, reasons: dict[str, str]) -> ComputedBy:
    """Return what computes a call, from the results of `choose`; the reference if it computes any layer."""
    if name in native_path.FORMS:
        beyond = native_path.why_not_whole(call) if isinstance(call, Call) else None
        return ComputedBy("engine", name) if beyond is None else ComputedBy("reference", beyond)
    against = reasons.get("native", f"the call takes the path {name!r}")
    return ComputedBy("torch" if name == "torch" else "reference", against)


def run(call: Call, receive: Callable[[ComputedBy], None] | None = None) -> CallResult:
    """Compute a call by the first path that can; ``receive`` is called with what computes it."""
    name, reasons = choose(call)
    if receive is not None:
        receive(computed_by(call, name, reasons))
    if isinstance(call.weights, Int8Weights) and name != "int8":
        call = replace(call, weights=call.weights.floats())
    return PATHS[name].run(call)


def path_report(call: Call, why_not_fast: str | None) -> PathReport:
    """Report the path of a call; ``why_not_fast`` is the reason why it can't run on unconverted arguments, if any."""
    name, reasons = choose(call)
    if name == "int8":
        return PathReport("int8", {})
    of_int8 = {"int8": reasons.pop("int8")} if "int8" in reasons else {}
    if why_not_fast is None:
        return PathReport("fast", of_int8)
    return PathReport(name, {**of_int8, "fast": why_not_fast, **reasons})


def why_not_packed(steps: StreamSteps) -> str | None:
    """Return why a stream's steps can't run on packed weights, or None."""
    if steps.count > FEW_STEPS:
        return f"for more than {FEW_STEPS} steps a call is faster"
    against = _why_only_reference(steps)
    if against is not None:
        return against
    return "the layer has forward hooks" if any(steps.hooks) else steps.packed[1]


def run_steps(steps: StreamSteps, x: Tensor, state: tuple[Tensor, ...]) -> CallResult:
    """Compute a stream's next steps, whose input is ``x [T, N, C]``, by the first path that can."""
    path = STREAM_PATHS["packed" if why_not_packed(steps) is None else "call"]
    return path.run(steps, x, state)


def steps_report(steps: StreamSteps, x: Tensor, state: tuple[Tensor, ...]) -> PathReport:
    """Report the path of a stream's next steps, and the reasons against the faster ones."""
    against = why_not_packed(steps)
    if against is None:
        return PathReport("packed", {})
    name, reasons = choose(steps.call(x, state))
    return PathReport(name, {"packed": against, **reasons})


def _is_compiled(step: CellStep) -> bool:
    """Whether a compiler or exporter is tracing, and can trace torch's function for a cell's step."""
    return torch.compiler.is_compiling() and not step.is_observed and step.has_torchs_function


def _why_not_torchs_cell(step: CellStep) -> str | None:
    """Return why torch's function can't compute a cell's step, or None."""
    return _why_only_reference(step) or (None if step.has_torchs_function else f"torch has no {step.kind.label}")


def choose_cell(step: CellStep) -> tuple[str, dict[str, str]]:
    """Return the name of the first path that can compute a cell's step, and the reasons against the faster ones."""
    if _is_compiled(step):
        return "compiled", {}
    barred = _REFERENCE if uses_reference() else OBSERVED if step.is_observed else None
    against = barred or cell_steps.why_not(step)
    if against is None:
        return "native", {}
    reasons = {"native": against}
    against = _why_not_torchs_cell(step)
    return ("torch", reasons) if against is None else ("reference", {**reasons, "torch": against})


def run_cell(step: CellStep) -> tuple[Tensor, ...]:
    """Compute a cell's step by the first path that can, and return the new states."""
    new: tuple[Tensor, ...] | None = None
    if _is_compiled(step):
        new = CELL_PATHS["compiled"].run(step)
    elif not step.is_observed and not uses_reference():
        new = CELL_PATHS["native"].run(step)  # checks the arguments as it reads them
    if new is None:
        new = CELL_PATHS["torch" if _why_not_torchs_cell(step) is None else "reference"].run(step)
    return new
