"""The arrays that a stream is given, tensors or NumPy's, as tensors."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.validation import check_dense, check_memory, check_tensor
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, ShapeError

# A tensor or a NumPy array; results are of the kind that was given.
Array = TypeVar("Array", Tensor, "np.ndarray[Any, Any]")


def as_tensor(value: object, name: str, like: Tensor) -> Tensor:
    """The value as a tensor of the type and on the device of ``like``; an array's has its memory.

    Raises:
        ArgumentTypeError, DtypeError, DeviceError, ArgumentError: it can't be one.
    """
    return check_tensor(_from_numpy(value, name) if isinstance(value, np.ndarray) else value, name, like)


def _from_numpy(value: "np.ndarray[Any, Any]", name: str) -> Tensor:
    """The array as a tensor of the same memory; a copy of one that may not be written, which torch can't know.

    Raises:
        DtypeError, ArgumentError: torch has no such type, or its tensors no such strides.
    """
    if value.dtype.kind not in "fiub" or not value.dtype.isnative or value.dtype.itemsize > 8:
        raise DtypeError(
            f"{name} is a NumPy array of {value.dtype!r}, which torch does not have: convert it with "
            f"{name}.astype(np.float32), or to the type that the weights have"
        )
    if any(step < 0 or step % value.itemsize for step in value.strides):
        raise ArgumentError(
            f"{name} is a NumPy array of strides {value.strides}, expected multiples of its {value.itemsize} bytes, "
            f"and none negative: give np.ascontiguousarray({name})"
        )
    return torch.from_numpy(value if value.flags.writeable else value.copy())


def check_out(out: Array, x: Array, shape: tuple[int, ...], like: Tensor) -> None:
    """Refuse an array to write into that is not of x's kind, of a shape and of memory of its own.

    Raises:
        ArgumentTypeError, ShapeError, DtypeError, DeviceError, ArgumentError: which it is.
    """
    if isinstance(out, np.ndarray) != isinstance(x, np.ndarray):
        raise ArgumentTypeError(f"out is a {type(out).__name__} and x a {type(x).__name__}: give both of one kind")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ArgumentError("out is an array that may not be written: give one that may, np.empty(...) for example")
    given = as_tensor(out, "out", like)
    if given.shape != shape:
        raise ShapeError(f"out has shape {list(out.shape)}, expected {list(shape)}")
    if given.is_inference() and not torch.is_inference_mode_enabled():
        raise ArgumentError("out was made in inference mode, and is not written outside of it: make it outside")
    if given.requires_grad or torch._debug_has_internal_overlap(given) == 1:
        raise ArgumentError("out must be a tensor of its own memory that asks for no gradient: torch.empty(...), say")


def check_mask(mask: Tensor, rows: int, like: Tensor) -> None:
    """Refuse a mask that is no bool tensor ``[N]`` whose numbers can be read where ``like`` is.

    Raises:
        ArgumentTypeError, ShapeError, DtypeError, DeviceError: which it is.
    """
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool:
        raise ArgumentTypeError("mask must be a bool tensor [N]: True for the rows to reset")
    check_dense(mask, "mask")
    if mask.shape != (rows,):
        raise ShapeError(f"mask has shape {list(mask.shape)}, expected [N] = [{rows}]")
    check_memory(mask, "mask")
    if mask.is_meta and not like.is_meta:
        raise DeviceError("mask is on the meta device, which has no numbers: make it elsewhere")
