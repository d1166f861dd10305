"""Checks that every face shares."""

import importlib
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, MissingDependencyError

State = tuple[Tensor, Tensor]  # hidden state and cell state


def check_tensor(value: object, name: str, like: Tensor) -> Tensor:
    """Return the value, or refuse it when it is no tensor of the type and on the device of ``like``, a weight.

    Raises:
        ArgumentTypeError, DtypeError, DeviceError: what is wrong, under the argument's name.
    """
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.dtype != like.dtype and not autocasts(like.device.type):
        raise DtypeError(
            f"{name} has dtype {value.dtype} and the weights have {like.dtype}: convert it with .to({like.dtype}), "
            f"or the LSTM with .to({value.dtype})"
        )
    if value.device != like.device:
        raise DeviceError(
            f"Input and parameter tensors are not at the same device: {name} is on {value.device}, the weights are on "
            f"{like.device}; move one of them with .to(...)"
        )
    return value


def autocasts(device: str) -> bool:
    """Whether torch's autocast is on for a kind of device."""
    return is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_lengths(lengths: Tensor | None, T: int) -> None:
    """Refuse lengths outside 0..T.

    Raises:
        ArgumentError: which they are.
    """
    if lengths is not None and lengths.numel() and (int(lengths.min()) < 0 or int(lengths.max()) > T):
        raise ArgumentError(f"lengths must be in 0..T = 0..{T}, got {lengths.tolist()}")


def check_pair(value: object, name: str) -> tuple[object, object]:
    """Return the two parts of a state, or refuse it when it is no pair.

    Raises:
        ArgumentTypeError: it is something else than a tuple or list of two.
    """
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value[0], value[1]
    got = f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__
    raise ArgumentTypeError(f"{name} must be a tuple of two tensors, hidden state and cell state, got {got}")


def optional_package(name: str, extra: str, purpose: str) -> Any:
    """Import a package that not everyone needs.

    Raises:
        MissingDependencyError: it is not installed; the message says which extra brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(f"{purpose} needs {name}: pip install 'hiddenstate[{extra}]'") from error
