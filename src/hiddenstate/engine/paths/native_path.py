"""Runs calls on the native engine, on weights in one of four forms; differentiable any number of times."""

from dataclasses import replace

import torch
from torch import Tensor

from hiddenstate.base.torch_internals import interception, is_plain
from hiddenstate.base.validation import check_memory
from hiddenstate.engine import derivative, kernels, native, reference
from hiddenstate.engine.call import (
    Call,
    CallResult,
    tensors_needing_gradients,
    through_layers,
    wants_gradient,
    with_leaves,
)
from hiddenstate.engine.dropout import draw_masks
from hiddenstate.engine.kernels import Kernel
from hiddenstate.engine.reference import LayerResult
from hiddenstate.engine.weights import Int8Weights, why_not_kernel
from hiddenstate.structure.names import LayerDirection, Place

# What computes a call, by the form of its weights, in the order in which they are tried.
FORMS = {
    "int8": "one native call for all layers and directions, on int8 weights",
    "native": "one native call for all layers and directions, and one backward",
    "native by layer": "each layer natively, or through the reference",
    "native bfloat16": "like the two above, under autocast to bfloat16",
    "native float16": "in float32, with weights, inputs, states and results in float16, or under autocast to it",
}
# The type that each form computes in, if it casts the call, and that of its results.
CASTS = {"native bfloat16": (torch.bfloat16, torch.bfloat16), "native float16": (torch.float32, torch.float16)}
FEW_ROW_STEPS = 8  # steps times rows; with fewer, torch's own kernel is faster in float16
NOT_PACKED = "the weights cannot be packed: one is sparse, or has another type"
DEQUANTISED = "a gradient is needed, which is computed for the dequantised weights"


def choose(call: Call, reasons: dict[str, str], barred: str | None) -> str | None:
    """Return the form of weights for a call, or None; add the reasons against faster ones, ``barred`` to all."""
    is_int8 = isinstance(call.weights, Int8Weights)
    if barred is not None:
        reasons.update((form, barred) for form in FORMS if form != "int8" or is_int8)
        return None
    partly = why_not_whole(call)
    if is_int8:
        against = partly or _why_not_int8(call)
        if against is None:
            return "int8"
        reasons["int8"] = against
    against = why_not(call)
    if against is None:
        if partly is None:
            return "native"
        reasons["native"] = partly
        return "native by layer"
    reasons |= {"native": against, "native by layer": against}
    form = casting_form(call)
    for other in CASTS:
        reasons[other] = f"torch.autocast to {other.split()[-1]} is not on for the CPU, or the call has other types"
    if form is not None:
        against = why_not(call, cast_to=CASTS[form][0]) or _why_not_widened(call)
        if against is None:
            reasons.pop(form)
            return form
        reasons[form] = against
    return None


def run(form: str, call: Call) -> CallResult:
    """Compute a call in the form that `choose` returned."""
    if form in CASTS:
        with torch.autocast("cpu", enabled=False):
            return in_results_type(
                form, run("native" if why_not_whole(call) is None else "native by layer", cast(form, call))
            )
    if call.dropout:
        call = replace(call, masks=draw_masks(call))
    if form == "native":
        return _run_whole(call)
    if form == "native by layer":
        return _run_by_layer(call)
    packed = call.weights.packed  # type: ignore[attr-defined]
    return _run_without_gradient(replace(call, weights=(), packed_weights=packed.packed), packed.kernel)


def why_not(call: Call, *, cast_to: torch.dtype | None = None) -> str | None:
    """Return why the native engine can't compute a call on float weights (as if cast to a type); or None."""
    tensors = [call.x, call.h0, *call.given_weights]
    if call.reset_h is not None:
        tensors.append(call.reset_h)
    cells = [value for value in (call.c0, call.reset_c) if value is not None]
    dtype = cast_to or call.x.dtype
    against = kernels.why_not(call.cell, dtype, (*tensors, *cells))
    if against is not None:
        return against
    if cast_to is not None:
        return interception(autocast=True)
    types = dict.fromkeys(value.dtype for value in tensors)
    of_cells = dict.fromkeys(value.dtype for value in cells)
    if len(types) > 1 or not of_cells.keys() <= {dtype, kernels.real_type(dtype)}:
        return f"types are mixed: {', '.join(map(str, types))}, cell state {', '.join(map(str, of_cells))}"
    return interception()


def why_not_whole(call: Call) -> str | None:
    """Return why a layer of this call needs the reference; if None, all layers run in one native call."""
    beyond = call.sizes.kind.pre_activations
    if call.record is not None and any(place.quantity in beyond for place in call.record.places):
        return "pre-activations are recorded (pre=True), which the reference computes"
    for edit in call.edits:
        if edit.edit.scope == "readout":
            against = "changes only the output (readout)"
        elif edit.edit.kind == "clamp":
            against = "is a clamp"
        elif edit.value.requires_grad and torch.is_grad_enabled():
            against = "has a value with gradient"
        else:
            continue
        return f"the edit of {edit.place} {against}, which the reference computes"
    return None


def _why_not_int8(call: Call) -> str | None:
    weights = call.weights
    assert isinstance(weights, Int8Weights)
    against = why_not_kernel(call.sizes, weights.like.dtype)
    if against is not None:
        return against
    tensors = [call.x, call.h0, call.c0, call.reset_h, call.reset_c, *weights.reals()]
    if wants_gradient(tensors):
        return DEQUANTISED
    for value in tensors:
        if value is not None and not (is_plain(value) and value.dtype is torch.float32):
            kind = type(value).__name__
            return f"a tensor is a {kind} of {value.dtype} on {value.device}, not float32 on the CPU"
    against = interception()
    if against is not None:
        return against
    if weights.packed is None:
        return NOT_PACKED
    is_current = weights.packed.kernel is kernels.int8(call.cell)
    return None if is_current else "the weights are packed for other instructions"


def casting_form(call: Call) -> str | None:
    """Return the form that casts a call of such types, as they are or under autocast on the CPU; None if none does."""
    types = {value.dtype for value in tensors_needing_gradients(call) if value is not None}
    narrow, known = torch.float16, {torch.float16}
    if torch.is_autocast_enabled("cpu"):
        narrow = torch.get_autocast_dtype("cpu")
        known = {torch.float32, narrow}
    if not types <= known or (narrow is torch.float16 and torch.compiler.is_compiling()):  # torch's operator exports it
        return None
    for form, (_, results) in CASTS.items():  # torch 2.8 compiles no next() with a default
        if results is narrow:
            return form
    return None


def _why_not_widened(call: Call) -> str | None:
    """Return why torch's kernel is better for a float16 call of a plain layer, or None."""
    weight, (T, N) = call.given_weights[0], call.x.shape[:2]
    if weight.dtype is not torch.float16 or call.is_observed or T * N >= FEW_ROW_STEPS:
        return None
    return f"with {T} steps of {N} rows, converting the weights would take longer than the call"


def cast(form: str, call: Call) -> Call:
    """Return the call in the type in which a form computes, with its dropout drawn in the type of its results."""
    computed, results = CASTS[form]
    if call.dropout and computed is not results:
        masks = [mask.to(computed) for mask in draw_masks(replace(call, x=call.x.to(results)))]
        call = replace(call, masks=masks, dropout=0.0)
    leaves = tensors_needing_gradients(call)
    for value in leaves:
        if value is not None:
            check_memory(value, native.HANDED)
    return with_leaves(call, [None if value is None else value.to(computed) for value in leaves])


def in_results_type(form: str, result: CallResult) -> CallResult:
    """Return a form's result in the type of its results."""
    _, dtype = CASTS[form]
    if result.out.dtype is dtype:
        return result
    out, h_n, c_n, values, carried = result
    narrow = [{name: value.to(dtype) for name, value in part.items()} for part in (values, carried)]
    return CallResult(out.to(dtype), h_n.to(dtype), None if c_n is None else c_n.to(dtype), *narrow)


def plan(call: Call) -> str:
    """Return how a native call would divide such a call now; calls of some sizes try several plans first."""
    T, N = call.x.shape[:2]
    recorded = call.record is not None or wants_gradient(tensors_needing_gradients(call))
    kernel = kernels.kernel(kernels.computed_in(call.x.dtype), call.cell).native
    threads, stages, units, joins = kernel.plan(T, N, call.sizes.axes, len(call.layer_directions), recorded)
    if stages:
        return f"{threads} threads, each with its own layers and directions"
    divided = "one thread" if threads == 1 else f"{threads} threads that divide the {'units' if units else 'rows'}"
    return f"{divided}; inputs are multiplied {'together with' if joins else 'before'} the hidden states"


def _run_whole(call: Call) -> CallResult:
    """Compute a call natively; gradients with several layers' records need a node for each."""
    if not wants_gradient(tensors_needing_gradients(call)):
        return _run_without_gradient(call)
    return CallResult(*derivative.run(call)) if call.record is None else _run_by_layer(call)


def _run_without_gradient(call: Call, kernel: Kernel | None = None) -> CallResult:
    shown: list[bool] = []
    if call.record is not None:
        recorded = {place.layer_direction for place in call.record.places}
        shown = [layer_direction in recorded for layer_direction in call.layer_directions]
    result = native.forward(call, shown=shown, kernel=kernel)
    return CallResult(*result[:3], {} if call.record is None else _values(call, result))


def _run_by_layer(call: Call) -> CallResult:
    """Compute a call layer by layer: natively, or through the reference if an edit or a record needs it."""
    out, results = through_layers(call, lambda k, x: _run_layer(call, k, x))
    return reference.joined(out, results)


def _run_layer(call: Call, k: int, x: Tensor) -> LayerResult:
    part = call.only(k, x)
    layer_direction = part.layer_directions[0]
    if part.record is not None:
        mine = [place for place in part.record.places if place.layer_direction == layer_direction]
        part = replace(part, record=replace(part.record, places=mine) if mine else None)
    if why_not_whole(part) is not None:
        return reference.run_layer(call, k, x)
    if part.record is None or not wants_gradient(tensors_needing_gradients(part)):
        out, h_n, c_n, values, _ = _run_whole(part)
    else:
        out, h_n, c_n, gates, c = derivative.run_shown(part)
        values = _recorded_values(part, layer_direction, gates, c, out, apart=True)
    return LayerResult(out, h_n[0], None if c_n is None else c_n[0], values, {})


def _values(call: Call, result: native.NativeRun) -> dict[str, Tensor]:
    """Return the recorded values of a run, by place."""
    assert result.gates is not None
    assert result.c is not None
    assert result.layer_outputs is not None
    D, P, dtype = call.sizes.directions, call.sizes.output_size, result.out.dtype
    outputs = [*result.layer_outputs, result.out]
    values: dict[str, Tensor] = {}
    for k, (layer_direction, gates, c) in enumerate(zip(call.layer_directions, result.gates, result.c, strict=True)):
        if gates is None:
            continue
        h = outputs[k // D] if D == 1 else outputs[k // D][..., k % D * P : (k % D + 1) * P]
        apart = D > 1 or k // D == len(outputs) - 1  # whether the output shares memory with another value
        of_c = None if c is None else c.to(dtype)
        values |= _recorded_values(call, layer_direction, gates.to(dtype), of_c, h, apart=apart)
    return values


def _recorded_values(
    call: Call, layer_direction: LayerDirection, gates: Tensor, c: Tensor | None, h: Tensor, *, apart: bool
) -> dict[str, Tensor]:
    """Return the recorded values of one layer and direction; ``apart`` copies h, whose memory is shared."""
    assert call.record is not None
    names = call.sizes.kind.recorded_gates
    every = dict(zip(names, gates.chunk(len(names), dim=-1), strict=True)) | {"h": h}
    if c is not None:
        every["c"] = c
    mine = [place.quantity for place in call.record.places if place.layer_direction == layer_direction]
    # Gates are copied if only some are wanted, so that the rest can be freed.
    copied = {"h"} if apart else set[str]()
    copied |= set[str]() if set(names) <= set(mine) else set(names)
    steps = None if len(call.record.steps) == len(call.x) else list(call.record.steps)
    values = {}
    for quantity in mine:
        value = every[quantity] if steps is None else every[quantity][steps]
        values[str(Place(*layer_direction, quantity))] = (
            value.clone() if steps is None and quantity in copied else value
        )
    return values
