"""Converts arrays to the form that native code reads."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_runtime.shared.errors import ArgumentTypeError

Array = NDArray[np.float32]


def as_floats(value: ArrayLike, name: str) -> Array:
    """Return a contiguous float32 array of the same shape.

    Raises:
        ArgumentTypeError: the values are not real numbers.
    """
    try:
        given = np.asarray(value)
    except ValueError:  # lists of different lengths
        raise ArgumentTypeError(f"{name} must be an array of real numbers, got {value!r:.60}") from None
    if given.dtype.kind in "OSUcMm":
        raise ArgumentTypeError(f"{name} must be an array of real numbers, got dtype {given.dtype}")
    return np.asarray(given, dtype=np.float32, order="C")


def as_pair(value: Any, name: str) -> tuple[Array, Array]:
    """Return a state's h and c as arrays.

    Raises:
        ArgumentTypeError: it is not a pair of arrays.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ArgumentTypeError(f"{name} must be a pair (h, c), got {type(value).__name__}")
    return as_floats(value[0], f"h of {name}"), as_floats(value[1], f"c of {name}")
