"""Makes models on the meta device, to determine their size before they take memory."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hiddenstate.errors import ArgumentError, HiddenStateError

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


def make_meta_model(make: Callable[[], T]) -> T:
    """Make a model whose weights have shapes but no memory."""
    with torch.device("meta"), _Undrawn():
        return make()


def made_if_it_fits(make: Callable[[], M]) -> M:
    """Make a model, after checking that this machine has enough memory for its weights.

    Raises:
        ArgumentError: the machine does not have enough memory.
    """
    try:
        outline = make_meta_model(make)
    except HiddenStateError:
        raise
    except (OverflowError, RuntimeError, TypeError) as error:  # torch raises these for sizes that overflow
        raise ArgumentError(f"a model of these sizes can't be made: {str(error).splitlines()[0]}") from error
    size, memory = sum(weight.nbytes for weight in outline.parameters()), _memory()
    if size > memory:
        raise ArgumentError(
            f"a model of these sizes has {size:,} bytes of weights, but this machine has {memory:,} bytes of memory: "
            "choose smaller sizes"
        )
    return make()


def _memory() -> int:
    """Return the memory of this machine in bytes, or a huge number if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**63


class _Undrawn(TorchFunctionMode):
    """Skips normal initialisation in the block, because torch's first draw on the meta device takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        return given["tensor"] if func is nn.init.normal_ else func(*args, **given)
