"""Whether something of torch's must see each operation of a call, so that a native one would hide what it looks for."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.utils._python_dispatch import _get_current_dispatch_mode

# What native code asks instead of `interception`, in a third of the time. Where that says why, one of these says
# something else than False or 0, or there is a level of forward-mode derivatives, or torch.compile traces, which the
# caller asks. A stream's step asks the first ones only.
STREAM_INTERCEPTORS: list[Callable[[], object]] = [
    torch._C._are_functorch_transforms_active,
    torch._C._len_torch_dispatch_stack,
]
INTERCEPTORS = [*STREAM_INTERCEPTORS, torch._C._is_any_autocast_enabled, torch._C._is_tracing]


def interception(*, autocast: bool = False) -> str | None:
    """Say which mode, tracer or transform of torch's must intercept a call's operations, or None.

    With ``autocast`` torch's autocast may be on.
    """
    if transformed():
        return "a torch.func transform or forward-mode derivative is active, which the reference path alone serves"
    if not autocast and torch.is_autocast_enabled("cpu"):
        return "torch.autocast is on for the CPU"
    if _get_current_dispatch_mode() is not None:
        return "a TorchDispatchMode is active, which must see each operation"
    if torch._C._is_tracing():
        return "torch.jit.trace records the operations"
    return "torch.compile traces the call" if torch.compiler.is_compiling() else None


def transformed() -> bool:
    """Whether vmap, jvp or their kin, or forward-mode derivatives are at work."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def is_plain(value: Tensor) -> bool:
    """Whether a tensor is of torch's own classes, and on the CPU."""
    return type(value) in (Tensor, Parameter) and value.is_cpu


def own_types() -> AbstractContextManager[Any]:
    """Keep autocast out of a derivative, whose types are those of the forward run."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
