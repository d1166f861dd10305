"""Puts a module in eval mode for a block, creates a twin in eval mode, and keeps settings of torch out of a block."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.scoped import Block, lasting
from hiddenstate.base.validation import autocasts

M = TypeVar("M", bound=nn.Module)


def evaluating(module: nn.Module) -> Block:
    """Return a context manager in which a module is in eval mode; afterwards each submodule's mode is restored."""
    check_module_memory(module)
    modes = {part: part.training for part in module.modules()}
    return lasting(module.eval, partial(_put_back, modes))


def _put_back(modes: dict[nn.Module, bool]) -> None:
    for part, mode in modes.items():
        part.training = mode


def eval_twin(module: M) -> M:
    """Return a copy in eval mode with the same memory, detached; unregistered objects are shared."""
    return _make_twin(module, {})


def _make_twin(module: M, twins: dict[int, nn.Module]) -> M:
    if id(module) in twins:
        return twins[id(module)]  # type: ignore[return-value]
    twin = twins[id(module)] = object.__new__(type(module))  # __init__ would initialise parameters with random numbers
    vars(twin).update(vars(module))
    weights, parts = [*module._parameters.items()], [*module._modules.items()]
    vars(twin).update(
        training=False,
        _compiled_call_impl=None,  # the compiled call would call the original module
        _parameters={name: None if weight is None else weight.detach() for name, weight in weights},
        _modules={name: None if part is None else _make_twin(part, twins) for name, part in parts},
    )
    return twin


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Return a context manager in which torch's autocast is off for a device type."""
    return torch.autocast(device, enabled=False) if autocasts(device) else nullcontext()


@contextmanager
def types_of_the_weights() -> Iterator[None]:
    """Return a block, or decorator, in which autocast and the default device have no effect."""
    # Not torch.get_default_device(), which in torch 2.8 fails after set_default_device(None).
    is_elsewhere = torch.empty(0).device.type != "cpu"
    with without_autocast("cpu"), torch.device("cpu") if is_elsewhere else nullcontext():
        yield
