"""The state of a stream: its rows, outside access, and the lock that admits one thread at a time."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import shorten
from hiddenstate.base.scoped import Block, lasting, to_the_end
from hiddenstate.base.validation import check_dense, check_memory, check_state, check_tensor
from hiddenstate.engine.call import PathReport
from hiddenstate.engine.kernels import real_type
from hiddenstate.engine.paths.packed import SHARED, FastStep
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    ConcurrentUseError,
    DeviceError,
    DtypeError,
    FileFormatError,
    IndexRangeError,
    ShapeError,
)
from hiddenstate.nn.streams import stream_file
from hiddenstate.nn.streams.stream_arrays import check_mask
from hiddenstate.structure.names import AxisOrder
from hiddenstate.structure.sizes import Sizes

States = tuple[Tensor, ...]  # h [L, N, P] and, if there is a cell state, c [L, N, H]


class Runner(Protocol):
    """Runs the next steps of a stream: `hiddenstate.nn.streams.stream_runner.StreamRunner`."""

    def run(self, x: Tensor, state: States, start: int) -> tuple[Tensor, States]:
        """Read ``x [T, N, C]``, whose first step is the stream's step ``start``; return ``out`` and the new state."""

    def path(self, x: Tensor, state: States, start: int) -> PathReport:
        """Report the path of these steps, and the reasons against the faster ones."""

    def quick(self, state: States, now: FastStep | None, turn: dict[str, object]) -> FastStep | None:
        """Return the quick step from a state, or None if it is not possible."""

    def weights(self) -> dict[str, Tensor]:
        """The current weights by name."""

    def fingerprint(self) -> str:
        """A hash of the weights."""

    def check_again(self) -> None:
        """Check the weights again at the next step, also for writes that torch's version counters miss."""


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


class Moment:
    """The state of a stream, all in one object.

    It is replaced as a whole, so that a step interrupted by Ctrl-C leaves either the old or the new state.
    """

    __slots__ = ("_start", "quick", "rows", "state", "step")

    def __init__(self, state: States, t: int, rows: RowsInUse, quick: FastStep | None = None) -> None:
        self.state, self._start, self.rows, self.quick = state, t, rows, quick
        self.step = None if quick is None else quick.step

    @property
    def t(self) -> int:
        """The number of time steps taken; the quick step does its own counting."""
        return self._start + (0 if self.quick is None else self.quick.native.count)

    def become(self, state: States, t: int) -> None:
        """Copy the values of another state in place, so that the quick step remains valid."""
        for part, new in zip(self.state, state, strict=True):
            part.copy_(new)
        self._start = t - (0 if self.quick is None else self.quick.native.count)


class StreamState:
    """The state ``h [L, N, P]``, ``c [L, N, H]`` of a running layer; base class of `hiddenstate.Stream`.

    Only an LSTM has c: for a GRU or RNN, read every pair below as only h.
    """

    def __init__(
        self, runner: Runner, sizes: Sizes, batch: int, like: Callable[[], Tensor], layout: AxisOrder = "TN"
    ) -> None:
        """``like`` returns a weight, whose type and device inputs must have.

        Raises:
            ArgumentTypeError, ArgumentError: the batch is invalid, or the layer is bidirectional.
        """
        if isinstance(batch, bool) or not isinstance(batch, int):
            raise ArgumentTypeError(f"batch must be an int, got {type(batch).__name__}")
        if batch < 1:
            raise ArgumentError(f"batch must be at least 1, got {shorten(batch)}")
        if sizes.bidirectional:
            raise ArgumentError(
                f"a bidirectional {sizes.kind.label} can't be streamed: its reverse direction begins at the last step, "
                "which has not come yet. Use bidirectional=False"
            )
        self._runner = runner
        self._sizes = sizes
        self._like = like
        self._layout = layout
        # The current holder of the stream. Setting and removing the entry are atomic, so no entry is left behind.
        self._turn: dict[str, object] = {}
        self._keep(*self._zeros(batch), t=0, rows=RowsInUse())

    @property
    def batch(self) -> int:
        """The number of sequences that run side by side, N."""
        return self._state[0].shape[1]

    @property
    def _state(self) -> States:
        return self._now.state

    @property
    def _zero(self) -> tuple[int, ...]:
        """The initial value of a row's states."""
        return (0,) * len(self._state)

    @property
    def _rows(self) -> RowsInUse:
        return self._now.rows

    @property
    def _quick(self) -> FastStep | None:
        return self._now.quick

    @property
    def sizes(self) -> Sizes:
        """The sizes of the layer that runs."""
        return self._sizes

    @property
    def layout(self) -> AxisOrder:
        """The order of a chunk's axes: ``"TN"``, or ``"NT"`` if the LSTM is ``batch_first``."""
        return self._layout

    def weights(self) -> dict[str, Tensor]:
        """The weights of the layer that runs, under torch's names."""
        return self._runner.weights()

    @property
    def t(self) -> int:
        """The number of time steps since the stream was created or last reset as a whole."""
        return self._now.t

    @property
    def state(self) -> Any:
        """Copies of ``h [L, N, P]`` and ``c [L, N, H]``; assign a pair of such tensors to continue from it.

        A bfloat16 stream on CPU keeps c in float32. It is rounded to bfloat16 here, but not in `fork` and `save`.
        Either type may be assigned.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: on assignment, the state does not fit.
        """
        with self._alone():
            dtype = self._state[0].dtype
            return self._sizes.kind.as_given([part.to(dtype, copy=True) for part in self._state])

    @state.setter
    def state(self, value: Any) -> None:
        self._set_state(value, None)

    def _set_state(self, value: object, t: int | None) -> None:
        h, *more = self._checked_state(value, self.batch)
        with self._alone():
            self._keep(h.to(self._like().dtype, copy=True), *(c.clone() for c in more), t=t)

    def _checked_state(self, value: object, n: int | None, said: str = "state") -> States:
        """Check a state of n rows, ``[L, n, units]``, or of one row, ``[L, units]``, if n is None."""
        names = self._sizes.kind.carried
        given, like = check_state(value, said, len(names)), self._like()
        likes = (like, *(self._like_c(part) for part in given[1:]))
        state = tuple(check_tensor(*each) for each in zip(given, names, likes, strict=True))
        for name, part, (L, _, units) in zip(names, state, self._state_shapes(n or 1), strict=True):
            form, want = ("[L, units]", (L, units)) if n is None else ("[L, N, units]", (L, n, units))
            if part.shape != want:
                raise ShapeError(f"{name} has shape {list(part.shape)}, expected {form} = {list(want)}")
        return tuple(part.detach() for part in state)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows in use: all except those released by `leave`."""
        return self._rows.in_use(self.batch)

    def join(self, state: Any = None) -> int:
        """Take a row for a new sequence, which starts from zero or from ``state``, and return its number.

        A released row is reused. If there is none, the stream doubles its ``batch``; existing rows keep their numbers.

        Args:
            state: ``h [L, P]`` and ``c [L, H]``.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: the state does not fit.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        begins: tuple[Tensor | int, ...] = self._zero if state is None else self._checked_state(state, None)
        with self._alone():
            if not self._rows.free:
                self._widen(2 * self.batch)
            self._to_write()
            row = self._rows.free[0]
            to_the_end(partial(self._begin_row, row, begins))
            return row

    def _begin_row(self, row: int, begins: Sequence[Tensor | int]) -> None:
        for part, begin in zip(self._state, begins, strict=True):
            part[:, row] = begin
        self._rows.take(row)

    def leave(self, rows: Rows) -> None:
        """Release rows whose sequences have ended; their states are zeroed.

        Raises:
            ArgumentTypeError, IndexRangeError, ArgumentError: a row does not exist, or has already left.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        index = self._index(rows)
        with self._alone():
            left = self._rows.without(index.tolist())
            self._to_write()
            to_the_end(partial(self._end_rows, index, left))

    def _end_rows(self, index: Tensor, rows: RowsInUse) -> None:
        for part in self._state:
            part.index_fill_(1, index, 0)
        self._now.rows = rows

    def state_of(self, rows: Rows) -> Any:
        """Return copies of the states of rows: ``h [L, n, P]`` and ``c [L, n, H]``; ``[L, P]``, ``[L, H]`` for an int.

        Raises:
            ArgumentTypeError, IndexRangeError, ArgumentError: the stream has no such rows.
        """
        index = self._index(rows)
        with self._alone():
            parts = [part.index_select(1, index) for part in self._state]
        parts = [part.to(parts[0].dtype) for part in parts]
        return self._sizes.kind.as_given([part[:, 0] for part in parts] if isinstance(rows, int) else parts)

    def _index(self, rows: Rows) -> Tensor:
        """Return the rows as an index on the state's device; reject rows that do not exist or have left."""
        listed = listed_rows(rows, self.batch)
        self._rows.check(listed)
        return torch.tensor(listed, dtype=torch.int64, device=self._state[0].device)

    def _to_write(self) -> None:
        """Copy a state that was made in inference mode, since torch does not let it be written outside of that mode."""
        if not torch.is_inference_mode_enabled() and any(part.is_inference() for part in self._state):
            self._keep(*(part.clone() for part in self._state))

    def _widen(self, batch: int) -> None:
        before = self.batch
        state = [new.to(old.dtype) for new, old in zip(self._zeros(batch), self._state, strict=True)]
        for new, old in zip(state, self._state, strict=True):
            new[:, :before] = old
        self._keep(*state, rows=self._rows.without(range(before, batch)))

    def _alone(self) -> Block:
        """Return a context manager that only one thread can enter at a time."""
        mine = object()
        return lasting(partial(self._take_turn, mine), partial(self._end_turn, mine))

    def _take_turn(self, mine: object) -> None:
        is_mine, quick = self._turn.setdefault("holder", mine) is mine, self._quick
        if not is_mine or (quick is not None and quick.native.running):
            raise ConcurrentUseError(SHARED)

    def _end_turn(self, mine: object) -> None:
        if self._turn.get("holder") is mine:
            self._turn.clear()

    def _keep(self, h: Tensor, *more: Tensor, t: int | None = None, rows: RowsInUse | None = None) -> None:
        state = h.contiguous(), *(c.to(real_type(h.dtype)).contiguous() for c in more)
        self._now = Moment(state, self.t if t is None else t, self._rows if rows is None else rows)

    def _advance(self, state: States, t: int) -> None:
        now = self._now
        types = [part.dtype for part in now.state], [part.dtype for part in state]
        if now.quick is None or types[0] != types[1] or any(part.is_inference() for part in now.state):
            self._keep(*state, t=t)
        else:
            to_the_end(partial(now.become, state, t))

    def _find_quick(self) -> None:
        now = self._now
        quick = self._runner.quick(now.state, now.quick, self._turn)
        if quick is not now.quick:
            self._now = Moment(now.state, now.t, now.rows, quick)

    def _like_c(self, c: object) -> Tensor:
        """Return a tensor with the type that a cell state must have: the weights' type, or the stored one."""
        like = self._like()
        kept = real_type(like.dtype)
        return like.new_empty(0, dtype=kept) if isinstance(c, Tensor) and c.dtype is kept else like

    def _check_state(self) -> None:
        like, state = self._like(), self._state[0]
        if (state.dtype, state.device) != (like.dtype, like.device):
            raise DtypeError(
                f"the {self._sizes.kind.label} went from {state.dtype} on {state.device} to {like.dtype} on "
                f"{like.device} while this stream ran: reset() the stream, or assign its state again"
            )

    def reset(self, mask: Tensor | None = None, *, rows: Rows | None = None, to: Any = None) -> None:
        """Zero the state, or set it to ``to``: for all rows, for those where the mask is True, or for some ``rows``.

        If neither a mask nor rows are given, the step count ``t`` is also reset.

        Args:
            mask: bool ``[N]``.
            rows: one or more row numbers.
            to: ``(h, c)`` instead of zero: one state for all these rows, h ``[L, P]`` and c ``[L, H]``; or one for each
                row, h ``[L, n, P]`` and c ``[L, n, H]``, where n is the number of ``rows``, or N with a mask.

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
                to_the_end(partial(self._set_rows, index, begin))
            elif mask is not None:
                begins = mask.to(self._like().device)[:, None]
                self._keep(*(torch.where(begins, new, part) for new, part in zip(begin, self._state, strict=True)))
            else:
                self._runner.check_again()
                zeros = self._zeros(self.batch)
                for part, new in zip(zeros, begin, strict=True):
                    part[:] = new
                self._keep(*zeros, t=0)

    def _set_rows(self, index: Tensor, begin: Sequence[Tensor | int]) -> None:
        for part, new in zip(self._state, begin, strict=True):
            part[:, index] = new if isinstance(new, int) else new.to(part.dtype)

    def _begin(self, to: object, n: int) -> States:
        """Return the state that n rows are reset to, ``[L, n, units]``, or ``[L, 1, units]`` for all of them."""
        first = check_state(to, "to", len(self._sizes.kind.carried))[0]
        if isinstance(first, Tensor) and first.dim() == 2:
            return tuple(part[:, None] for part in self._checked_state(to, None, "to"))
        return self._checked_state(to, n, "to")

    def save(self, path: str | Path) -> None:
        """Write the state and the step count to a safetensors file, atomically, with a fingerprint of the weights.

        Raises:
            FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        with self._alone():
            state = dict(zip(self._sizes.kind.carried, (part.clone() for part in self._state), strict=True))
            saved = stream_file.Saved(state, self.t, self._sizes.cell, self._runner.fingerprint())
        stream_file.save(path, saved)

    def load(self, path: str | Path) -> None:
        """Continue from a state that `save` wrote, in a stream of a layer with the same weights.

        Raises:
            FileFormatError: the file is damaged, is not a stream's state, has a different cell, sizes or type, or was
                computed with other weights.
        """
        kind = self._sizes.kind
        saved = stream_file.load(path, kind)
        device = self._like().device
        state = kind.as_given([part.to(device) for part in saved.state.values()])
        try:
            self._checked_state(state, self.batch)
        except (ShapeError, DtypeError) as error:
            raise FileFormatError(f"the state in {path} does not fit this {kind.label} and batch: {error}") from error
        stream_file.check_weights(path, saved, self._runner.fingerprint())
        self._set_state(state, saved.t)

    def _state_shapes(self, batch: int) -> list[tuple[int, int, int]]:
        sizes = self._sizes
        return [(sizes.num_layers, batch, sizes.units(name)) for name in sizes.kind.carried]

    def _zeros(self, batch: int) -> States:
        like, shapes = self._like(), self._state_shapes(batch)
        nbytes = sum(math.prod(shape) for shape in shapes) * like.itemsize
        try:
            if nbytes >= 2**63:
                raise MemoryError("no tensor can have that many bytes")
            return tuple(like.new_zeros(shape) for shape in shapes)
        except (RuntimeError, MemoryError) as error:
            raise ArgumentError(
                f"the state of a stream with batch={shorten(batch)} takes {shorten(nbytes)} bytes, more than the "
                "available memory: use a smaller batch"
            ) from error
