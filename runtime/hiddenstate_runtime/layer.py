"""An LSTM, a GRU or a plain RNN over whole sequences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_runtime import edits
from hiddenstate_runtime.arrays import Array, as_floats, as_pair
from hiddenstate_runtime.shared.cells import CELL_NAMES, CELLS
from hiddenstate_runtime.shared.errors import ArgumentError, FileFormatError, NameUnknownError, RankError, ShapeError
from hiddenstate_runtime.stream import THREADS, Stream

State = Array | tuple[Array, Array]  # (h, c) for an LSTM, otherwise h

# The gates in the order in which they are recorded; a plain RNN's only gate is its state.
GATES = {name: cell["recorded_gates"] for name, cell in CELLS.items()}


def cell_of(config: Mapping[str, Any]) -> str:
    """Return the kind of cell of a tagger or language model.

    Raises:
        FileFormatError: this version does not run it.
    """
    cell = config.get("cell", "lstm")
    if cell not in CELL_NAMES:
        raise FileFormatError(f"its cells are {cell!r:.20}, and this version runs {' and '.join(CELL_NAMES)}")
    name: str = CELL_NAMES[cell]
    return name


@dataclass(frozen=True)
class Sizes:
    """The kind of cell, such as ``LSTM``, and its sizes: C, H, P (H without a projection), L and D."""

    cell: str
    input_size: int
    hidden_size: int
    output_size: int
    num_layers: int
    directions: int

    @property
    def names(self) -> list[str]:
        """The layers and directions, in the order of the states: ``l0``, ``l0r``, ``l1``, ..."""
        return [f"l{layer}{suffix}" for layer in range(self.num_layers) for suffix in ("", "r")[: self.directions]]

    @property
    def has_memory(self) -> bool:
        """Whether there is a cell state besides the hidden state, as in an LSTM."""
        return "c" in CELLS[self.cell]["carried"]

    @property
    def units(self) -> dict[str, int]:
        """The number of units of each place."""
        return {place: self.output_size if place == "h" else self.hidden_size for place in CELLS[self.cell]["places"]}


class Trace(Mapping[str, Array]):
    """The gates and states of a run, by layer and direction: ``trace["l0.f"]`` is ``[T, N, H]``.

    With ``batch_first`` it is ``[N, T, H]``. An LSTM has the gates ``i f g o`` and the states ``c h``; a GRU has
    ``r z n``, ``n_h`` (the recurrent part of n, before it is multiplied by r) and ``h``; a plain RNN has ``h``. Past a
    row's end, all values are zero.

    Attributes:
        out: the output, as the layer returns it.
        state: the final state.
    """

    def __init__(
        self, sizes: Sizes, out: Array, state: State, records: Sequence[Array], *, batch_first: bool = False
    ) -> None:
        self.out, self.state = out, state
        gates, cells, hidden = (part.swapaxes(1, 2) for part in records) if batch_first else records
        self._values: dict[str, Array] = {}
        P = sizes.output_size
        for k, name in enumerate(sizes.names):
            self._values.update({f"{name}.{gate}": gates[k, :, :, j] for j, gate in enumerate(GATES[sizes.cell])})
            direction = k % sizes.directions
            if sizes.has_memory:
                self._values[f"{name}.c"] = cells[k]
            self._values[f"{name}.h"] = hidden[k // sizes.directions][..., direction * P : (direction + 1) * P]

    def __getitem__(self, place: str) -> Array:
        found = self._values.get(place)
        if found is None:
            raise NameUnknownError(f"no place {place!r} in this trace: its places are {' '.join(self._values)}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Layer:
    """An LSTM, a GRU or a plain RNN with one or more layers and constant weights, which threads may share.

    Attributes:
        sizes: its sizes.
        precision: ``float32``, ``bfloat16`` or ``int8``: the type in which its products are computed.
        isa: the instruction set that it uses.
        batch_first: whether inputs, outputs and recorded values are ``[N, T, ...]`` instead of ``[T, N, ...]``, as the
            saved layer's are.
    """

    def __init__(self, native: Any, *, batch_first: bool = False) -> None:
        self.native, self.batch_first = native, batch_first
        self.sizes = Sizes(native.cell, *native.axes)
        self.precision: str = native.precision
        self.isa: str = native.isa

    @classmethod
    def from_file(cls, file: Any, metadata: Mapping[str, str]) -> "Layer":
        """Read the layer that a file describes."""
        return cls(file.whole_layer(), batch_first=metadata.get("batch_first") == "1")

    def __call__(
        self,
        x: ArrayLike,
        state: State | None = None,
        *,
        lengths: ArrayLike | None = None,
        edits: Sequence[edits.Edit] = (),
    ) -> tuple[Array, State]:
        """Run over a sequence.

        Args:
            x: ``[T, N, C]`` (``[N, T, C]`` with `batch_first`), or ``[T, C]`` without a batch.
            state: the initial state: ``(h [L*D, N, P], c [L*D, N, H])`` for an LSTM, otherwise ``h``; without N for an
                unbatched input; zeros if None.
            lengths: integers ``[N]`` in 0..T: the number of steps of each row. Past its end a row's output is zero.
            edits: what to change while it runs.

        Returns:
            The output ``[T, N, D*P]`` (or as x), and the final state.

        Raises:
            RankError, ShapeError, ArgumentError, ArgumentTypeError, NameUnknownError, IndexRangeError: an argument does
                not fit.
        """
        run = self._run(x, state, lengths, edits, records=False)
        return run.out, run.state

    def trace(
        self,
        x: ArrayLike,
        state: State | None = None,
        *,
        lengths: ArrayLike | None = None,
        edits: Sequence[edits.Edit] = (),
    ) -> Trace:
        """Run over a sequence and record every gate and state; arguments and errors are those of a call."""
        run = self._run(x, state, lengths, edits, records=True)
        return Trace(self.sizes, run.out, run.state, run.records, batch_first=self.batch_first and run.batched)

    def stream(self, rows: int = 1) -> Stream:
        """Return a stream of ``rows`` sequences, whose states start at zero.

        Raises:
            ArgumentError: ``rows`` is below 1 or too large, or the layer is bidirectional.
            ArgumentTypeError: ``rows`` is not an integer.
        """
        return Stream(self, rows)

    def _run(
        self,
        x: ArrayLike,
        state: State | None,
        lengths: ArrayLike | None,
        changes: Sequence[edits.Edit],
        *,
        records: bool,
    ) -> "_Run":
        given = as_floats(x, "x")
        if given.ndim not in (2, 3):
            layout = "[N, T, C]" if self.batch_first else "[T, N, C]"
            raise RankError(f"x must be {layout} or [T, C], got shape {list(given.shape)}")
        batched = given.ndim == 3
        x3 = given if batched else given[:, None]
        if batched and self.batch_first:
            x3 = np.ascontiguousarray(x3.swapaxes(0, 1))
        T, N, C = x3.shape
        sizes = self.sizes
        if sizes.input_size != C:
            raise ShapeError(f"x has {C} features, expected {sizes.input_size}")
        count, width = len(sizes.names), sizes.directions * sizes.output_size
        run = _Run(T, N, width, sizes, records=records)
        h0, c0 = self._state(state, count, N, batched)
        steps = None if lengths is None else as_lengths(lengths, T, N)
        changed = edits.resolve(changes, sizes.names, sizes.units, T, N) if changes else None
        arrays = (x3, h0, c0, steps, run.out, run.h, run.c, *(run.records or (None, None, None)))
        self.native.run(arrays, T, N, changed, THREADS)
        if batched and self.batch_first:
            run.out = run.out.swapaxes(0, 1)
        return run if batched else run.without_batch()

    def _state(self, state: State | None, count: int, N: int, batched: bool) -> tuple[Array | None, Array | None]:
        if state is None:
            return None, None
        has_memory = self.sizes.has_memory
        if not has_memory and isinstance(state, tuple | list):
            raise ArgumentError("only an LSTM has two states: give h, one array")
        parts = [*as_pair(state, "the state")] if has_memory else [as_floats(state, "the state")]
        for name, part, units in zip("hc", parts, (self.sizes.output_size, self.sizes.hidden_size), strict=False):
            want = (count, N, units) if batched else (count, units)
            if part.shape != want:
                raise ShapeError(f"{name} of the state has shape {list(part.shape)}, expected {list(want)}")
        return parts[0], parts[1] if has_memory else None


class _Run:
    """The arrays that a run writes."""

    def __init__(self, T: int, N: int, width: int, sizes: Sizes, *, records: bool) -> None:
        count, H = len(sizes.names), sizes.hidden_size
        self.batched = True
        self.out = np.empty((T, N, width), np.float32)
        self.h = np.empty((count, N, sizes.output_size), np.float32)
        self.c = np.empty((count, N, H), np.float32) if sizes.has_memory else None
        self.records: tuple[Array, ...] = ()
        if records:
            shapes = (count, T, N, len(GATES[sizes.cell]), H), (count, T, N, H), (sizes.num_layers, T, N, width)
            self.records = tuple(np.empty(shape, np.float32) for shape in shapes)

    @property
    def state(self) -> State:
        return self.h if self.c is None else (self.h, self.c)

    def without_batch(self) -> "_Run":
        self.batched = False
        self.out, self.h = self.out[:, 0], self.h[:, 0]
        self.c = None if self.c is None else self.c[:, 0]
        return self


def as_lengths(lengths: ArrayLike, T: int, N: int) -> NDArray[np.int64]:
    """Return lengths ``[N]`` after checking that each is an integer in 0..T."""
    given = np.asarray(lengths)
    if given.shape != (N,) or given.dtype.kind not in "iu":
        raise ShapeError(f"lengths must be {N} integers, got {given.dtype} of shape {list(given.shape)}")
    if N and not (given.min() >= 0 and given.max() <= T):
        raise ArgumentError(f"each length must be from 0 to {T}, the number of time steps, got {given.tolist()}")
    return np.ascontiguousarray(given, dtype=np.int64)
