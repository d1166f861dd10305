"""Checks that every face shares."""

import importlib
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available
from torch.nn import Parameter

from hiddenstate.base.messages import shorten
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, MissingDependencyError

State = tuple[Tensor, Tensor]  # hidden state and cell state


def check_tensor(value: object, name: str, like: Tensor) -> Tensor:
    """Return the value, or refuse it when it is no tensor of the type and on the device of ``like``, a weight.

    Raises:
        ArgumentTypeError, DtypeError, DeviceError: what is wrong, under the argument's name.
    """
    found = check_plain_tensor(value, name)
    check_alike(found, name, like)
    return found


def check_plain_tensor(value: object, name: str) -> Tensor:
    """Return the value, or refuse it when it is no tensor whose numbers lie in memory one by one.

    Raises:
        ArgumentTypeError, DtypeError: what it is.
    """
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    check_dense(value, name)
    return value


def check_alike(value: Tensor, name: str, like: Tensor, *, takes_narrower: bool = False) -> None:
    """Refuse a tensor that is not of the type and on the device of ``like``, a weight; or whose memory was freed.

    With ``takes_narrower`` a narrower type of floating point will do.

    Raises:
        DtypeError, DeviceError: what is wrong.
    """
    fits = takes_narrower and torch.promote_types(value.dtype, like.dtype) == like.dtype
    if value.dtype != like.dtype and not (value.is_floating_point() and (fits or autocasts(like.device.type))):
        said = "RNN input" if name == "input" else name  # torch's words, which others' tests look for
        of = f" with .to({like.dtype})" if " " in name else f": {name}.to({like.dtype})"
        cure = f"Convert {name}{of}"
        raise DtypeError(
            f"{said} dtype ({value.dtype}) does not match weight dtype ({like.dtype}). {cure}"
            + (f", or convert model: model.to({value.dtype})" if value.is_floating_point() else "")
        )
    if value.device != like.device:
        raise DeviceError(
            f"Input and parameter tensors are not at the same device: {name} is on {value.device}, the weights are on "
            f"{like.device}; move one of them with .to(...)"
        )
    check_memory(value, name)


def check_dense(value: Tensor, name: str) -> None:
    """Refuse a tensor whose numbers do not lie in memory one by one: sparse, nested, quantised, of oneDNN's layout.

    Raises:
        DtypeError: it is one.
    """
    if value.is_nested:
        raise DtypeError(
            f"{name} is a nested tensor, expected a plain one: pad it (torch.nested.to_padded_tensor) and give lengths="
        )
    if value.layout is not torch.strided:
        raise DtypeError(f"{name} has the layout {value.layout}, expected torch.strided: convert it with .to_dense()")
    if value.is_quantized:
        raise DtypeError(f"{name} is quantized ({value.dtype}), expected plain numbers: convert it with .dequantize()")


def check_memory(value: Tensor, name: str) -> None:
    """Refuse a tensor whose storage was freed, or cut shorter than what the tensor reads of it.

    Raises:
        DtypeError: it was.
    """
    # Other classes have their own storage or none, as have tensors inside of transforms and compilers.
    if type(value) not in (Tensor, Parameter) or torch.compiler.is_compiling() or torch._C._is_tracing():
        return
    if torch._C._functorch.is_functorch_wrapped_tensor(value) or not value.numel() or value.layout is not torch.strided:
        return
    last = value.numel() - 1  # where its last number lies; where they have gaps, or are expanded, strides tell
    if not value.is_contiguous():
        last = sum((size - 1) * step for size, step in zip(value.shape, value.stride(), strict=True))
    there, read = value.untyped_storage().nbytes(), (value.storage_offset() + last + 1) * value.itemsize
    if there < read:
        raise DtypeError(
            f"{name} has shape {list(value.shape)}, and its memory was freed: its storage has {there:,} bytes, "
            f"{read:,} are read; give a tensor whose storage is whole"
        )


def autocasts(device: str) -> bool:
    """Whether torch's autocast is on for a kind of device."""
    return is_autocast_available(device) and torch.is_autocast_enabled(device)


def check_lengths(lengths: Tensor | None, T: int) -> None:
    """Refuse lengths outside 0..T.

    Raises:
        ArgumentError: which they are.
    """
    if lengths is not None and lengths.numel() and (int(lengths.min()) < 0 or int(lengths.max()) > T):
        raise ArgumentError(f"lengths must be in 0..T = 0..{T}, got {shorten(lengths.tolist())}")


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
