"""The state of a stream, all in one object, and the numbers of its rows."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.engine.paths.packed import FastStep
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, IndexRangeError

States = tuple[Tensor, ...]  # h [L, N, P] and, if there is a cell state, c [L, N, H]
Rows = Sequence[int] | Tensor | np.ndarray[Any, Any] | int | np.integer[Any]


class StreamState:
    """The state of a stream: its tensors, the steps taken, the rows that are free, and the quick step from here.

    It is replaced as a whole, so that a step interrupted by Ctrl-C leaves either the old or the new state.
    """

    __slots__ = ("_start", "free", "quick", "step", "tensors")

    def __init__(self, tensors: States, t: int, free: Iterable[int], quick: FastStep | None = None) -> None:
        self.tensors, self._start, self.free, self.quick = tensors, t, sorted(free), quick
        self.step = None if quick is None else quick.step

    @property
    def t(self) -> int:
        """The number of time steps taken; the quick step does its own counting."""
        return self._start + (0 if self.quick is None else self.quick.native.count)

    def become(self, tensors: States, t: int) -> None:
        """Copy the values of another state in place, so that the quick step remains valid."""
        for part, new in zip(self.tensors, tensors, strict=True):
            part.copy_(new)
        self._start = t - (0 if self.quick is None else self.quick.native.count)

    def copy(self) -> "StreamState":
        """Return an independent copy, without a quick step."""
        return StreamState(tuple(part.clone() for part in self.tensors), self.t, self.free)

    def check_in_use(self, rows: Iterable[int]) -> None:
        """Raise ArgumentError for rows that have left."""
        for row in sorted(set(rows).intersection(self.free)):
            raise ArgumentError(f"row {row} is not in use: it has already left; join() returns a free row")

    def begin_row(self, row: int, values: Sequence[Tensor | int]) -> None:
        """Take a row that is free, with these states."""
        for part, value in zip(self.tensors, values, strict=True):
            part[:, row] = value
        self.free = [other for other in self.free if other != row]

    def end_rows(self, index: Tensor, free: Sequence[int]) -> None:
        """Zero rows, and set which rows are free now."""
        for part in self.tensors:
            part.index_fill_(1, index, 0)
        self.free = sorted(free)

    def set_rows(self, index: Tensor, values: Sequence[Tensor | int]) -> None:
        """Set the states of rows."""
        for part, value in zip(self.tensors, values, strict=True):
            part[:, index] = value if isinstance(value, int) else value.to(part.dtype)


def list_rows(rows: Rows, batch: int) -> list[int]:
    """Return the rows as a list; reject repeated ones, and those that are not integers in 0..batch-1."""
    listed = [int(rows)] if isinstance(rows, (int, np.integer)) else _listed(rows)
    listed = [int(row) if isinstance(row, np.integer) else row for row in listed]  # a list made from an array
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
        values = rows.tolist()
        return values if isinstance(values, list) else [values]
    if isinstance(rows, Iterable) and not isinstance(rows, (str, bytes)):
        return list(rows)
    raise ArgumentTypeError(f"rows must be a list of integers, got {type(rows).__name__}")
