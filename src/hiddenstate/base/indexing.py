"""Indices of time steps, units and batch rows: all of them, one, a slice or a list."""

import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError

MOST_NAMED = 12  # maximum number of names listed in an error


@dataclass(frozen=True)
class DatedSteps:
    """Steps named by a date, several dates, or a slice of dates (last included); only a series model resolves them."""

    value: Any


_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}.*)?")
# Dates are texts such as "2015-01-01", dates of Python, NumPy or pandas; only for time steps.
Index = int | slice | Sequence[int] | Tensor | str | date | DatedSteps | None
PlainIndex = int | slice | range | tuple[int, ...] | None
FrozenIndex = PlainIndex | DatedSteps


def freeze(index: Index, name: str) -> FrozenIndex:
    """Convert any index to an immutable one; ``name`` is the argument's name in error messages.

    >>> freeze([0, 1, 2], "t")
    (0, 1, 2)
    """
    if index is None or isinstance(index, range | DatedSteps):
        return index
    if name == "t" and _is_dated(index):
        return DatedSteps(index)
    if isinstance(index, Tensor):
        check_dense(index, f"{name}=")
        check_memory(index, f"{name}=")
    try:
        return _whole_slice(index, name) if isinstance(index, slice) else _whole(index)
    except TypeError:
        pass
    try:
        if isinstance(index, Iterable):
            return tuple(_whole(k) for k in index)
    except TypeError:
        pass
    raise ArgumentTypeError(f"{name}= must be an int, a slice, a sequence of ints or None, got {shorten(index)}")


def _is_dated(index: object) -> bool:
    """Whether an index names steps by their dates."""
    if isinstance(index, slice):
        return any(_is_dated(end) for end in (index.start, index.stop))
    if isinstance(index, list | tuple):
        return bool(index) and all(_is_dated(part) for part in index)
    return _DATE.fullmatch(index) is not None if isinstance(index, str) else isinstance(index, date | np.datetime64)


def _whole_slice(index: slice, name: str) -> slice:
    if index.step is not None and _whole(index.step) == 0:
        raise ArgumentError(f"{name}={index} has step 0; use 1 or any other number")
    return slice(*(None if part is None else _whole(part) for part in (index.start, index.stop, index.step)))


def _whole(value: object) -> int:
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype.is_floating_point):
        raise TypeError
    if isinstance(value, Tensor) and (value.dim() or value.is_meta or str(value.dtype) == "torch.bool"):
        raise TypeError  # operator.index would accept a one-element tensor of any rank
    return operator.index(value)  # type: ignore[arg-type]


def undated(index: FrozenIndex, name: str) -> PlainIndex:
    """Return the index; raise ArgumentTypeError if it names steps by their dates."""
    if isinstance(index, DatedSteps):
        raise ArgumentTypeError(
            f"{name}={shorten(index.value)} is a date, which only a series model knows: give the edit to "
            "hs.what_if(model, frame, edit), or the number of the step here"
        )
    return index


def resolve(index: FrozenIndex, size: int, name: str) -> Sequence[int]:
    """Return the chosen positions in ``range(size)``, as a range if possible; negative ones count from the end.

    >>> resolve(slice(-2, None), 5, "t")
    range(3, 5)
    """
    index = undated(index, name)
    if index is None:
        return range(size)
    if isinstance(index, slice):
        return range(size)[index]
    if isinstance(index, int):
        if -size <= index < size:
            return [index % size]
        index = (index,)
    ends = (index[0], index[-1]) if isinstance(index, range) and index else index  # the ends of a range are enough
    for k in ends:
        if not -size <= k < size:
            allowed = f"it must be in 0..{size - 1}" if size else "nothing can be chosen"
            raise IndexRangeError(f"{name}={shorten(k)} is out of range: there are {size}, so {allowed}")
    if isinstance(index, range) and min(ends, default=0) >= 0:
        return index
    chosen = [k % size for k in index]
    if len(set(chosen)) < len(chosen):
        raise ArgumentError(f"{name}={shorten(chosen)} repeats a position; list each one only once")
    return chosen


def ascending(positions: Sequence[int]) -> Sequence[int]:
    """Return the positions in ascending order; a range stays a range.

    >>> ascending(range(4, 0, -2))
    range(2, 6, 2)
    """
    if isinstance(positions, range):
        return positions if positions.step > 0 else positions[::-1]
    return sorted(positions)


def count(positions: Sequence[int]) -> int:
    """Return the number of positions, even for ranges that are too long for `len`.

    >>> count(range(2**70))
    1180591620717411303424
    """
    if not isinstance(positions, range) or not positions:
        return len(positions)
    return (positions[-1] - positions[0]) // positions.step + 1


def resolve_one(index: object, size: int, name: str) -> int:
    """Return one position in ``range(size)``.

    >>> resolve_one(-1, 5, "t")
    4
    """
    try:
        position = _whole(index)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be one int, got {shorten(index)}") from None
    return resolve(position, size, name)[0]


def resolve_named(key: object, names: Sequence[str], what: str) -> int:
    """Return the position of a name, or of a number.

    >>> resolve_named("b", ["a", "b"], "row"), resolve_named(-1, ["a", "b"], "row")
    (1, 1)
    """
    if not isinstance(key, str):
        return resolve_one(key, len(names), what)
    if key not in names:
        known = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        raise NameUnknownError(f"there is no {what} {key!r}: expected one of {known}")
    return list(names).index(key)
