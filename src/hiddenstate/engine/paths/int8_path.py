"""Decides which calls use int8 weights (only without gradients), and finds their packed weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate.engine import kernels
from hiddenstate.engine.call import Call, wants_gradient
from hiddenstate.engine.interception import interception, is_plain
from hiddenstate.engine.weights import Int8Weights, PackedWeights, why_not_kernel

NOT_PACKED = "the weights cannot be packed: one is sparse, or has another type"


def why_not(call: Call) -> str | None:
    """Return why a call does not use int8, or None."""
    weights = call.weights
    if not isinstance(weights, Int8Weights):
        return "the weights are not int8"
    why = why_not_kernel(call.sizes, weights.like.dtype)
    if why is not None:
        return why
    tensors = [call.x, call.h0, call.c0, call.reset_h, call.reset_c, *weights.reals()]
    why = why_not_without_gradient(tensors)
    if why is not None:
        return why
    for value in tensors:
        if value is not None and not (is_plain(value) and value.dtype is torch.float32):
            kind = type(value).__name__
            return f"a tensor is a {kind} of {value.dtype} on {value.device}, not float32 on the CPU"
    return interception() or _why_not_packed(weights.packed, call.cell)


def _why_not_packed(packed: PackedWeights | None, cell: str) -> str | None:
    if packed is None:
        return NOT_PACKED
    return None if packed.kernel is kernels.int8(cell) else "the weights are packed for other instructions"


def why_not_fast(packed: PackedWeights | None, tensors: Sequence[Tensor | None]) -> str | None:
    """Return why a call can't read packed int8 weights with unconverted arguments, or None."""
    return NOT_PACKED if packed is None else why_not_without_gradient(tensors)


def why_not_without_gradient(tensors: Sequence[Tensor | None]) -> str | None:
    """Return the reason if one of the tensors needs a gradient, or None."""
    return "a gradient is needed, which is computed for the dequantised weights" if wants_gradient(tensors) else None
