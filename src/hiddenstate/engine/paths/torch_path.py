"""Runs calls on torch's own kernels, for types, devices and cells that the native engine does not support."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hiddenstate.base.torch_internals import PerSampleWeight, own_types
from hiddenstate.base.validation import check_memory
from hiddenstate.engine.call import Call, CallResult
from hiddenstate.engine.dropout import packing_order


def why_not(call: Call) -> str | None:
    """Return why torch's kernels can't compute this call, or None."""
    if call.reset is not None:
        return "torch has no reset="
    if not hasattr(torch, call.cell.lower()):
        return f"torch has no {call.sizes.kind.label}"
    if not torch_serves(call.x.device.type, projects=call.sizes.proj_size > 0, drops=call.dropout > 0):
        # Weights of another class, such as per-sample weights, may have their own rule for torch's function.
        are_plain = all(type(weight) in (Tensor, Parameter) for weight in call.given_weights)
        if are_plain or not call.x.is_cpu:
            return f"torch has no correct kernel for this on {call.x.device.type}"
    lengths = call.lengths
    if lengths is None or (not lengths.is_meta and len(lengths) > 0 and int(lengths.min()) > 0):
        return None
    return "torch can't pack rows of length 0 (or of unknown length)"


def torch_serves(device: str, *, projects: bool, drops: bool) -> bool:
    """Whether torch's layer has a correct kernel for a device type."""
    # On CPU, torch has no kernel for projections: it warns, and loops over the steps like the reference. On MPS, it
    # rejects projections, and its gradient ignores dropout (pytorch#190056).
    return not (projects and device in ("cpu", "mps")) and not (drops and device == "mps")


def run(call: Call) -> CallResult:
    """Compute a call with torch."""
    for weight in call.given_weights:
        check_memory(weight, "a weight")
    per_sample = any(isinstance(weight, PerSampleWeight) for weight in call.given_weights)
    if per_sample and torch.is_grad_enabled() and not call.x.requires_grad:
        # For per-sample weights, torch's decomposition looks only at the input to decide whether a gradient is needed.
        call = replace(call, x=call.x.detach().requires_grad_())
    function = getattr(torch, call.cell.lower())
    if call.lengths is not None:
        return _run_packed(call, call.lengths, function)
    state = call.sizes.kind.as_given([part.contiguous() for part in call.initial])  # as cuDNN requires
    return CallResult(*function(call.x, state, call.given_weights, *_options(call), False))


def _run_packed(call: Call, lengths: Tensor, function: Callable[..., tuple[Tensor, ...]]) -> CallResult:
    """Run ragged rows as a packed sequence, and unpack the result."""
    order = packing_order(call)
    back = order.argsort()
    with own_types():  # otherwise packing would cast
        packed = pack_padded_sequence(call.x.index_select(1, order), lengths[order].cpu())
    state = call.sizes.kind.as_given([part.index_select(1, order) for part in call.initial])
    data, *states = function(packed.data, packed.batch_sizes, state, call.given_weights, *_options(call))
    with own_types():
        out, _ = pad_packed_sequence(PackedSequence(data, packed.batch_sizes), total_length=call.x.shape[0])
    h_n, *c_n = (state.index_select(1, back) for state in states)
    return CallResult(out.index_select(1, back), h_n, c_n[0] if c_n else None)


def _options(call: Call) -> tuple[bool, int, float, bool, bool]:
    """Return the options of torch's function in its order: has_biases, num_layers, dropout, train, bidirectional."""
    # cuDNN saves the values for its backward pass only in training mode, but gradients are allowed in eval mode too.
    # The option also controls dropout, which is already zero in eval mode.
    train = call.dropout > 0 or (call.x.is_cuda and torch.is_grad_enabled())
    return call.sizes.bias, call.sizes.num_layers, call.dropout, train, call.sizes.bidirectional
