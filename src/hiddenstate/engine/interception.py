"""Detects torch modes, tracers and transforms that must see each operation of a call, which native code would hide."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.utils._python_dispatch import _get_current_dispatch_mode

# Functions that native code calls instead of `interception`, because they take a third of the time. Whenever
# `interception` returns a reason, one of these returns something other than False or 0, or a forward-mode level is
# open, or torch.compile is tracing, which the caller checks. A stream's step calls only the first ones.
STREAM_INTERCEPTORS: list[Callable[[], object]] = [
    torch._C._are_functorch_transforms_active,
    torch._C._len_torch_dispatch_stack,
]
INTERCEPTORS = [*STREAM_INTERCEPTORS, torch._C._is_any_autocast_enabled, torch._C._is_tracing]


def interception(*, autocast: bool = False) -> str | None:
    """Return which torch mode, tracer or transform must intercept a call's operations, or None.

    With ``autocast``, torch's autocast is allowed.
    """
    why = active_transform()
    if why is not None:
        return why
    if not autocast and torch.is_autocast_enabled("cpu"):
        return "torch.autocast is on for the CPU"
    if _get_current_dispatch_mode() is not None:
        return "a TorchDispatchMode is active, which must see each operation"
    if torch._C._is_tracing():
        return "torch.jit.trace records the operations"
    return "torch.compile traces the call" if torch.compiler.is_compiling() else None


def active_transform() -> str | None:
    """Return which transform is active, or None; neither native code nor torch's kernels support transforms.

    Transforms are those of torch.func, such as vmap, and forward-mode differentiation.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "torch.func transforms or forward-mode derivatives are active, which only the reference path supports"
    return None


def is_plain(value: Tensor) -> bool:
    """Whether a tensor is on the CPU and is an instance of one of torch's own classes."""
    return type(value) in (Tensor, Parameter) and value.is_cpu


def why_not_plain(value: Tensor) -> str | None:
    """Return why a tensor is not plain, or None."""
    if is_plain(value):
        return None
    return f"a tensor is a {type(value).__name__} on {value.device}, not one of torch's own on the CPU"


def own_types() -> AbstractContextManager[Any]:
    """Disable autocast in the backward pass, which uses the types of the forward pass."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
