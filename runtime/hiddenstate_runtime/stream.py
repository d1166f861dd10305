"""An LSTM, a GRU or a plain RNN one time step at a time."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_runtime import _native
from hiddenstate_runtime.arrays import Array, as_floats, as_pair
from hiddenstate_runtime.shared.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from hiddenstate_runtime.layer import Layer

MOST_ROWS = 1 << 24


def _threads() -> int:
    """Return the number of CPUs that this process may use, or OMP_NUM_THREADS if that is less."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(cpus, int(wanted)) if wanted.isdecimal() and int(wanted) else cpus


THREADS = _threads()  # threads for a run over a sequence, if it is long enough


class RowStream(ABC):
    """What the streams of layers and of whole models have in common: rows that come and go."""

    def __init__(self, rows: int) -> None:
        if not isinstance(rows, int | np.integer) or isinstance(rows, bool):
            raise ArgumentTypeError(f"rows must be an integer, got {rows!r:.60}")
        if not 1 <= rows <= MOST_ROWS:
            raise ArgumentError(f"a stream has 1 to {MOST_ROWS:,} rows, got {rows}")
        self._rows = int(rows)
        self._free: set[int] = set()

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows in use."""
        return tuple(row for row in range(self._rows) if row not in self._free)

    @abstractmethod
    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Set what is carried of rows (all of them by default) to what a sequence begins with."""

    @abstractmethod
    def _widen(self, rows: int) -> None:
        """Make room for so many rows, of which the new ones are free."""

    def join(self) -> int:
        """Begin a new sequence in a row that is not in use, and return its row.

        If all rows are in use, their number doubles, and a step of all rows then takes that many.
        """
        if not self._free:
            self._widen(2 * self._rows)
        row = min(self._free)
        self._free.remove(row)
        self.reset([row])
        return row

    def leave(self, rows: Sequence[int]) -> None:
        """End the sequences of rows; `join` gives them to new ones."""
        self._free.update(self._chosen(rows).tolist())

    def _chosen(self, rows: Sequence[int]) -> NDArray[np.int64]:
        chosen = np.atleast_1d(np.asarray(rows))
        if chosen.size == 0:
            chosen = np.array([], dtype=np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or len({*chosen.tolist()}) != len(chosen):
            cure = ": give np.flatnonzero(mask)" if chosen.dtype.kind == "b" else ""
            raise ArgumentError(f"rows must be integers, each once, got {rows!r:.60}{cure}")
        for row in chosen.tolist():
            if not 0 <= row < self._rows or row in self._free:
                raise ArgumentError(f"row {row} is not in use: this stream has {list(self.rows)}")
        return np.ascontiguousarray(chosen, dtype=np.int64)


class Stream(RowStream):
    """A running layer, which takes one step (or a chunk) at a time and keeps the state. Returned by `Layer.stream`.

    Only one thread may use it at a time. Rows can leave and join: the next row to join takes the place of one that
    left.
    """

    def __init__(self, layer: "Layer", rows: int) -> None:
        super().__init__(rows)
        if layer.sizes.directions == 2:
            raise ArgumentError("a bidirectional layer also reads from the end, so it can't be streamed")
        self.layer = layer
        self._native: Any = _native.Steps(layer.native, self._rows)

    def step(self, x: ArrayLike, *, rows: Sequence[int] | None = None, out: Array | None = None) -> Array:
        """Read one time step.

        Args:
            x: ``[N, C]``, or ``[C]`` with one row; float32 and contiguous is fastest.
            rows: the distinct rows that take this step; x is then ``[n, C]``, and the other rows wait.
            out: a float32 array to write the result to.

        Returns:
            The last layer's hidden state, ``[N, P]``, ``[P]`` or ``[n, P]`` as x.

        Raises:
            ShapeError: x or out does not fit.
            ArgumentTypeError: x has no real numbers, or out is not a float32 array.
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
        given = as_floats(x, "x")
        flat = rows is None and given.ndim == 1 and self._rows == 1
        chosen = np.arange(self._rows, dtype=np.int64) if rows is None else self._chosen(rows)
        want = (len(chosen), sizes.input_size)
        if (given[None] if flat else given).shape != want:
            raise ShapeError(f"x has shape {list(given.shape)}, expected {list(want)} for {len(chosen)} rows")
        shape = (sizes.output_size,) if flat else (len(chosen), sizes.output_size)
        if out is not None and not (isinstance(out, np.ndarray) and out.dtype == np.float32 and out.flags.writeable):
            raise ArgumentTypeError("out must be a writable float32 array")
        if out is not None and out.shape != shape:
            raise ShapeError(f"out has shape {list(out.shape)}, expected {list(shape)}")
        done = np.empty(shape, np.float32)
        self._native.step_rows(given, chosen, done)
        if out is None:
            return done
        out[...] = done
        return out

    def feed(self, chunk: ArrayLike) -> Array:
        """Read several time steps ``[T, N, C]``, and return ``[T, N, P]``; gives the result of single steps, faster.

        If the layer is `batch_first`, it takes ``[N, T, C]`` and returns ``[N, T, P]``.
        """
        sizes, batch_first = self.layer.sizes, self.layer.batch_first
        given = as_floats(chunk, "a chunk")
        rows = given.shape[0 if batch_first else 1] if given.ndim == 3 else -1
        if (rows, given.shape[-1:]) != (self._rows, (sizes.input_size,)):
            want = f"[{self._rows}, T, {sizes.input_size}]" if batch_first else f"[T, {self._rows}, {sizes.input_size}]"
            raise ShapeError(f"a chunk must be {want}, got shape {list(given.shape)}")
        if batch_first:
            given = np.ascontiguousarray(given.swapaxes(0, 1))
        out = np.empty((*given.shape[:2], sizes.output_size), np.float32)
        self._native.feed((given, None, None, None, out, None, None, None, None, None), len(given), THREADS)
        return out.swapaxes(0, 1) if batch_first else out

    @property
    def state(self) -> Array | tuple[Array, Array]:
        """A copy of the state, ``(h [L, N, P], c [L, N, H])`` or ``h``; assign one to continue from it."""
        h, c = self._parts()
        return h if c is None else (h, c)

    @state.setter
    def state(self, value: Any) -> None:
        held = [part for part in self._parts() if part is not None]
        parts = [*as_pair(value, "the state")] if len(held) == 2 else [as_floats(value, "the state")]
        for name, part, like in zip("hc", parts, held, strict=False):
            if part.shape != like.shape:
                raise ShapeError(f"{name} of the state has shape {list(part.shape)}, expected {list(like.shape)}")
        self._native.write_state(*parts, *[None] * (2 - len(parts)))

    def _parts(self) -> tuple[Array, Array | None]:
        sizes = self.layer.sizes
        h = np.empty((sizes.num_layers, self._rows, sizes.output_size), np.float32)
        c = np.empty((sizes.num_layers, self._rows, sizes.hidden_size), np.float32) if sizes.has_memory else None
        self._native.read_state(h, c)
        return h, c

    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Set the states of rows (all of them by default) to zero."""
        self._native.reset(None if rows is None else self._chosen(rows))

    def _widen(self, rows: int) -> None:
        first = self._rows
        native: Any = _native.Steps(self.layer.native, rows)
        native.write_state(*(_with_rows(part, rows - first) for part in self._parts()))
        self._native, self._rows, self._free = native, rows, set(range(first, rows))


def _empty(shape: int | tuple[int, ...]) -> Array:
    return np.empty(shape, np.float32)


def _with_rows(part: Array | None, more: int) -> Array | None:
    return None if part is None else np.concatenate([part, np.zeros_like(part[:, :1]).repeat(more, axis=1)], axis=1)
