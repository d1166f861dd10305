"""torch.autocast to bfloat16, which the native engine computes itself."""

import torch

from hiddenstate.engine.call import Call, Result, leaves_of, with_leaves


def asks_for_bfloat16(call: Call) -> bool:
    """Whether autocast is on for the CPU, to bfloat16, and serves the types of this call."""
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") is not torch.bfloat16:
        return False
    return all(value is None or value.dtype in (torch.float32, torch.bfloat16) for value in leaves_of(call))


def cast(call: Call) -> Call:
    """The call in bfloat16; what autocast would do before each product."""
    return with_leaves(call, [None if value is None else value.bfloat16() for value in leaves_of(call)])


def uncast(done: Result, call: Call) -> Result:
    """As torch does, which computes a projected layer step by step and casts nothing but the products there."""
    return Result(done.out, done.h_n, done.c_n.to(call.c0.dtype)) if call.sizes.proj_size else done
