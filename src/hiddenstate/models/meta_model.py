"""A model without memory: how large it would be, before it is made."""

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
    """Make a model whose weights have shapes and no memory."""
    with torch.device("meta"), _Undrawn():
        return make()


def made_if_it_fits(make: Callable[[], M]) -> M:
    """Make a model, once it is known that this machine has the memory for its weights.

    Raises:
        ArgumentError: it has not.
    """
    try:
        outline = make_meta_model(make)
    except HiddenStateError:
        raise
    except (OverflowError, RuntimeError, TypeError) as error:  # torch's word for sizes beyond all numbers
        raise ArgumentError(f"a model of these sizes can't be made: {str(error).splitlines()[0]}") from error
    size, memory = sum(weight.nbytes for weight in outline.parameters()), _memory()
    if size > memory:
        raise ArgumentError(
            f"a model of these sizes has {size:,} bytes of weights, and this machine {memory:,} of memory: choose "
            "smaller ones"
        )
    return make()


def _memory() -> int:
    """Bytes that this machine has, or any number where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**63


class _Undrawn(TorchFunctionMode):
    """Inside, nothing is drawn from a normal distribution: without memory, that alone takes torch a second at first."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        return given["tensor"] if func is nn.init.normal_ else func(*args, **given)
