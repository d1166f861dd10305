"""Converts arrays of other packages to tensors and back: NumPy, JAX, ml_dtypes' bfloat16."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.validation import check_memory
from hiddenstate.errors import ArgumentTypeError, MissingDependencyError

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]


def to_tensor(value: object, name: str) -> Tensor:
    """Return an array of any package as a tensor of the same type; tensors are returned unchanged.

    Raises:
        ArgumentTypeError: the value is not an array of numbers.
        DtypeError: it is a tensor whose memory was freed.
    """
    if isinstance(value, Tensor):
        check_memory(value, name)
        return value.detach()
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":  # ml_dtypes' type, which torch cannot read
        return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"{name} must be an array of numbers, got {type(value).__name__} of type {array.dtype}")
    # A copy: torch accepts neither read-only arrays nor foreign byte orders.
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True))


def to_array(tensor: Tensor) -> "Array":
    """Copy a tensor to a NumPy array of the same type.

    Raises:
        MissingDependencyError: the tensor is bfloat16, which NumPy supports only with ml_dtypes.
        DtypeError: the tensor's memory was freed.
    """
    check_memory(tensor, "a weight")
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is not torch.bfloat16:
        return np.array(tensor.numpy())
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingDependencyError("NumPy has no bfloat16 without ml_dtypes: pip install ml_dtypes") from error
    return np.array(tensor.view(torch.uint16).numpy()).view(ml_dtypes.bfloat16)
