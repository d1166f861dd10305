"""Checks shared by all public classes."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available
from torch.nn import Parameter

from hiddenstate.base.messages import shorten
from hiddenstate.base.torch_internals import is_tracing, is_transformed
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, MissingDependencyError

State = tuple[Tensor, Tensor]  # hidden state and cell state
AnyState = State | Tensor  # LSTM; GRU or plain RNN


def parts_of(state: AnyState | None) -> tuple[Tensor, ...]:
    """Return the tensors of a state, of any kind of cell; none of no state."""
    return tuple(state) if isinstance(state, tuple | list) else () if state is None else (state,)


def state_like(state: AnyState | None, parts: Sequence[Tensor]) -> Any:
    """Return tensors as a state of the form of another."""
    return tuple(parts) if isinstance(state, tuple | list) else parts[0] if parts else None


def map_state(function: Callable[[Tensor], Tensor], state: AnyState | None) -> Any:
    """Apply a function to each tensor of a state, of any kind of cell."""
    return state_like(state, [*map(function, parts_of(state))])


def check_tensor(value: object, name: str, like: Tensor) -> Tensor:
    """Return the value; reject anything but a tensor with the type and device of ``like``, a weight."""
    tensor = check_plain_tensor(value, name)
    check_alike(tensor, name, like)
    return tensor


def check_plain_tensor(value: object, name: str) -> Tensor:
    """Return the value; raise ArgumentTypeError or DtypeError for anything but a dense tensor."""
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    check_dense(value, name)
    return value


def check_alike(value: Tensor, name: str, like: Tensor, *, takes_narrower: bool = False) -> None:
    """Reject a tensor whose type (unless narrower is fine) or device is not ``like``'s, or whose memory is gone."""
    fits = takes_narrower and torch.promote_types(value.dtype, like.dtype) == like.dtype
    if value.dtype != like.dtype and not (value.is_floating_point() and (fits or autocasts(like.device.type))):
        shown = "RNN input" if name == "input" else name  # torch's wording, which tests in other projects match
        of = f" with .to({like.dtype})" if " " in name else f": {name}.to({like.dtype})"
        cure = f"Convert {name}{of}"
        raise DtypeError(
            f"{shown} dtype ({value.dtype}) does not match weight dtype ({like.dtype}). {cure}"
            + (f", or convert model: model.to({value.dtype})" if value.is_floating_point() else "")
        )
    if value.device != like.device:
        raise DeviceError(
            f"Input and parameter tensors are not at the same device: {name} is on {value.device}, the weights are on "
            f"{like.device}; move one of them with .to(...)"
        )
    check_memory(value, name)


def check_dense(value: Tensor, name: str) -> None:
    """Raise DtypeError for a tensor that is not dense: sparse, nested, quantised, or in oneDNN's layout."""
    if value.is_nested:
        raise DtypeError(
            f"{name} is a nested tensor, expected a plain one: pad it (torch.nested.to_padded_tensor) and give lengths="
        )
    if value.layout is not torch.strided:
        raise DtypeError(f"{name} has the layout {value.layout}, expected torch.strided: convert it with .to_dense()")
    if value.is_quantized:
        raise DtypeError(f"{name} is quantized ({value.dtype}), expected plain numbers: convert it with .dequantize()")


def check_memory(value: Tensor, name: str) -> None:
    """Raise DtypeError for a tensor whose storage was freed, or is too short for the tensor."""
    # Tensors of other classes, and those inside transforms and compilers, may have special storage or none.
    if type(value) not in (Tensor, Parameter) or torch.compiler.is_compiling() or is_tracing():
        return
    if is_transformed(value) or not value.numel() or value.layout is not torch.strided:
        return
    last = value.numel() - 1  # the offset of the last element; see below for strided tensors
    if not value.is_contiguous():
        last = sum((size - 1) * step for size, step in zip(value.shape, value.stride(), strict=True))
    there, read = value.untyped_storage().nbytes(), (value.storage_offset() + last + 1) * value.itemsize
    if there < read:
        raise DtypeError(
            f"{name} has shape {list(value.shape)}, and its memory was freed: its storage has {there:,} bytes, "
            f"but {read:,} are needed; give a tensor with complete storage"
        )


def autocasts(device: str) -> bool:
    """Whether torch's autocast is on for a device type."""
    return is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_lengths(lengths: Tensor | None, T: int) -> None:
    """Raise ArgumentError for lengths outside 0..T."""
    if lengths is not None and lengths.numel() and (int(lengths.min()) < 0 or int(lengths.max()) > T):
        raise ArgumentError(f"lengths must be in 0..T = 0..{T}, got {shorten(lengths.tolist())}")


def check_state(value: object, name: str, count: int) -> tuple[object, ...]:
    """Return the parts of a state: both of a pair, or the only one."""
    if count > 1:
        if isinstance(value, (tuple, list)) and len(value) == 2:
            return value[0], value[1]
        got = f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__
        raise ArgumentTypeError(f"{name} must be a tuple of two tensors, hidden state and cell state, got {got}")
    if isinstance(value, (tuple, list)):
        raise ArgumentTypeError(
            f"{name} must be a torch.Tensor, the hidden state, got a {type(value).__name__} of {len(value)}: only an "
            "LSTM has a cell state as well"
        )
    return (value,)


def optional_package(name: str, extra: str, purpose: str) -> Any:
    """Import an optional package, or raise MissingDependencyError, which names the extra that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(f"{purpose} needs {name}: pip install 'hiddenstate[{extra}]'") from error
