"""Supports torch.autocast to bfloat16 on the native engine."""

from functools import cache

import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import _disable_current_modes

from hiddenstate.engine.call import Call, tensors_needing_gradients, with_leaves


def asks_for_bfloat16(call: Call) -> bool:
    """Whether autocast to bfloat16 is on for the CPU and applies to the types of this call."""
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") is not torch.bfloat16:
        return False
    return all(
        value is None or value.dtype in (torch.float32, torch.bfloat16) for value in tensors_needing_gradients(call)
    )


def cast(call: Call) -> Call:
    """Return the call in bfloat16, cast as autocast would cast it before each product."""
    return with_leaves(call, [None if value is None else value.bfloat16() for value in tensors_needing_gradients(call)])


def result_types(call: Call, packed: PackedSequence | None) -> tuple[torch.dtype, torch.dtype] | None:
    """Return the types of hidden and cell states that torch's layer returns under autocast on the CPU.

    Returns None if the computed types are already right. For packed sequences and projections, torch runs step by step,
    and autocast casts only the matrix products: cell states keep a wider type, and so do hidden states that are not the
    result of a product.
    """
    if not torch.is_autocast_enabled("cpu") or not call.x.is_cpu or call.x.dtype is torch.float64:
        return None  # autocast leaves float64 unchanged
    of_products = torch.get_autocast_dtype("cpu")
    if call.c0 is None:  # that of a product, or of its sum with the previous state
        dtype = torch.promote_types(of_products, call.h0.dtype) if call.sizes.kind.is_additive else of_products
        return dtype, dtype
    if not call.sizes.proj_size and (packed is None or _runs_as_padded(packed)):
        return None
    of_cells = torch.promote_types(of_products, call.c0.dtype)
    return (of_products if call.sizes.proj_size else of_cells), of_cells


def _runs_as_padded(packed: PackedSequence) -> bool:
    """Whether torch runs a packed sequence as a padded one; newer versions do so if all rows have the same length."""
    is_even = bool(packed.batch_sizes[0] == packed.batch_sizes[-1])
    return is_even and _pads_even_rows(torch.get_autocast_dtype("cpu"), torch._C._get_mkldnn_enabled())


@cache
def _pads_even_rows(dtype: torch.dtype, _uses_onednn: bool) -> bool:
    """Whether this version of torch does so under autocast to a type, judging by the output type of a tiny call."""
    state, w, b = (torch.zeros(shape, dtype=torch.float32, device="cpu") for shape in ((1, 1, 1), (4, 1), (4,)))
    even = torch.ones(1, dtype=torch.int64, device="cpu")
    with _disable_current_modes(), torch.no_grad():
        try:
            out, *_ = torch.ops.aten.lstm.data(state[0], even, (state, state), (w, w, b, b), True, 1, 0.0, False, False)
        except RuntimeError:  # oneDNN has no kernel for this type and processor
            return False
    return bool(out.dtype is dtype)
