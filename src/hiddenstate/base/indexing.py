"""Ways of choosing time steps, units and batch rows: all of them, one, a slice, a list."""

import operator
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError

Index = int | slice | Sequence[int] | Tensor | None
FrozenIndex = int | slice | tuple[int, ...] | None


def freeze(index: Index, name: str) -> FrozenIndex:
    """Turn any way of choosing into an immutable one; ``name`` is the argument's, for the error.

    Raises:
        ArgumentTypeError: it is neither an int, a slice, a sequence of ints nor None.

    >>> freeze(range(3), "t")
    (0, 1, 2)
    """
    if index is None or isinstance(index, slice):
        return index
    try:
        return _whole(index)
    except TypeError:
        pass
    try:
        if isinstance(index, Iterable):
            return tuple(_whole(k) for k in index)
    except TypeError:
        pass
    raise ArgumentTypeError(f"{name}= must be an int, a slice, a sequence of ints or None, got {index!r}")


def _whole(value: object) -> int:
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype.is_floating_point):
        raise TypeError
    if isinstance(value, Tensor) and (value.dim() or str(value.dtype) == "torch.bool"):
        raise TypeError  # operator.index would take a tensor of one element, whatever its rank
    return operator.index(value)  # type: ignore[arg-type]


def resolve(index: FrozenIndex, size: int, name: str) -> list[int]:
    """Positions chosen out of ``range(size)``; negative ones count from the end.

    Raises:
        IndexRangeError: a position is out of range.
        ArgumentError: a position is chosen twice.

    >>> resolve(slice(-2, None), 5, "t")
    [3, 4]
    """
    if index is None:
        return list(range(size))
    if isinstance(index, slice):
        return list(range(size))[index]
    chosen = [index] if isinstance(index, int) else list(index)
    for k in chosen:
        if not -size <= k < size:
            allowed = f"it must be in 0..{size - 1}" if size else "nothing can be chosen"
            raise IndexRangeError(f"{name}={k} is out of range: there are {size}, so {allowed}")
    chosen = [k % size for k in chosen]
    if len(set(chosen)) < len(chosen):
        raise ArgumentError(f"{name}={list(chosen)} names a position twice; name each one once")
    return chosen


def resolve_one(index: object, size: int, name: str) -> int:
    """One position out of ``range(size)``.

    Raises:
        IndexRangeError: it is out of range.
        ArgumentTypeError: it is not one int.

    >>> resolve_one(-1, 5, "t")
    4
    """
    try:
        one = _whole(index)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be one int, got {index!r}") from None
    return resolve(one, size, name)[0]
