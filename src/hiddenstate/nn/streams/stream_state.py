"""The state of a stream, all in one object; rows that come and go, which all streams have; and their numbers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.base.scoped import Block, lasting, to_the_end
from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.engine.paths.packed import SHARED, FastStep
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ConcurrentUseError, DeviceError, IndexRangeError
from hiddenstate.nn.streams import stream_file
from hiddenstate.nn.streams.stream_arrays import check_mask

# The rows are the second axis of every part: h [L, N, P] and, if there is a cell state, c [L, N, H].
States = tuple[Tensor, ...]
Rows = Sequence[int] | Tensor | np.ndarray[Any, Any] | int | np.integer[Any]
B = TypeVar("B", bound="RowStream")


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

    def set_rows(self, index: Tensor, values: Sequence[Tensor | int], t: int | None = None) -> None:
        """Set the states of rows, and the number of time steps."""
        for part, value in zip(self.tensors, values, strict=True):
            part[:, index] = value if isinstance(value, int) else value.to(part.dtype)
        self._start = self._start if t is None else t


class RowStream(ABC):
    """What the streams of layers and of whole modules have in common: rows that come and go, and one user at a time."""

    _now: StreamState
    _turn: dict[str, object]  # the current holder; setting and removing it are atomic, so no holder is left behind

    @property
    @abstractmethod
    def _file_kind(self) -> str:
        """What the states belong to, as a file records it."""

    @abstractmethod
    def _keep(self, *state: Tensor, t: int | None = None, free: Sequence[int] | None = None) -> None:
        """Replace the states, and the number of steps and the free rows if they are given."""

    @abstractmethod
    def _zeros(self, batch: int) -> States:
        """Return zero states for this many rows."""

    @abstractmethod
    def _checked_state(self, value: Any, n: int | None, name: str = "state") -> States:
        """Check a state of n rows, or of one row without an axis of rows if n is None."""

    @abstractmethod
    def _begin(self, to: Any, n: int) -> States:
        """Return the state that n rows are reset to, ``[L, n, units]``, or ``[L, 1, units]`` for all of them."""

    @abstractmethod
    def _named(self) -> dict[str, Tensor]:
        """Return the states by the names that they have in a file."""

    @abstractmethod
    def _fingerprint(self) -> str:
        """Return a fingerprint of the weights."""

    @abstractmethod
    def _check_weights_again(self) -> None:
        """Also notice writes to weights that torch's version counters miss."""

    @abstractmethod
    def _like(self) -> Tensor:
        """Return a tensor with the type and device of the input."""

    @property
    def batch(self) -> int:
        """The number of sequences that run side by side, N."""
        return self._state[0].shape[1]

    @property
    def t(self) -> int:
        """The number of time steps since the stream was created or last reset as a whole."""
        return self._now.t

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows in use: all except those released by `leave`."""
        free = set(self._now.free)
        return tuple(row for row in range(self.batch) if row not in free)

    @property
    def _state(self) -> States:
        return self._now.tensors

    def join(self, state: Any = None) -> int:
        """Take a row for a new sequence, which starts from zero or from ``state``, and return its number.

        A released row is reused. If there is none, the stream doubles its ``batch``; existing rows keep their numbers.

        Args:
            state: the state of one row, as `state_of` returns it.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: the state does not fit.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        begins: tuple[Tensor | int, ...] = self._zero if state is None else self._checked_state(state, None)
        with self._alone():
            if not self._now.free:
                self._widen(2 * self.batch)
            self._to_write()
            row = self._now.free[0]
            to_the_end(partial(self._now.begin_row, row, begins))
            return row

    def leave(self, rows: Rows) -> None:
        """Release rows whose sequences have ended; their states are zeroed.

        Raises:
            ArgumentTypeError, IndexRangeError, ArgumentError: a row does not exist, or has already left.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        index = self._index(rows)
        with self._alone():
            left = index.tolist()
            self._now.check_in_use(left)
            self._to_write()
            to_the_end(partial(self._now.end_rows, index, [*self._now.free, *left]))

    def reset(self, mask: Tensor | None = None, *, rows: Rows | None = None, to: Any = None) -> None:
        """Zero the state, or set it to ``to``: for all rows, for those where the mask is True, or for some ``rows``.

        If neither a mask nor rows are given, the step count ``t`` is also reset.

        Args:
            mask: bool ``[N]``.
            rows: one or more row numbers.
            to: a state instead of zero, as `state_of` returns it: one for all these rows, without an axis of rows (h
                ``[L, P]`` and c ``[L, H]``); or one for each of the ``rows``, or for all N with a mask (h ``[L, n, P]``
                and c ``[L, n, H]``).

        Raises:
            ArgumentTypeError, ShapeError: the mask is not a bool tensor of shape ``[N]``.
            ArgumentTypeError, IndexRangeError, ArgumentError: a row does not exist or has left, or both a mask and rows
                were given.
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: the state does not fit.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        if mask is not None and rows is not None:
            raise ArgumentError("reset() takes either a mask or rows=, got both: give one of them")
        index = None if rows is None else self._index(rows)
        if mask is not None:
            check_mask(mask, self.batch, self._like())
        begin: tuple[Tensor | int, ...] = self._zero
        if to is not None:
            begin = self._begin(to, self.batch if index is None else len(index))
        with self._alone():
            if index is not None:
                self._to_write()
                to_the_end(partial(self._now.set_rows, index, begin))
            elif mask is not None:
                begins = mask.to(self._like().device)
                axes = [(1, -1, *[1] * (part.dim() - 2)) for part in self._state]
                parts = zip(begin, self._state, axes, strict=True)
                self._keep(*(torch.where(begins.view(shape), new, part).to(part.dtype) for new, part, shape in parts))
            else:
                self._check_weights_again()
                zeros = self._zeros(self.batch)
                for part, new in zip(zeros, begin, strict=True):
                    part[:] = new
                self._keep(*zeros, t=0)

    def fork(self: B) -> B:
        """Return a second stream that continues from this one's state; from then on, the two are independent."""
        other = type(self).__new__(type(self))
        with self._alone():
            other.__dict__.update(self.__dict__, _now=self._now.copy(), _turn={})
        return other

    def save(self, path: str | Path) -> None:
        """Write the states and the step count to a safetensors file, atomically, with a fingerprint of the weights.

        Raises:
            FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        with self._alone():
            state = {name: part.clone() for name, part in self._named().items()}
            saved = stream_file.SavedStream(state, self.t, self._file_kind, self._fingerprint())
        stream_file.save(path, saved)

    def _index(self, rows: Rows) -> Tensor:
        """Return the rows as an index on the state's device; reject rows that do not exist or have left."""
        listed = list_rows(rows, self.batch)
        self._now.check_in_use(listed)
        return torch.tensor(listed, dtype=torch.int64, device=self._state[0].device)

    @property
    def _zero(self) -> tuple[int, ...]:
        """The initial value of a row's states."""
        return (0,) * len(self._state)

    def _to_write(self) -> None:
        """Copy a state that was made in inference mode, since torch does not let it be written outside of that mode."""
        if not torch.is_inference_mode_enabled() and any(part.is_inference() for part in self._state):
            self._keep(*(part.clone() for part in self._state))

    def _widen(self, batch: int) -> None:
        before = self.batch
        state = [new.to(old.dtype) for new, old in zip(self._zeros(batch), self._state, strict=True)]
        for new, old in zip(state, self._state, strict=True):
            new[:, :before] = old
        self._keep(*state, free=[*self._now.free, *range(before, batch)])

    def _alone(self) -> Block:
        """Return a context manager that only one thread can enter at a time."""
        mine = object()
        return lasting(partial(self._take_turn, mine), partial(self._end_turn, mine))

    def _take_turn(self, mine: object) -> None:
        is_mine, quick = self._turn.setdefault("holder", mine) is mine, self._now.quick
        if not is_mine or (quick is not None and quick.native.running):
            raise ConcurrentUseError(SHARED)

    def _end_turn(self, mine: object) -> None:
        if self._turn.get("holder") is mine:
            self._turn.clear()


def new_states(forms: Iterable[tuple[Sequence[int], torch.dtype]], device: torch.device, batch: int) -> States:
    """Return zero states of these shapes and types; raise ArgumentError if there is no memory for them."""
    forms = list(forms)
    nbytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in forms)
    try:
        if nbytes >= 2**63:
            raise MemoryError("no tensor can have that many bytes")
        return tuple(torch.zeros(shape, dtype=dtype, device=device) for shape, dtype in forms)
    except (RuntimeError, MemoryError) as error:
        raise ArgumentError(
            f"the state of a stream with batch={shorten(batch)} takes {shorten(nbytes)} bytes, more than the "
            "available memory: use a smaller batch"
        ) from error


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
