"""A whole model, as a graph of operations, over whole sequences or one time step at a time."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_runtime import _native
from hiddenstate_runtime.arrays import Array, as_floats
from hiddenstate_runtime.layer import Layer
from hiddenstate_runtime.shared import arithmetic
from hiddenstate_runtime.shared.errors import (
    ArgumentError,
    ConcurrentUseError,
    FileFormatError,
    HiddenStateError,
    ShapeError,
)
from hiddenstate_runtime.shared.graph import STATE_FORMAT, Graph, Node, parse
from hiddenstate_runtime.stream import RowStream

Outputs = Array | tuple[Array, ...]


class GraphModel:
    """A model with constant weights, which threads may share.

    Attributes:
        inputs: the names and shapes of its arguments; ``N`` stands for rows, ``T`` for time steps.
        outputs: the shapes of its results.
        fingerprint: of the file; a stream's state loads only into a stream of the same file.
    """

    fingerprint = ""

    def __init__(self, graph: Graph, tensors: Mapping[str, Array], layers: Mapping[str, Layer]) -> None:
        self.graph, self.tensors, self.layers = graph, tensors, layers
        self.inputs = {declared.name: declared.shape for declared in graph.inputs}
        self.outputs = [graph.shapes[value] for value in graph.outputs]
        self._run_layers = {prefix: _runner(layer) for prefix, layer in layers.items()}

    @classmethod
    def from_file(cls, file: Any, metadata: Mapping[str, str]) -> "GraphModel":
        """Read the model that a file describes."""
        graph = parse(metadata["graph"], file.shape)
        names = {name for node in graph.nodes for name in node.tensors}
        tensors = {name: file.tensor(name).reshape(file.shape(name)) for name in names}
        layers = {node.prefix: _layer(file, node) for node in graph.nodes if "prefix" in node.settings}
        return cls(graph, tensors, layers)

    def __call__(self, *arguments: ArrayLike) -> Outputs:
        """Run over whole sequences.

        Args:
            arguments: arrays of the shapes of `inputs`.

        Returns:
            The result, or a tuple of results if there are several.

        Raises:
            ShapeError, ArgumentError, ArgumentTypeError, IndexRangeError: an argument does not fit.
        """
        arrays, sizes = arithmetic.read_arguments(self.graph, arguments)
        results, _ = arithmetic.run(self.graph, arrays, sizes, self.tensors, self._run_layers)
        return results[0] if len(results) == 1 else tuple(results)

    def stream(self, rows: int = 1) -> "GraphStream":
        """Return a stream of ``rows`` sequences, whose states start where a call starts.

        Raises:
            ArgumentError: ``rows`` is below 1 or too large, or an operation needs later steps.
            ArgumentTypeError: ``rows`` is not an integer.
        """
        return GraphStream(self, rows)


def _layer(file: Any, node: Node) -> Layer:
    more = (node.num_layers, node.bias, node.bidirectional) if node.op == "layer" else (1, node.bias, False)
    projection = {"proj_size": node.proj_size} if node.op == "layer" and node.proj_size else {}
    return Layer(file.layer(node.prefix, node.input_size, node.hidden_size, *more, node.cell, **projection))


def _runner(layer: Layer) -> Callable[..., Sequence[Array]]:
    def run(x: Array, *states: Array) -> Sequence[Array]:
        state: Any = None if not states else states[0] if len(states) == 1 else states
        out, after = layer(x, state)
        return out, *(after if isinstance(after, tuple) else (after,))

    return run


class GraphStream(RowStream):
    """A running model, which takes one step (or a chunk) at a time. Returned by `GraphModel.stream`.

    The layers' states and the last inputs of causal convolutions are carried. Only one thread may use it at a time.
    Rows can leave and join: the next row to join takes the place of one that left.
    """

    def __init__(self, model: GraphModel, rows: int) -> None:
        super().__init__(rows)
        if reason := model.graph.why_no_stream():
            raise ArgumentError(f"this model can't run step by step: {reason}")
        if rows > 1 and not model.graph.takes_rows:
            raise ArgumentError(f"this model takes one row, not {rows}: it was saved with an example of fixed size")
        self.model = model
        self._carried = arithmetic.initial_state(model.graph, self._rows, model.tensors)
        self._turn = Lock()

    def step(self, *arguments: ArrayLike, rows: Sequence[int] | None = None) -> Outputs:
        """Read one time step.

        Args:
            arguments: arrays of the shapes of the model's inputs, without the time axis.
            rows: the distinct rows that take this step, in the order of the arguments' rows; the others wait.

        Returns:
            The results without their time axis; a result after the last step is that of the sequence so far.

        Raises:
            ShapeError, ArgumentError, ArgumentTypeError, IndexRangeError: an argument does not fit, or a row is free.
            ConcurrentUseError: another thread is in a step of this stream.
        """
        graph = self.model.graph
        whole = [*arguments]
        for k, (declared, argument) in enumerate(zip(graph.inputs, arguments, strict=False)):
            if "T" not in declared.shape:
                continue
            with suppress(ValueError):  # lists of different lengths are refused below
                array = np.asarray(argument)
                if array.ndim != len(declared.shape) - 1:
                    wanted = ", ".join(str(size) for size in declared.shape if size != "T")
                    raise ShapeError(f"{declared.name} has shape {[*array.shape]}, expected [{wanted}]: one time step")
                whole[k] = np.expand_dims(array, declared.shape.index("T"))
        results = self._run(whole, rows)
        shapes = [graph.shapes[value] for value in graph.outputs]
        steps = [
            result.squeeze(shape.index("T")) if "T" in shape else result
            for result, shape in zip(results, shapes, strict=True)
        ]
        return steps[0] if len(steps) == 1 else tuple(steps)

    def feed(self, *chunks: ArrayLike) -> Outputs:
        """Read several time steps of all rows; gives the results of single steps, as a call does, faster."""
        results = self._run(chunks, None)
        return results[0] if len(results) == 1 else tuple(results)

    def _run(self, arguments: Sequence[Any], rows: Sequence[int] | None) -> list[Array]:
        graph, chosen = self.model.graph, None if rows is None else self._chosen(rows)
        arrays, sizes = arithmetic.read_arguments(graph, arguments)
        count = self._rows if chosen is None else len(chosen)
        if sizes.get("N", 1) != count:
            raise ShapeError(f"the arguments have {sizes.get('N', 1)} rows, expected {count}")
        if not self._turn.acquire(blocking=False):
            raise ConcurrentUseError("this stream is running in another thread: use one stream per thread")
        try:
            carried = self._carried if chosen is None else self._picked(chosen)
            results: list[Array]
            results, after = arithmetic.run(graph, arrays, sizes, self.model.tensors, self.model._run_layers, carried)
            if chosen is None:
                self._carried = after
            else:
                self._put(chosen, after)
        finally:
            self._turn.release()
        return results

    @property
    def state(self) -> dict[str, Array]:
        """A copy of what is carried: ``lstm.h [L, N, P]``, ``conv.x [N, C, K]``, ...; assign one to continue."""
        return self._named(self._picked(np.arange(self._rows)))

    @state.setter
    def state(self, value: Mapping[str, ArrayLike]) -> None:
        self._carried = self._checked(value, self._rows)

    def state_of(self, rows: Sequence[int]) -> dict[str, Array]:
        """Return a copy of what is carried of some rows, as `state` is.

        Raises:
            ArgumentError: a row is not in use.
        """
        return self._named(self._picked(self._chosen(rows)))

    def join(self, state: Mapping[str, ArrayLike] | None = None) -> int:
        """Begin a sequence as `RowStream.join` does, or go on from the state of one row, as `state_of` returns it.

        Raises:
            ArgumentError, ArgumentTypeError, ShapeError: the state does not fit.
        """
        begins = None if state is None else self._checked(state, 1)
        row = super().join()
        if begins is not None:
            self._put(np.array([row]), begins)
        return row

    def reset(self, rows: Sequence[int] | None = None, *, to: Mapping[str, ArrayLike] | None = None) -> None:
        """Set what is carried of rows (all by default) to what a sequence begins with, or to a state of as many rows.

        Raises:
            ArgumentError, ArgumentTypeError, ShapeError: a row is not in use, or the state does not fit.
        """
        chosen, model = np.arange(self._rows) if rows is None else self._chosen(rows), self.model
        begins = arithmetic.initial_state(model.graph, len(chosen), model.tensors)
        self._put(chosen, begins if to is None else self._checked(to, len(chosen)))

    def fork(self) -> "GraphStream":
        """Return a second stream that continues from this one's state; from then on, the two are independent."""
        other = GraphStream(self.model, self._rows)
        other._carried, other._free = self._picked(np.arange(self._rows)), set(self._free)
        return other

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is carried to a safetensors file, atomically, with a fingerprint of the model's file.

        Raises:
            OSError: the file can't be written.
        """
        state = self.state
        header: dict[str, Any] = {"__metadata__": {"format": STATE_FORMAT, "model": self.model.fingerprint}}
        at = 0
        for name, part in state.items():
            header[name] = {"dtype": "F32", "shape": part.shape, "data_offsets": [at, at + part.nbytes]}
            at += part.nbytes
        text = json.dumps(header).encode()
        beside = Path(f"{os.fspath(path)}.{os.getpid()}.part")
        try:
            content = [
                len(text).to_bytes(8, "little"),
                text,
                *(part.astype("<f4").tobytes() for part in state.values()),
            ]
            beside.write_bytes(b"".join(content))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Continue from a state that `save` wrote, in a stream of the same model file with as many rows.

        Raises:
            FileFormatError: the file is not such a state, is damaged, or has a different model or number of rows.
            OSError: the file can't be read.
        """
        try:
            file = _native.File(Path(path).read_bytes())
            metadata = file.metadata()
            if metadata.get("format") != STATE_FORMAT or metadata.get("model") != self.model.fingerprint:
                raise FileFormatError("it is not a state of a stream of this model file")
            state = {name: file.tensor(name).reshape(file.shape(name)) for name in self._names()}
            file.finish()
            self.state = state
        except (_native.FileError, HiddenStateError, ValueError) as error:
            raise FileFormatError(f"cannot load {os.fspath(path)}: {error}") from error

    def _checked(self, value: Mapping[str, ArrayLike], rows: int) -> arithmetic.Carried:
        """Return a state of so many rows by the places of nodes."""
        held = self._named(self._picked(np.zeros(rows, np.int64)))
        if not isinstance(value, Mapping) or set(value) != set(held):
            got = sorted(value) if isinstance(value, Mapping) else type(value).__name__
            raise ArgumentError(f"the state must have {', '.join(held)}, got {got}")
        parts = {name: as_floats(value[name], name) for name in held}
        for name, part in parts.items():
            if part.shape != held[name].shape:
                raise ShapeError(f"{name} has shape {list(part.shape)}, expected {list(held[name].shape)}")
        new = iter([parts[name].copy() for name in held])
        return {place: tuple(next(new) for _ in old) for place, old in self._carried.items()}

    def _named(self, carried: arithmetic.Carried) -> dict[str, Array]:
        parts = [part for parts in carried.values() for part in parts]
        return dict(zip(self._names(), parts, strict=True))

    def _widen(self, rows: int) -> None:
        if not self.model.graph.takes_rows:
            raise ArgumentError("this model takes one row: it was saved with an example of fixed size")
        first, before = self._rows, self._carried
        self._carried = arithmetic.initial_state(self.model.graph, rows, self.model.tensors)
        self._rows, self._free = rows, set(range(first, rows))
        self._put(np.arange(first), before)

    def _names(self) -> list[str]:
        names: list[str] = []
        for place, parts in self._carried.items():
            node = self.model.graph.nodes[place]
            for letter in ("x",) if node.op == "conv1d" else "hc"[: len(parts)]:
                name = f"{node.name}.{letter}".lstrip(".")
                names.append(f"{name}@{place}" if name in names else name)
        return names

    def _axis(self, place: int) -> int:
        """The axis of rows: a convolution's inputs are [N, C, K], a layer's states [L, N, H]."""
        return 0 if self.model.graph.nodes[place].op == "conv1d" else 1

    def _picked(self, rows: NDArray[np.int64]) -> arithmetic.Carried:
        return {
            place: tuple(part.take(rows, self._axis(place)) for part in parts) for place, parts in self._carried.items()
        }

    def _put(self, rows: NDArray[np.int64], new: arithmetic.Carried) -> None:
        for place, parts in self._carried.items():
            whole = (slice(None),) * self._axis(place)
            for k, part in enumerate(parts):
                part[(*whole, rows)] = new[place][k]

    def _chosen(self, rows: Sequence[int]) -> NDArray[np.int64]:
        chosen = super()._chosen(rows)
        if not len(chosen):
            raise ArgumentError("rows must name at least one row")
        return chosen
