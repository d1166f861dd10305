"""Torch's private functions, all in one place, and what follows from them: whether torch must see each operation."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.utils._expanded_weights.expanded_weights_impl import ExpandedWeight
from torch.nn.utils.rnn import pad_packed_sequence
from torch.utils._python_dispatch import _disable_current_modes, _get_current_dispatch_mode

_functorch = torch._C._functorch

has_any_global_hook: Callable[[], bool] = _has_any_global_hook
PerSampleWeight = ExpandedWeight
without_modes = _disable_current_modes
is_tracing = torch._C._is_tracing
is_transformed = _functorch.is_functorch_wrapped_tensor
uses_onednn = torch._C._get_mkldnn_enabled
# A number for the backward pass that runs now, and whether it will run a node of the graph.
backward_pass = torch._C._current_graph_task_id
will_run = torch._C._will_engine_execute_node

# Functions that native code calls instead of `interception`, because they take a third of the time. Whenever
# `interception` returns a reason, one of these returns something other than False or 0, or a forward-mode level is
# open, or torch.compile is tracing, which the caller checks. A stream's step calls only the first ones.
STREAM_INTERCEPTORS: list[Callable[[], object]] = [
    torch._C._are_functorch_transforms_active,
    torch._C._len_torch_dispatch_stack,
]
FORWARD_LEVEL = forward_ad, "_current_level"  # where torch keeps the open level of forward mode; -1 for none
INTERCEPTORS = [*STREAM_INTERCEPTORS, torch._C._is_any_autocast_enabled, torch._C._is_tracing]


def interception(*, autocast: bool = False) -> str | None:
    """Return which mode, tracer or transform of torch must see a call's operations, which native code would hide."""
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
    """Return the active transform (torch.func's, or forward mode), if any; torch's own kernels don't support any."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "torch.func transforms or forward-mode derivatives are active, which only the reference path supports"
    return None


def is_plain(value: Tensor) -> bool:
    """Whether a tensor is on the CPU and is an instance of one of torch's own classes."""
    return type(value) in (Tensor, Parameter) and value.is_cpu


def own_types() -> AbstractContextManager[Any]:
    """Return a context manager in which autocast on the CPU is off, so that tensors keep their own types."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


def is_batched(value: Tensor) -> bool:
    """Whether `torch.vmap` runs over a tensor, which hides its values."""
    while _functorch.is_functorch_wrapped_tensor(value):
        if _functorch.is_batchedtensor(value):
            return True
        value = _functorch.get_unwrapped(value)
    return False


def overlaps_itself(value: Tensor) -> bool:
    """Whether two elements of a tensor share memory."""
    return bool(torch._debug_has_internal_overlap(value) == 1)


def keep_until_the_pass_ends(callback: Callable[[], None]) -> None:
    """Call a function when the backward pass that runs now ends; torch frees it, even if the pass fails."""
    torch.autograd.Variable._execution_engine.queue_callback(callback)


def remove_hooks(modules: Iterable[nn.Module], *functions: Callable[..., Any]) -> None:
    """Remove hooks by function, because Ctrl-C could strike between registering a hook and storing its handle."""
    for part in modules:
        for hooks, *marked in (
            (part._forward_hooks, part._forward_hooks_with_kwargs, part._forward_hooks_always_called),
            (part._forward_pre_hooks, part._forward_pre_hooks_with_kwargs),
        ):
            for number in [number for number, hook in hooks.items() if any(hook == function for function in functions)]:
                for numbers in marked:  # first: if this is interrupted and called again, the hook is still found
                    numbers.pop(number, None)
                del hooks[number]


def break_graphs_at_padding() -> None:
    """Break compiled graphs at pad_packed_sequence, which often follows an LSTM, as newer versions of torch do."""
    rules, variables = torch._dynamo.trace_rules, torch._dynamo.variables
    rules.get_torch_obj_rule_map()[pad_packed_sequence] = variables.SkipFunctionVariable
