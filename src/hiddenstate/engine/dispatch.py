"""Which path computes a call: the first of `PATHS` whose conditions return no reason against it."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from hiddenstate.base import registry, scoped
from hiddenstate.base.scoped import Block, Scoped, in_force, scope
from hiddenstate.engine import autocast, int8_path, kernels, native_path, operator, reference_path, torch_path
from hiddenstate.engine.call import Call, Result
from hiddenstate.engine.dropout import draw_masks
from hiddenstate.engine.int8 import Int8Weights, PackedWeights
from hiddenstate.engine.interception import transformed
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


Condition = Callable[[Call], str | None]  # returns the reason that a path can't compute a call, or None


class Path(NamedTuple):
    """A way to compute a call: ``run`` computes one if none of the ``conditions`` returns a reason against it.

    Paths share conditions, each of which is checked at most once per call. A path ``is_faster`` if a call gains by it;
    the others serve torch's compilers and exporters. One that ``reads_int8`` takes int8 weights as they are; the others
    get them as floats.
    """

    name: str
    what: str
    conditions: tuple[Condition, ...]
    run: Callable[[Call], Result]
    is_faster: bool = True
    reads_int8: bool = False


def run(call: Call) -> Result:
    """Compute a call by the first path that can."""
    path, _ = choose(call)
    if isinstance(call.weights, Int8Weights) and not path.reads_int8:
        call = replace(call, weights=call.weights.floats())
    return path.run(call)


def choose(call: Call) -> tuple[Path, dict[str, str]]:
    """Return the first path that can compute a call, and the reason against each path before it, by its name."""
    answers: dict[Condition, str | None] = {}  # paths share conditions
    reasons: dict[str, str] = {}
    for path in PATHS:
        why = None
        for condition in path.conditions:
            if condition not in answers:
                answers[condition] = condition(call)
            why = answers[condition]
            if why is not None:
                reasons[path.name] = why
                break
        if why is None:
            return path, reasons
    raise AssertionError("the last path computes every call")


@dataclass(frozen=True)
class PathReport:
    """The path that a call takes, and why no faster path can run it.

    Attributes:
        name: ``"fast"``, or the name of a path in the documentation of the engine.
        reasons: maps each faster path to the reason it can't run the call.
    """

    name: str
    reasons: dict[str, str]

    def __str__(self) -> str:
        lines = [f"This call runs on the path {self.name!r}."]
        return "\n".join(lines + [f"  not {name!r}: {why}" for name, why in self.reasons.items()])


def path_report(call: Call, why_not_fast: str | None) -> PathReport:
    """Report the path of a call, given the reason that it could not run before it was read, or None if it could."""
    chosen, reasons = choose(call)
    if chosen.reads_int8:
        return PathReport(chosen.name, {})
    int8 = isinstance(call.weights, Int8Weights)
    faster = [path for path in PATHS if path.is_faster and path.name in reasons]
    packed = {path.name: reasons[path.name] for path in faster if path.reads_int8 and int8}
    if why_not_fast is None:
        return PathReport("fast", packed)
    others = {path.name: reasons[path.name] for path in faster if not path.reads_int8}
    return PathReport(chosen.name, {**packed, "fast": why_not_fast, **others})


# Functions that write a call into the graph of ``torch.onnx.export``. `interop.onnx`, a higher room, adds its own.
exporters: list[Callable[[Call], Result]] = registry.exporters


def _exports_to_onnx() -> bool:
    # A wrapper, since Dynamo treats torch's function as constantly False, and torch.onnx.export also tries Dynamo.
    return torch.onnx.is_in_onnx_export()


# The effect of torch.compiler.assume_constant_result, which would import all of Dynamo with this module, taking a
# second.
_exports_to_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _why_not_onnx(call: Call) -> str | None:
    traced = torch.compiler.is_compiling() or torch._C._is_tracing()
    return None if traced and _exports_to_onnx() else "torch.onnx.export is not exporting the call"


def _run_exporter(call: Call) -> Result:
    return exporters[-1](call)


def _why_not_known(call: Call) -> str | None:
    return None if kernels.knows(call.sizes.cell) else f"native code does not support this cell yet: {call.sizes.cell}"


def _why_not_compiled(call: Call) -> str | None:
    """Return why a call cannot be part of the graph of torch.compile or torch.export, or None."""
    if not torch.compiler.is_compiling():
        return "torch.compile and torch.export do not trace the call"
    if call.edits or call.record is not None or uses_reference() or transformed():
        return "something is edited, recorded or transformed, or the reference was requested"
    return None


def _why_not_operator(call: Call) -> str | None:
    if _exports_to_onnx():
        return "torch.onnx.export cannot write the operator"
    casts = autocast.asks_for_bfloat16(call)
    if torch.is_autocast_enabled("cpu") and not casts:
        return "torch.autocast is on, and not to bfloat16"
    return operator.why_not(call, torch.bfloat16 if casts else None)


def _run_operator(call: Call) -> Result:
    masks = draw_masks(call)
    if not autocast.asks_for_bfloat16(call):
        return Result(*operator.run(call, masks))
    with torch.autocast("cpu", enabled=False):
        return Result(*operator.run(autocast.cast(call), masks))


def _why_not_break(_call: Call) -> str | None:
    if not torch.compiler.is_dynamo_compiling() or torch.compiler.is_exporting():
        return "torch.export allows no graph breaks, and needs none"
    return None


def _run_uncompiled(call: Call) -> Result:
    """Run outside the compiled graph, since only torch.lstm compiles with gradients."""
    return torch.compiler.disable(run)(call)  # type: ignore[no-any-return]


def _why_not_auto(_call: Call) -> str | None:
    return 'hiddenstate.backend("reference") is in force' if uses_reference() else None


def _run_int8(call: Call) -> Result:
    packed: PackedWeights = call.weights.packed  # type: ignore[attr-defined]
    return native_path.run_without_gradient(
        replace(_drawn(call), weights=(), packed_weights=packed.packed), packed.kernel
    )


def _why_not_autocast(call: Call) -> str | None:
    if not autocast.asks_for_bfloat16(call):
        return "torch.autocast to bfloat16 is not on for the CPU, or the call has other types than float32 and bfloat16"
    return native_path.why_not(call, cast_to=torch.bfloat16)


def _run_native(call: Call) -> Result:
    return native_path.run(_drawn(call))


def _run_by_layer(call: Call) -> Result:
    return native_path.run_by_layer(_drawn(call))


def _run_autocast(call: Call) -> Result:
    with torch.autocast("cpu", enabled=False):
        given = _drawn(autocast.cast(call))
        whole = native_path.why_not_whole(given) is None
        return native_path.run(given) if whole else native_path.run_by_layer(given)


def _run_reference(call: Call) -> Result:
    return reference_path.run(_drawn(call))


def _drawn(call: Call) -> Call:
    """Return the call with its dropout masks."""
    return replace(call, masks=draw_masks(call)) if call.dropout else call


_NATIVE = _why_not_auto, _why_not_known, native_path.why_not
_INT8 = _why_not_auto, int8_path.why_not, _why_not_known, native_path.why_not_whole, int8_path.why_not_packed

# In the order in which they are tried.
PATHS = (
    Path("onnx", "ONNX's own operator, during torch.onnx.export", (_why_not_onnx,), _run_exporter, False),
    Path(
        "operator",
        "one operator in the graph of torch.compile or torch.export",
        (_why_not_compiled, _why_not_known, _why_not_operator),
        _run_operator,
        is_faster=False,
    ),
    Path(
        "break",
        "a break in the graph of torch.compile, and then a path below",
        (_why_not_compiled, _why_not_break),
        _run_uncompiled,
        is_faster=False,
    ),
    Path(
        "int8",
        "one native call for all layers and directions, on int8 weights",
        _INT8,
        _run_int8,
        reads_int8=True,
    ),
    Path(
        "native",
        "one native call for all layers and directions, and one backward",
        (*_NATIVE, native_path.why_not_whole),
        _run_native,
    ),
    Path("native by layer", "each layer natively, or through the reference", _NATIVE, _run_by_layer),
    Path(
        "native bfloat16",
        "like the two above, under autocast to bfloat16",
        (_why_not_auto, _why_not_known, _why_not_autocast),
        _run_autocast,
    ),
    Path("torch", "torch's own kernels", (_why_not_auto, torch_path.why_not), torch_path.run),
    Path("reference", "plain torch, step by step", (), _run_reference),
)

# Names of the paths that the native engine computes, those for whole calls first.
NATIVE = ("int8", "native", "native by layer", "native bfloat16")
