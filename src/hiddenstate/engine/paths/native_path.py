"""Runs calls on the native engine, whole or layer by layer; differentiable any number of times."""

from dataclasses import replace

import torch
from torch import Tensor

from hiddenstate.edits.resolve import ResolvedEdit
from hiddenstate.engine import derivative, kernels, native, reference
from hiddenstate.engine.call import Call, Result, tensors_needing_gradients, through_layers, wants_gradient
from hiddenstate.engine.interception import interception, is_plain, why_not_plain
from hiddenstate.engine.kernels import Kernel
from hiddenstate.engine.reference import LayerResult
from hiddenstate.structure.names import LayerDirection, Place


def why_not(call: Call, *, cast_to: torch.dtype | None = None) -> str | None:
    """Return why the native engine can't compute a call, or None.

    With ``cast_to``, the call is judged as if autocast had cast all its tensors to that type.
    """
    unknown = kernels.why_not_known(call.cell)
    if unknown is not None:
        return unknown
    tensors = [call.x, call.h0, *call.given_weights]
    cells = [value for value in (call.c0, call.reset_c) if value is not None]
    if call.reset_h is not None:
        tensors.append(call.reset_h)
    for value in (*tensors, *cells):
        if not is_plain(value):
            return why_not_plain(value)
    dtype = cast_to or call.x.dtype
    if not kernels.serves(dtype):
        return kernels.why_not_served(dtype)
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
        beyond_native = _beyond_native(edit)
        if beyond_native is not None:
            return f"the edit of {edit.place} {beyond_native}, which the reference computes"
    return None


def _beyond_native(edit: ResolvedEdit) -> str | None:
    """Return the property of an edit that the engine does not support, or None."""
    if edit.edit.scope == "readout":
        return "changes only the output (readout)"
    if edit.edit.kind == "clamp":
        return "is a clamp"
    return "has a value with gradient" if edit.value.requires_grad and torch.is_grad_enabled() else None


def run(call: Call) -> Result:
    """Compute a whole call in one native forward and one native backward call.

    With gradients and recorded values of several layers, each layer and direction is its own node of torch's graph.
    """
    if not wants_gradient(tensors_needing_gradients(call)):
        return run_without_gradient(call)
    if call.record is None:
        return Result(*derivative.run(call))
    return run_by_layer(call)


def plan(call: Call) -> str:
    """Return how a native call would divide such a call now; calls of some sizes try several plans first."""
    T, N = call.x.shape[:2]
    recorded = call.record is not None or wants_gradient(tensors_needing_gradients(call))
    kernel = kernels.kernel(call.x.dtype, call.cell).native
    threads, stages, units, joins = kernel.plan(T, N, call.sizes.axes, len(call.layer_directions), recorded)
    if stages:
        return f"{threads} threads, each with its own layers and directions"
    divided = "one thread" if threads == 1 else f"{threads} threads that divide the {'units' if units else 'rows'}"
    return f"{divided}; inputs are multiplied {'together with' if joins else 'before'} the hidden states"


def run_without_gradient(call: Call, kernel: Kernel | None = None) -> Result:
    """Compute a whole call in one native call of ``kernel``, by default the one for the type of ``x``."""
    done = native.forward(call, shown=_recorded_layers(call), kernel=kernel)
    return Result(*done[:3], {} if call.record is None else _values(call, done))


def run_by_layer(call: Call) -> Result:
    """Compute a call layer by layer: natively, or through the reference if an edit or a record needs it."""
    out, done = through_layers(call, lambda k, x: _run_layer(call, k, x))
    return reference.joined(out, done)


def _run_layer(call: Call, k: int, x: Tensor) -> LayerResult:
    part = call.only(k, x)
    layer_direction = part.layer_directions[0]
    if part.record is not None:
        mine = [place for place in part.record.places if place.layer_direction == layer_direction]
        part = replace(part, record=replace(part.record, places=mine) if mine else None)
    if why_not_whole(part) is not None:
        return reference.run_layer(call, k, x)
    if part.record is None or not wants_gradient(tensors_needing_gradients(part)):
        out, h_n, c_n, values, _ = run(part)
    else:
        out, h_n, c_n, gates, c = derivative.run_shown(part)
        values = _recorded_values(part, layer_direction, gates, c, out, apart=True)
    return LayerResult(out, h_n[0], None if c_n is None else c_n[0], values, {})


def _recorded_layers(call: Call) -> list[bool]:
    if call.record is None:
        return []
    recorded = {place.layer_direction for place in call.record.places}
    return [each in recorded for each in call.layer_directions]


def _values(call: Call, done: native.Run) -> dict[str, Tensor]:
    """Return the recorded values of a run, by place."""
    assert done.gates is not None
    assert done.c is not None
    assert done.layer_outputs is not None
    D, P, dtype = call.sizes.directions, call.sizes.output_size, done.out.dtype
    outputs = [*done.layer_outputs, done.out]
    values: dict[str, Tensor] = {}
    for k, (layer_direction, gates, c) in enumerate(zip(call.layer_directions, done.gates, done.c, strict=True)):
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
    names = native.recorded_gates(call.sizes.kind)
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
