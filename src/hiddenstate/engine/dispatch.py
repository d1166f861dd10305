"""Chooses the path that computes a call: the first whose conditions return no reason against it.

There are three tables of paths, which share their conditions: `PATHS` for calls, `STREAM_PATHS` for the next steps of a
stream, and `CELL_PATHS` for a cell's step.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch

from hiddenstate.base import later, scoped
from hiddenstate.base.scoped import Block, Scoped, in_force, scope
from hiddenstate.engine import cell_steps, reference
from hiddenstate.engine.call import Call, Result
from hiddenstate.engine.cell_steps import CellStep
from hiddenstate.engine.dropout import draw_masks
from hiddenstate.engine.interception import active_transform
from hiddenstate.engine.paths import autocast, int8_path, native_path, operator, packed, torch_path
from hiddenstate.engine.paths.packed import StreamSteps
from hiddenstate.engine.paths.path import Path, PathReport, choose
from hiddenstate.engine.weights import Int8Weights, PackedWeights
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


class ComputedBy(NamedTuple):
    """What computes a call, and the name of its path or, if that is not the engine's, the reason."""

    name: Literal["engine", "reference", "torch"]
    detail: str


def computed_by(call: Call | CellStep, path: Path, reasons: dict[str, str]) -> ComputedBy:
    """Return what computes a call on a path, from the results of `choose`; the reference if it computes any layer."""
    if path.name in NATIVE:
        why = native_path.why_not_whole(call) if isinstance(call, Call) else None
        return ComputedBy("engine", path.name) if why is None else ComputedBy("reference", why)
    why = reasons.get("native", f"the call takes the path {path.name!r}")
    return ComputedBy("torch" if path.name == "torch" else "reference", why)


def run(call: Call, receive: Callable[[ComputedBy], None] | None = None) -> Result:
    """Compute a call by the first path that can; ``receive`` is called with what computes it."""
    path, reasons = choose(PATHS, call)
    if receive is not None:
        receive(computed_by(call, path, reasons))
    if isinstance(call.weights, Int8Weights) and not path.reads_int8:
        call = replace(call, weights=call.weights.floats())
    done: Result = path.run(call)
    return done


def report(paths: Sequence[Path], call: Any) -> PathReport:
    """Report the path of a call, of a stream's steps or of a cell's step, and the reasons against the faster ones."""
    chosen, reasons = choose(paths, call)
    faster = [path for path in paths if path.is_faster and path.name in reasons]
    told = [path.name for path in faster if not path.reads_int8 or isinstance(call.weights, Int8Weights)]
    return PathReport(chosen.name, {name: reasons[name] for name in told})


def path_report(call: Call, why_not_fast: str | None) -> PathReport:
    """Report the path of a call; ``why_not_fast`` is the reason why it can't run on unconverted arguments, if any."""
    found = report(PATHS, call)
    if found.name == "int8":
        return PathReport("int8", {})
    of_int8 = {name: why for name, why in found.reasons.items() if name == "int8"}
    if why_not_fast is None:
        return PathReport("fast", of_int8)
    return PathReport(found.name, {**of_int8, "fast": why_not_fast, **found.reasons})


# Functions that write a call into the graph of ``torch.onnx.export``. The higher-level package `interop.onnx` adds its
# own.
exporters: list[Callable[[Call], Result]] = later.exporters


def _exports_to_onnx() -> bool:
    # A wrapper, because Dynamo treats torch's function as always False, and torch.onnx.export also tries Dynamo.
    return torch.onnx.is_in_onnx_export()


# Has the effect of torch.compiler.assume_constant_result, which would import all of Dynamo here and take a second.
_exports_to_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _why_not_onnx(call: Call) -> str | None:
    traced = torch.compiler.is_compiling() or torch._C._is_tracing()
    return None if traced and _exports_to_onnx() else "torch.onnx.export is not exporting the call"


OBSERVED = "edits are in force, or a trace records the call"


def _why_not_unobserved(call: Call | StreamSteps | CellStep) -> str | None:
    return OBSERVED if call.is_observed else None


def _why_not_traced(_call: object) -> str | None:
    return None if torch.compiler.is_compiling() else "torch.compile and torch.export do not trace the call"


def _why_not_untransformed(_call: object) -> str | None:
    return active_transform()


def _why_not_operator(call: Call) -> str | None:
    casts = autocast.asks_for_bfloat16(call)
    if torch.is_autocast_enabled("cpu") and not casts:
        return "torch.autocast is on, but not to bfloat16"
    return operator.why_not(call, torch.bfloat16 if casts else None)


def _run_operator(call: Call) -> Result:
    if not autocast.asks_for_bfloat16(call):
        return Result(*operator.run(call, draw_masks(call)))
    with torch.autocast("cpu", enabled=False):
        given = autocast.cast(call)
        return Result(*operator.run(given, draw_masks(given)))


def _why_not_break(_call: Call) -> str | None:
    if not torch.compiler.is_dynamo_compiling() or torch.compiler.is_exporting():
        return "torch.export allows no graph breaks, and needs none"
    return None


def _run_uncompiled(call: Call) -> Result:
    """Run outside the compiled graph, because only torch.lstm compiles with gradients."""
    return torch.compiler.disable(run)(call)  # type: ignore[no-any-return]


def _why_not_auto(_call: object) -> str | None:
    return 'hiddenstate.backend("reference") is in force' if uses_reference() else None


def _run_int8(call: Call) -> Result:
    weights: PackedWeights = call.weights.packed  # type: ignore[attr-defined]
    return native_path.run_without_gradient(
        replace(_drawn(call), weights=(), packed_weights=weights.packed), weights.kernel
    )


def _why_not_autocast(call: Call) -> str | None:
    if not autocast.asks_for_bfloat16(call):
        return "torch.autocast to bfloat16 is not on for the CPU, or the call has other types than float32 and bfloat16"
    return native_path.why_not(call, cast_to=torch.bfloat16)


def _run_autocast(call: Call) -> Result:
    with torch.autocast("cpu", enabled=False):
        given = _drawn(autocast.cast(call))
        whole = native_path.why_not_whole(given) is None
        return native_path.run(given) if whole else native_path.run_by_layer(given)


def _drawn(call: Call) -> Call:
    """Return the call with its dropout masks."""
    return replace(call, masks=draw_masks(call)) if call.dropout else call


_NATIVE = _why_not_auto, native_path.why_not

_COMPILED = _why_not_traced, _why_not_unobserved, _why_not_auto, _why_not_untransformed
_PLAIN = _why_not_auto, _why_not_unobserved, _why_not_untransformed

# The paths in the order in which they are tried.
PATHS = (
    Path(
        "onnx",
        "ONNX's own operator, during torch.onnx.export",
        (_why_not_onnx,),
        lambda call: exporters[-1](call),
        is_faster=False,
    ),
    Path(
        "operator",
        "one operator in the graph of torch.compile or torch.export",
        (*_COMPILED, _why_not_operator),
        _run_operator,
        is_faster=False,
    ),
    Path(
        "break",
        "a break in the graph of torch.compile, and then a path below",
        (*_COMPILED, _why_not_break),
        _run_uncompiled,
        is_faster=False,
    ),
    Path(
        "int8",
        "one native call for all layers and directions, on int8 weights",
        (_why_not_auto, native_path.why_not_whole, int8_path.why_not),
        _run_int8,
        reads_int8=True,
    ),
    Path(
        "native",
        "one native call for all layers and directions, and one backward",
        (*_NATIVE, native_path.why_not_whole),
        lambda call: native_path.run(_drawn(call)),
    ),
    Path(
        "native by layer",
        "each layer natively, or through the reference",
        _NATIVE,
        lambda call: native_path.run_by_layer(_drawn(call)),
    ),
    Path(
        "native bfloat16",
        "like the two above, under autocast to bfloat16",
        (_why_not_auto, _why_not_autocast),
        _run_autocast,
    ),
    Path("torch", "torch's own kernels", (*_PLAIN, torch_path.why_not), torch_path.run),
    Path("reference", "plain torch, step by step", (), lambda call: reference.run(_drawn(call))),
)

# The conditions for packed weights in a stream, for any number of steps.
PACKED = *_PLAIN, packed.why_not

STREAM_PATHS = (
    Path("packed", "the engine, step by step on weights packed once", (packed.why_not_few, *PACKED), packed.run),
    Path("call", "a call, on one of the paths above", (), lambda steps, x, state: run(steps.call(x, state))),
)

CELL_PATHS = (
    Path(
        "compiled",
        "torch's cell in the graph of torch.compile or torch.export",
        (_why_not_traced, _why_not_unobserved, cell_steps.why_not_torch),
        cell_steps.run_torch,
        is_faster=False,
    ),
    Path(
        "native",
        "one native call, and one backward for the weights of all steps",
        (_why_not_auto, _why_not_unobserved),
        cell_steps.run,
        why_declined=cell_steps.why_not,
    ),
    Path("torch", "torch's own cell", (*_PLAIN, cell_steps.why_not_torch), cell_steps.run_torch),
    Path("reference", "plain torch", (), cell_steps.run_reference),
)

# Names of the paths that run on the native engine, those for whole calls first.
NATIVE = ("int8", "native", "native by layer", "native bfloat16")
