"""A call computed by torch's own kernels: types and devices that the native engine does not serve."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils._expanded_weights.expanded_weights_impl import ExpandedWeight
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hiddenstate.base.validation import check_memory
from hiddenstate.engine.call import Call, Result
from hiddenstate.engine.dropout import packing_order
from hiddenstate.engine.interception import own_types, transformed


def why_not(call: Call) -> str | None:
    """Say why torch's kernels don't compute this call, or None."""
    if call.reset is not None:
        return "torch has no reset="
    if call.edits or call.record is not None:
        return "torch's kernels neither edit nor record"
    served = torch_serves(call.x.device.type, projects=call.sizes.proj_size > 0, drops=call.dropout > 0)
    if not served and not (call.x.is_cpu and _are_of_another_class(call)):
        return f"torch has no right kernel for this on {call.x.device.type}"
    if transformed():
        return "torch.lstm has no rules for torch.func transforms"
    return None if _can_pack(call.lengths) else "torch can't pack rows of length 0 (or of lengths that are not known)"


def _are_of_another_class(call: Call) -> bool:
    """Whether weights are of a class of tensors that may have its own rule for torch.lstm, as per-sample ones do."""
    return not all(type(weight) in (Tensor, Parameter) for weight in _weights(call))


def torch_serves(device: str, *, projects: bool, drops: bool) -> bool:
    """Whether torch's layer has a kernel for a kind of device, and a right one."""
    # On CPU it has none for projections: it warns, and loops over the steps as the reference does. On MPS it refuses
    # them, and its gradient is that of a run without the dropout (pytorch#190056).
    return not (projects and device in ("cpu", "mps")) and not (drops and device == "mps")


def run(call: Call) -> Result:
    """Compute a call by torch."""
    for weight in _weights(call):
        check_memory(weight, "a weight")
    per_sample = any(isinstance(weight, ExpandedWeight) for weight in _weights(call))
    if per_sample and torch.is_grad_enabled() and not call.x.requires_grad:
        # By the input alone does torch's decomposition for per-sample weights tell whether a gradient is wanted.
        call = replace(call, x=call.x.detach().requires_grad_())
    return _run_padded(call) if call.lengths is None else _run_packed(call)


def _can_pack(lengths: Tensor | None) -> bool:
    """Whether every row is known to have a step, which in a packed sequence of torch's it must."""
    return lengths is None or (not lengths.is_meta and len(lengths) > 0 and int(lengths.min()) > 0)


def _run_padded(call: Call) -> Result:
    state = call.h0.contiguous(), call.c0.contiguous()  # cuDNN refuses others
    return Result(*torch.lstm(call.x, state, _weights(call), *_options(call), False))


def _run_packed(call: Call) -> Result:
    """Ragged rows as torch knows them: sorted and packed, and back."""
    assert call.lengths is not None
    order = packing_order(call)
    back = order.argsort()
    with own_types():  # to pack casts nothing
        packed = pack_padded_sequence(call.x.index_select(1, order), call.lengths[order].cpu())
    state = call.h0.index_select(1, order), call.c0.index_select(1, order)
    data, h_n, c_n = torch.lstm(packed.data, packed.batch_sizes, state, _weights(call), *_options(call))
    with own_types():
        out, _ = pad_packed_sequence(PackedSequence(data, packed.batch_sizes), total_length=call.x.shape[0])
    return Result(out.index_select(1, back), h_n.index_select(1, back), c_n.index_select(1, back))


def _weights(call: Call) -> list[Tensor]:
    return [w for weights in call.weights for w in weights if w is not None]


def _options(call: Call) -> tuple[bool, int, float, bool, bool]:
    """What torch.lstm takes in this order: has_biases, num_layers, dropout, train, bidirectional."""
    # cuDNN keeps what its backward needs only when told that it trains, and gradients are as welcome in eval mode:
    # dropout, the other thing that this switches, is already zero there.
    train = call.dropout > 0 or (call.x.is_cuda and torch.is_grad_enabled())
    return call.sizes.bias, call.sizes.num_layers, call.dropout, train, call.sizes.bidirectional
