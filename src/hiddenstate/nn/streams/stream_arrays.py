"""Converts a stream's arguments, tensors or NumPy arrays, to tensors."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.torch_internals import overlaps_itself
from hiddenstate.base.validation import check_dense, check_memory, check_tensor
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, ShapeError

# A tensor or a NumPy array; results have the same kind as the input.
Array = TypeVar("Array", Tensor, "np.ndarray[Any, Any]")


def as_tensor(value: object, name: str, like: Tensor) -> Tensor:
    """Return the value as a tensor with the type and device of ``like``; a NumPy array shares its memory with it."""
    return check_tensor(_from_numpy(value, name) if isinstance(value, np.ndarray) else value, name, like)


def _from_numpy(value: "np.ndarray[Any, Any]", name: str) -> Tensor:
    """Return a tensor that shares the array's memory; a copy if it is read-only, which torch does not support."""
    if value.dtype.kind not in "fiub" or not value.dtype.isnative or value.dtype.itemsize > 8:
        raise DtypeError(
            f"{name} is a NumPy array of {value.dtype!r}, which torch does not have: convert it with "
            f"{name}.astype(np.float32), or to the type of the weights"
        )
    if any(step < 0 or step % value.itemsize for step in value.strides):
        raise ArgumentError(
            f"{name} is a NumPy array with strides {value.strides}, expected non-negative multiples of its "
            f"{value.itemsize} bytes: give np.ascontiguousarray({name})"
        )
    return torch.from_numpy(value if value.flags.writeable else value.copy())


def check_out(out: Array, x: Array, shape: tuple[int, ...], like: Tensor) -> None:
    """Reject an output array that is not of x's kind, has a wrong shape, or shares its own memory."""
    if isinstance(out, np.ndarray) != isinstance(x, np.ndarray):
        raise ArgumentTypeError(
            f"out is a {type(out).__name__} and x a {type(x).__name__}: give two tensors or two arrays"
        )
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ArgumentError("out is a read-only array: give a writable one, np.empty(...) for example")
    value = as_tensor(out, "out", like)
    if value.shape != shape:
        raise ShapeError(f"out has shape {list(out.shape)}, expected {list(shape)}")
    if value.is_inference() and not torch.is_inference_mode_enabled():
        raise ArgumentError("out was made in inference mode and cannot be written outside of it: create it outside")
    if value.requires_grad or overlaps_itself(value):
        raise ArgumentError(
            "out must be a tensor with no overlapping memory that requires no gradient, such as torch.empty(...)"
        )


def check_mask(mask: Tensor, rows: int, like: Tensor) -> None:
    """Reject a mask that is not a bool tensor ``[N]`` with values that can be read on the device of ``like``."""
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool:
        got, cure = type(mask).__name__, "torch.as_tensor(mask, dtype=torch.bool)"
        if isinstance(mask, Tensor):
            got, cure = str(mask.dtype), ".bool()"
        raise ArgumentTypeError(
            f"mask must be a bool tensor [N], True for the rows to reset, got {got}: convert it with {cure}, or "
            "numbers of rows with torch.isin(torch.arange(N), numbers)"
        )
    check_dense(mask, "mask")
    if mask.shape != (rows,):
        raise ShapeError(f"mask has shape {list(mask.shape)}, expected [N] = [{rows}]")
    check_memory(mask, "mask")
    if mask.is_meta and not like.is_meta:
        raise DeviceError("mask is on the meta device, which has no values: create it on another device")
