"""The rows of a stream: their numbers, and which of them are in use."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, IndexRangeError

Rows = Sequence[int] | Tensor | np.ndarray[Any, Any] | int | np.integer[Any]


def listed_rows(rows: Rows, batch: int) -> list[int]:
    """Return the rows as a list, without repetition and in 0..batch-1.

    Raises:
        ArgumentTypeError: they are not integers.
        IndexRangeError: the stream has no such row.
        ArgumentError: a row is named twice.
    """
    listed = [int(rows)] if isinstance(rows, (int, np.integer)) else [_plain(row) for row in _listed(rows)]
    if not all(type(row) is int for row in listed):
        kinds = sorted({type(row).__name__ for row in listed} - {"int"})
        raise ArgumentTypeError(f"rows must be integers, got {', '.join(kinds)}")
    for row in listed:
        if not 0 <= row < batch:
            raise IndexRangeError(f"this stream has rows 0 to {batch - 1}, but rows names {shorten(row)}")
    if len(set(listed)) < len(listed):
        twice = next(row for row in listed if listed.count(row) > 1)
        raise ArgumentError(f"rows names row {twice} twice: each row takes one step at a time")
    return listed


def _plain(row: Any) -> Any:
    """Convert NumPy's integers, which a list made from an array contains, to Python's."""
    return int(row) if isinstance(row, np.integer) else row


def _listed(rows: object) -> list[Any]:
    if isinstance(rows, Tensor):
        check_dense(rows, "rows")
        if rows.is_meta:
            raise DeviceError("rows is on the meta device, which has no values: create it on another device")
        check_memory(rows, "rows")
    if isinstance(rows, (Tensor, np.ndarray)):
        kind = rows.dtype.kind if isinstance(rows, np.ndarray) else "f" if rows.is_floating_point() else "i"
        if rows.ndim > 1 or kind not in "iu" or rows.dtype is torch.bool:
            raise ArgumentTypeError(
                f"rows must be one-dimensional integers, got {rows.dtype} of shape {list(rows.shape)}"
            )
        found = rows.tolist()
        return found if isinstance(found, list) else [found]
    if isinstance(rows, Iterable) and not isinstance(rows, (str, bytes)):
        return list(rows)
    raise ArgumentTypeError(f"rows must be a list of integers, got {type(rows).__name__}")


class RowsInUse:
    """Which rows of a stream are in use; rows that have left are reused, the lowest first."""

    def __init__(self, free: Iterable[int] = ()) -> None:
        self._free = sorted(free)

    @property
    def free(self) -> list[int]:
        """The rows that are not in use, in order."""
        return self._free

    def copy(self) -> "RowsInUse":
        """Return an independent copy."""
        return RowsInUse(self._free)

    def in_use(self, batch: int) -> tuple[int, ...]:
        """Return the rows in use."""
        free = set(self._free)
        return tuple(row for row in range(batch) if row not in free)

    def check(self, rows: Iterable[int]) -> None:
        """Raise ArgumentError for rows that have left."""
        for row in sorted(set(rows).intersection(self._free)):
            raise ArgumentError(f"row {row} is not in use: it has already left; join() returns a free row")

    def take(self, row: int) -> None:
        """Take a row, if it is free."""
        self._free = [free for free in self._free if free != row]

    def without(self, rows: Iterable[int]) -> "RowsInUse":
        """Return a copy in which more rows are free; raise ArgumentError if one of them has already left."""
        gone = set(rows)
        self.check(gone)
        return RowsInUse([*self._free, *gone])
