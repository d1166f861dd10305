"""An LSTM one time step at a time."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_runtime import _native
from hiddenstate_runtime.shared.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from hiddenstate_runtime.layer import Layer

Array = NDArray[np.float32]
# A run over a sequence uses this many threads, if it is long enough.
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Stream:
    """A running LSTM: give it one step (or a chunk), and it remembers the state. Made by `Layer.stream`.

    It is for one thread at a time. Rows can leave and join: a row that has left is given to the next that joins.
    """

    def __init__(self, layer: "Layer", rows: int) -> None:
        if rows < 1 or layer.sizes.directions == 2:
            raise ArgumentError(f"a stream needs at least 1 row and a unidirectional layer, got {rows} rows")
        self.layer = layer
        self._native: Any = _native.Steps(layer.native, rows)
        self._rows = rows
        self._free: list[int] = []

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows in use."""
        return tuple(row for row in range(self._rows) if row not in self._free)

    def step(self, x: ArrayLike, *, rows: Sequence[int] | None = None, out: Array | None = None) -> Array:
        """Read one time step.

        Args:
            x: ``[N, C]``, or ``[C]`` with one row; float32 and contiguous is fastest.
            rows: the rows that take this step, each once; x is then ``[n, C]``, and the others wait.
            out: an array to write the result to.

        Returns:
            The last layer's hidden state, ``[N, P]``, ``[P]`` or ``[n, P]`` as x.

        Raises:
            ShapeError: x or out does not fit.
            ArgumentError: a row does not exist, has left, or is named twice.
            RuntimeError: another thread is in a step of this stream.
        """
        if rows is None:
            done = self._native.step(x, out, _empty)
            if done is not None:
                return done  # type: ignore[no-any-return]
        return self._checked_step(x, rows, out)

    def _checked_step(self, x: ArrayLike, rows: Sequence[int] | None, out: Array | None) -> Array:
        sizes = self.layer.sizes
        given = np.ascontiguousarray(x, dtype=np.float32)
        flat = rows is None and given.ndim == 1 and self._rows == 1
        chosen = self._chosen(range(self._rows) if rows is None else rows)
        want = (len(chosen), sizes.input_size)
        if (given[None] if flat else given).shape != want:
            raise ShapeError(f"x has shape {list(given.shape)}, expected {list(want)} for {len(chosen)} rows")
        shape = (sizes.output_size,) if flat else (len(chosen), sizes.output_size)
        if out is not None and out.shape != shape:
            raise ShapeError(f"out has shape {list(out.shape)}, expected {list(shape)}")
        done = np.empty(shape, np.float32)
        self._native.step_rows(given, chosen, done)
        if out is None:
            return done
        out[...] = done
        return out

    def feed(self, chunk: ArrayLike) -> Array:
        """Read several time steps ``[T, N, C]``, and return ``[T, N, P]``; the same numbers as steps, faster."""
        sizes = self.layer.sizes
        given = np.ascontiguousarray(chunk, dtype=np.float32)
        if given.ndim != 3 or given.shape[1:] != (self._rows, sizes.input_size):
            want = f"[T, {self._rows}, {sizes.input_size}]"
            raise ShapeError(f"a chunk must be {want}, got shape {list(given.shape)}")
        out = np.empty((*given.shape[:2], sizes.output_size), np.float32)
        self._native.feed((given, None, None, None, out, None, None, None, None, None), len(given), THREADS)
        return out

    @property
    def state(self) -> tuple[Array, Array]:
        """A copy of the state ``(h [L, N, P], c [L, N, H])``; assign one to continue from it."""
        sizes = self.layer.sizes
        units = sizes.output_size, sizes.hidden_size
        h, c = (np.empty((sizes.num_layers, self._rows, each), np.float32) for each in units)
        self._native.read_state(h, c)
        return h, c

    @state.setter
    def state(self, value: tuple[ArrayLike, ArrayLike]) -> None:
        h, c = (np.ascontiguousarray(part, dtype=np.float32) for part in value)
        for name, part, like in zip("hc", (h, c), self.state, strict=True):
            if part.shape != like.shape:
                raise ShapeError(f"{name} of the state has shape {list(part.shape)}, expected {list(like.shape)}")
        self._native.write_state(h, c)

    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Set the states of rows (all of them by default) to zero."""
        self._native.reset(None if rows is None else self._chosen(rows))

    def join(self) -> int:
        """Begin a new sequence at zero, in a row that is not in use, and return its row.

        If all rows are in use, the stream gets twice as many: a step of all rows then has that many.
        """
        if not self._free:
            self._widen(2 * self._rows)
        row = self._free.pop(0)
        self._native.reset(np.array([row], dtype=np.int64))
        return row

    def _widen(self, rows: int) -> None:
        before, first = self.state, self._rows
        native: Any = _native.Steps(self.layer.native, rows)
        room = [np.zeros((len(part), rows - first, part.shape[2]), np.float32) for part in before]
        native.write_state(*(np.concatenate(pair, axis=1) for pair in zip(before, room, strict=True)))
        self._native, self._rows, self._free = native, rows, list(range(first, rows))

    def leave(self, rows: Sequence[int]) -> None:
        """End the sequences of rows; `join` gives them to new ones."""
        self._free = sorted([*self._free, *self._chosen(rows).tolist()])

    def _chosen(self, rows: Sequence[int]) -> NDArray[np.int64]:
        chosen = np.atleast_1d(np.asarray(rows))
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            chosen = np.array([], dtype=np.int64) if chosen.size == 0 else chosen
        listed = chosen.tolist()
        if chosen.dtype.kind not in "iu" or len(set(listed)) != len(listed):
            raise ArgumentError(f"rows must be integers, each once, got {rows!r}")
        for row in listed:
            if not 0 <= row < self._rows or row in self._free:
                raise ArgumentError(f"row {row} is not in use: this stream has {list(self.rows)}")
        return np.ascontiguousarray(chosen, dtype=np.int64)


def _empty(shape: int | tuple[int, ...]) -> Array:
    return np.empty(shape, np.float32)
