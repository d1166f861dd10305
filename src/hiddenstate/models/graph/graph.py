"""A whole model as a graph: nodes of a closed list of operations, all checked before anything is computed.

A graph is JSON, in the metadata ``graph`` of a model file of kind ``graph``::

    {"inputs": [{"name": "x", "shape": ["N", "T", 40], "ints": false}],
     "nodes": [{"op": "linear", "name": "head", "inputs": [0], "tensors": ["head.weight", "head.bias"]}, ...],
     "outputs": [1]}

Values are numbered: the inputs first, then the results of each node. A node reads earlier values only, so no graph is
cyclic. A value's sizes are integers, ``N`` (rows), ``T`` (time steps), and ``N*T`` or ``T*N`` (both as one axis, in
that order). This file and `arithmetic` need no torch; hiddenstate_runtime has copies of both.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from hiddenstate.errors import FileFormatError
from hiddenstate.models.cells import CELLS

Shape = tuple[int | str, ...]

MOST_NODES = 4096
MOST_TEXT = 1 << 22  # characters of a graph
MOST_SIZE = 1 << 31
# The memory that the values of one row and step may take, in bytes: this, and a multiple of the file's.
WORK, WORK_PER_BYTE = 1 << 26, 16
STATE_FORMAT = "hiddenstate.graph-stream/1"  # of a file with what a stream carries
SYMBOLS = ("N", "T", "N*T", "T*N")
STATES = {name: len(cell["carried"]) for name, cell in CELLS.items()}
GATES = {name: len(cell["gate_names"]) for name, cell in CELLS.items()}


class GraphError(ValueError):
    """A node does not fit; the message says how."""


@dataclass(frozen=True)
class Node:
    """An operation: the numbers of the values that it reads, the names of its tensors, and its settings."""

    op: str
    name: str
    inputs: tuple[int, ...]
    tensors: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["settings"][name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Input:
    """An argument of the model: float32 numbers, or integers."""

    name: str
    shape: Shape
    ints: bool = False


@dataclass(frozen=True)
class Rule:
    """How many inputs and tensors an operation has, its settings, and the shapes of its results."""

    inputs: tuple[int, int]
    shapes: Callable[[Node, Sequence[Shape], Sequence[Shape]], Sequence[Shape]]
    settings: Mapping[str, type | str] = field(default_factory=dict)
    tensors: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Graph:
    """A checked graph; ``shapes`` has the shape of each value, ``work`` the bytes that one row and step take."""

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    shapes: tuple[Shape, ...]
    work: int

    @cached_property
    def first_values(self) -> list[int]:
        """The number of each node's first result."""
        numbers, number = [], len(self.inputs)
        for node in self.nodes:
            numbers.append(number)
            number += results_of(node)
        return numbers

    @cached_property
    def ends(self) -> list[list[int]]:
        """For each node, the values that nothing needs after it."""
        last = {value: place for place, node in enumerate(self.nodes) for value in node.inputs}
        ends: list[list[int]] = [[] for _ in self.nodes]
        for value, place in last.items():
            if value not in self.outputs:
                ends[place].append(value)
        return ends

    @property
    def has_steps(self) -> bool:
        """Whether an input has a time axis."""
        return any("T" in declared.shape for declared in self.inputs)

    @property
    def takes_rows(self) -> bool:
        """Whether an input has an axis of rows."""
        return any("N" in declared.shape for declared in self.inputs)

    def is_over_time(self, node: Node) -> bool:
        """Whether a layer or convolution runs over time, so that a stream carries something for it."""
        x = self.shapes[node.inputs[0]] if node.inputs else ()
        return (node.op == "layer" and x[1 if node.batch_first else 0] == "T") or (node.op == "conv1d" and x[2] == "T")

    def why_no_stream(self) -> str | None:
        """Return why it can't run step by step, or None."""
        if not self.has_steps:
            return "none of its inputs has a time axis of any length: call it"
        # Values that are complete only at the last step, and those that are constants.
        final, constants = set[int](), set[int]()
        for node, first in zip(self.nodes, self.first_values, strict=True):
            results = range(first, first + results_of(node))
            if reason := self._why_not_over_time(node):
                return f"{label(node)} {reason}"
            over_time = node.op == "layer" and self.is_over_time(node)
            if over_time and not constants >= set(node.inputs[1:]):
                return f"{label(node)} takes its state from an argument: carry it yourself, with inputs of one step"
            if final & set(node.inputs) and any("T" in str(self.shapes[k]) for k in results):
                return f"{label(node)} reads what is known only after the last step"
            if node.op == "constant":
                constants.update(results)
            if node.op == "last" or (over_time and len(results) > 1):
                final.update(results[1:] if over_time else results)
            if final & set(node.inputs):
                final.update(results)
        return None

    def _why_not_over_time(self, node: Node) -> str | None:
        """Return what a node needs besides the steps so far, or None."""
        x = self.shapes[node.inputs[0]] if node.inputs else ()
        axes = [node.axis] if node.op == "softmax" else node.axes if node.op in ("mean", "maximum") else []
        if any(x[axis] == "T" for axis in axes):
            return "needs all time steps at once: return what it is taken of, and take it outside"
        if not self.is_over_time(node):
            return None
        if node.op == "layer" and node.bidirectional:
            return "is bidirectional, so it also reads from the end"
        return "runs over one row, which all rows would share" if self.takes_rows and "N" not in x else None

    def to_json(self) -> str:
        """Return the JSON that `parse` reads."""
        nodes = [
            {"op": node.op, "name": node.name, "inputs": node.inputs, "tensors": node.tensors, **node.settings}
            for node in self.nodes
        ]
        inputs = [{"name": declared.name, "shape": declared.shape, "ints": declared.ints} for declared in self.inputs]
        return json.dumps({"inputs": inputs, "nodes": nodes, "outputs": self.outputs})


def label(node: Node) -> str:
    """Return what messages call a node."""
    return f"`{node.name}` ({node.op})" if node.name else node.op


def results_of(node: Node) -> int:
    """Return the number of a node's results: a layer's are its output and states, a cell's its states."""
    return STATES[node.cell] + (node.op == "layer") if node.op in ("layer", "cell") else 1


def parse(text: str, tensors: Callable[[str], Sequence[int] | None]) -> Graph:
    """Read the graph of a file whose ``tensors`` have these shapes; raise FileFormatError if it is bad."""
    brackets = text.count("[") + text.count("{")
    if len(text) > MOST_TEXT or brackets > 64 + len(text) // 8:  # as Python objects it would take many times its size
        raise FileFormatError(
            f"its graph has {len(text):,} characters and {brackets:,} brackets, more than graphs need"
        )
    try:
        data = json.loads(text, object_pairs_hook=_object)
        for name in ("inputs", "nodes", "outputs"):
            if len(data[name]) > MOST_NODES:
                raise GraphError(f"it has {len(data[name]):,} {name}, at most {MOST_NODES:,} are allowed")
        inputs = tuple(_input(**declared) for declared in _list(data["inputs"], "inputs"))
        nodes = tuple(_node(**node) for node in _list(data["nodes"], "nodes"))
        return checked(inputs, nodes, _ints(data["outputs"], "outputs"), tensors)
    except (KeyError, TypeError, GraphError, RecursionError, ValueError) as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise FileFormatError(f"its graph is damaged: {missing}") from error


def checked(
    inputs: tuple[Input, ...],
    nodes: tuple[Node, ...],
    outputs: tuple[int, ...],
    tensors: Callable[[str], Sequence[int] | None],
) -> Graph:
    """Return the graph, after checking every shape and its memory; raise GraphError with the node's name."""
    if not inputs or not nodes or not outputs:
        raise GraphError("it needs an input, a node and an output")
    shapes: list[Shape] = [declared.shape for declared in inputs]
    whole = [declared.ints for declared in inputs]
    stored = {name: tensors(name) or () for node in nodes for name in node.tensors}
    forms: dict[str, Mapping[str, Any]] = {}  # in which nodes read their weights, by prefix
    work, limit = 4 * sum(map(_size, shapes)), WORK + WORK_PER_BYTE * sum(map(prod, stored.values()))
    for place, node in enumerate(nodes):
        try:
            results, has_ints = infer(node, shapes, whole, tensors)
            if "prefix" in node.settings:
                form = {**_WHOLE_CELL, **node.settings, "batch_first": False}
                if node.prefix not in forms:
                    _check_weights(node, tensors)
                if forms.setdefault(node.prefix, form) != form:
                    raise GraphError("another node reads its weights in another form")
            shapes += map(_checked_shape, results)
            work += 4 * (_scratch(node, shapes) + sum(map(_size, results)))
        except (GraphError, AttributeError, KeyError, IndexError, TypeError) as error:
            raise GraphError(f"node {place}, {label(node)}: {error}") from None
        whole += [has_ints] * len(results)
        if work > limit:
            raise GraphError(
                f"node {place}, {label(node)}: up to here one row and step take {work:,} bytes of working memory, "
                f"and with its weights at most {limit:,} are allowed"
            )
    if not all(0 <= value < len(shapes) for value in outputs):
        raise GraphError(f"its outputs {list(outputs)} are not among its {len(shapes)} values")
    return Graph(inputs, nodes, outputs, tuple(shapes), work)


def infer(
    node: Node, shapes: Sequence[Shape], whole: Sequence[bool], tensors: Callable[[str], Sequence[int] | None]
) -> tuple[Sequence[Shape], bool]:
    """Return the shapes of a node's results, and whether they are integers."""
    rule = RULES.get(node.op)
    if rule is None:
        raise GraphError(f"there is no such operation; the list has {' '.join(RULES)}")
    for what, numbers, (least, most) in (("inputs", node.inputs, rule.inputs), ("tensors", node.tensors, rule.tensors)):
        if not least <= len(numbers) <= most:
            raise GraphError(f"it has {len(numbers)} {what}, expected {least} to {most}")
    if set(node.settings) != set(rule.settings):
        raise GraphError(f"its settings are {sorted(node.settings)}, expected {sorted(rule.settings)}")
    for name, kind in rule.settings.items():
        _check_setting(name, node.settings[name], kind)
    if any(not 0 <= value < len(shapes) for value in node.inputs):
        raise GraphError(f"it reads values {list(node.inputs)}, but there are {len(shapes)} before it: is it cyclic?")
    reads_ints = _reads_ints(node, whole)
    stored = []
    for name in node.tensors:
        shape = tensors(name)
        if shape is None:
            raise GraphError(f"there is no tensor {name!r}")
        stored.append(tuple(shape))
    return rule.shapes(node, [shapes[value] for value in node.inputs], stored), reads_ints and node.op != "embedding"


_FOR_INTEGERS = ("embedding", "reshape", "transpose", "slice", "concatenate", "last", "pad")


def _reads_ints(node: Node, whole: Sequence[bool]) -> bool:
    """Whether a node reads integers; raise GraphError if it must not, or reads both."""
    kinds = {whole[value] for value in node.inputs}
    if len(kinds) > 1:
        raise GraphError("it reads both integers and numbers")
    reads_ints = True in kinds
    if reads_ints and node.op not in _FOR_INTEGERS:
        raise GraphError("it reads integers, which only an embedding turns into numbers")
    if node.op == "embedding" and not reads_ints:
        raise GraphError("an embedding reads integers")
    return reads_ints


def _check_weights(node: Node, tensors: Callable[[str], Sequence[int] | None]) -> None:
    """Check the shapes of a layer's or cell's weights."""
    is_layer = node.op == "layer"
    L, D, H = (node.num_layers, 1 + node.bidirectional, node.hidden_size) if is_layer else (1, 1, node.hidden_size)
    P = (node.proj_size if is_layer else 0) or H
    if not (1 <= L <= MOST_NODES and 1 <= H < MOST_SIZE and 1 <= node.input_size < MOST_SIZE and P <= H):
        raise GraphError(f"its sizes are input {node.input_size}, hidden {H}, projection {P} and {L} layers")
    if P != H and STATES[node.cell] == 1:
        raise GraphError("only an LSTM has a projection")
    for layer in range(L):
        for suffix in ("", "_reverse")[:D]:
            features, rows = node.input_size if layer == 0 else D * P, GATES[node.cell] * H
            wanted: dict[str, Shape] = {"weight_ih": (rows, features), "weight_hh": (rows, P)}
            wanted |= {"bias_ih": (rows,), "bias_hh": (rows,)} if node.bias else {}
            wanted |= {"weight_hr": (P, H)} if P != H else {}
            for stem, shape in wanted.items():
                name = f"{node.prefix}{stem}_l{layer}{suffix}"
                stored = tensors(name)
                if stored is None or tuple(stored) != shape:
                    raise GraphError(f"tensor {name!r} has shape {stored}, expected {list(shape)}")


def _scratch(node: Node, shapes: Sequence[Shape]) -> int:
    """Return how many numbers an operation needs besides its results: a convolution's padded input."""
    if node.op != "conv1d":
        return 0
    shape = shapes[node.inputs[0]]
    return _size(shape[:2]) * (_size(shape[2:]) + int(sum(node.padding)))


def _size(shape: Shape) -> int:
    return prod(size for size in shape if isinstance(size, int))


def _checked_shape(shape: Shape) -> Shape:
    letters = "".join(size for size in shape if isinstance(size, str))
    if len(shape) > 8 or letters.count("T") > 1 or letters.count("N") > 1:
        raise GraphError(f"its result has shape {list(shape)}: more than 8 axes, or two axes of time or of rows")
    if any(size not in SYMBOLS if isinstance(size, str) else not 1 <= size < MOST_SIZE for size in shape):
        raise GraphError(f"its result has shape {list(shape)}: sizes are from 1 to {MOST_SIZE - 1:,}, or N and T")
    return tuple(shape)


def _check_setting(name: str, value: object, kind: type | str) -> None:
    if kind == "shape":
        fits = isinstance(value, tuple) and all(type(size) is int or size in SYMBOLS for size in value)
    elif kind == "cell":
        fits, kind = isinstance(value, str) and value in STATES, f"one of {' '.join(STATES)}"
    elif kind == "ints":
        fits = isinstance(value, tuple) and all(type(part) is int for part in value)
    elif kind is float:
        fits = type(value) in (int, float) and abs(value) < 3e38  # type: ignore[arg-type]
    else:
        fits = type(value) is kind
    if not fits:
        raise GraphError(f"its {name} is {value!r:.40}, expected {getattr(kind, '__name__', kind)}")
    if (type(value) is int and abs(value) > MOST_SIZE) or (isinstance(value, tuple) and len(value) > 8):
        raise GraphError(f"its {name} is {value!r:.40}, out of range")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise GraphError(f"a description repeats one of {', '.join(map(repr, names))[:200]}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in pairs}


def _list(value: Any, name: str) -> Sequence[dict[str, Any]]:
    if not isinstance(value, tuple) or not all(isinstance(part, dict) for part in value):
        raise GraphError(f"its {name} are not a list of descriptions")
    return value


def _ints(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or any(type(part) is not int for part in value):
        raise GraphError(f"{name} must be a list of integers, got {value!r:.60}")
    return value


def _input(name: Any, shape: Any, ints: Any) -> Input:
    if not (isinstance(name, str) and isinstance(shape, tuple) and type(ints) is bool):
        raise GraphError(f"input {name!r:.60} is not described as inputs are")
    if any("*" in str(size) for size in shape):
        raise GraphError(f"input {name!r:.60} has shape {list(shape)}: rows and steps are axes of their own")
    return Input(name, _checked_shape(shape), ints)


def _node(op: Any, name: Any, inputs: Any, tensors: Any = (), **settings: Any) -> Node:
    if not (isinstance(op, str) and isinstance(name, str) and isinstance(tensors, tuple)):
        raise GraphError(f"node {name!r:.60} has no operation, name and tensors")
    if any(not isinstance(tensor, str) for tensor in tensors):
        raise GraphError(f"node {name!r:.60}: the names of its tensors are {tensors!r:.60}")
    return Node(op, name, _ints(inputs, f"the inputs of node {name!r:.60}"), tensors, settings)


# The rules: each takes a node and the shapes of its inputs and tensors, and returns those of its results.


def _need(fits: bool, message: str) -> None:
    if not fits:
        raise GraphError(message)


def _axis(shape: Shape, axis: int, allowed: Sequence[str] = ()) -> int | str:
    """Return the size of an axis: an integer, or one of the ``allowed`` symbols."""
    _need(0 <= axis < len(shape), f"it names axis {axis} of a value of shape {list(shape)}")
    size = shape[axis]
    _need(
        isinstance(size, int) or size in allowed,
        f"axis {axis} of {list(shape)} is {size}, which would mix rows or steps",
    )
    return size


def _same(_node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    return [shapes[0]]


def _broadcast(_node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    first, second = shapes
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True)
    result: list[int | str] = []
    for a, b in pairs:
        _need(a == b or 1 in (a, b), f"shapes {list(first)} and {list(second)} do not fit each other")
        result.append(b if a == 1 else a)
    return [tuple(result)]


def _linear(_node: Node, shapes: Sequence[Shape], stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,), weight = shapes, stored[0]
    _need(len(weight) == 2 and bool(x) and x[-1] == weight[1], f"x has shape {list(x)}, and the weight {list(weight)}")
    _need(all(bias == weight[:1] for bias in stored[1:]), "the bias does not fit the weight")
    return [(*x[:-1], weight[0])]


def _embedding(_node: Node, shapes: Sequence[Shape], stored: Sequence[Shape]) -> Sequence[Shape]:
    _need(len(stored[0]) == 2, "its weight is not a matrix")
    return [(*shapes[0], stored[0][1])]


def _constant(node: Node, _shapes: Sequence[Shape], stored: Sequence[Shape]) -> Sequence[Shape]:
    return [stored[0] if stored else ()]


def _conv1d(node: Node, shapes: Sequence[Shape], stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,), weight = shapes, stored[0]
    _need(
        len(x) == 3 and len(weight) == 3, f"x has shape {list(x)}, and the weight {list(weight)}: expected three axes"
    )
    rows, channels, length = x
    out, per_group, taps = (int(size) for size in weight)
    stride, dilation, groups = node.stride, node.dilation, node.groups
    _need(min(stride, dilation, groups) >= 1 and len(node.padding) == 2 and min(node.padding) >= 0, "its settings")
    _need(channels == per_group * groups and out % groups == 0, f"{channels} channels do not fit {list(weight)}")
    _need(all(bias == weight[:1] for bias in stored[1:]), "the bias does not fit the weight")
    reach = (taps - 1) * dilation
    if isinstance(length, str):
        causal = length == "T" and rows in ("N", 1) and stride == 1 and node.padding == (reach, 0)
        _need(causal, "over time only a causal convolution is in the list: stride 1, padded only on the left")
        return [(rows, out, length)]
    room = length + sum(node.padding) - reach
    _need(room >= 1, f"its {taps} taps do not fit {length} values")
    return [(rows, out, (room - 1) // stride + 1)]


def _pad(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,), amount = shapes, node.amount
    size = _axis(x, node.axis)
    _need(len(amount) == 2 and min(amount) >= 0 and node.mode in ("constant", "reflect"), "its amount or mode")
    _need(node.mode == "constant" or max(amount) < int(size), "it reflects more values than there are")
    return [(*x[: node.axis], int(size) + sum(amount), *x[node.axis + 1 :])]


def _layer_norm(node: Node, shapes: Sequence[Shape], stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,), count = shapes, node.count
    _need(1 <= count <= len(x), f"it normalises {count} axes of {list(x)}")
    for axis in range(len(x) - count, len(x)):
        _axis(x, axis)
    _need(all(weight == x[-count:] for weight in stored), f"its weights do not fit {list(x)}")
    return [x]


def _softmax(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    _axis(shapes[0], node.axis, ["T"])
    return [shapes[0]]


def _concatenate(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    sizes = [int(_axis(shape, node.axis)) for shape in shapes]
    rests = {(*shape[: node.axis], *shape[node.axis + 1 :]) for shape in shapes}
    _need(len(rests) == 1, f"shapes {[list(shape) for shape in shapes]} do not fit each other".replace("'", ""))
    return [(*shapes[0][: node.axis], sum(sizes), *shapes[0][node.axis + 1 :])]


def _slice(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,) = shapes
    size = _axis(x, node.axis)
    _need(0 <= node.start < node.stop <= int(size) and node.step >= 1, f"it takes {node.start}:{node.stop} of {size}")
    return [(*x[: node.axis], len(range(node.start, node.stop, node.step)), *x[node.axis + 1 :])]


def _last(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,) = shapes
    _need(_axis(x, node.axis, ["T"]) == "T", f"axis {node.axis} of {list(x)} is not time")
    return [(*x[: node.axis], *x[node.axis + 1 :])]


def runs(shape: Shape) -> list[int | str]:
    """Return the symbols of a shape, with the product of the sizes before, between and after them.

    >>> runs(("N", 2, 3, "T", 4))
    [1, 'N', 6, 'T', 4]
    """
    result: list[int | str] = [1]
    for size in shape:
        if isinstance(size, int):
            result[-1] *= size
        else:
            for letter in size.split("*"):
                result += [letter, 1]
    return result


def _reshape(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,) = shapes
    _need(runs(x) == runs(node.shape), f"{list(x)} as {list(node.shape)} would mix rows, steps and features")
    return [tuple(node.shape)]


def _transpose(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,) = shapes
    _need(sorted(node.order) == list(range(len(x))), f"its order is {list(node.order)} for {list(x)}")
    return [tuple(x[axis] for axis in node.order)]


def _reduce(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    (x,) = shapes
    _need(len(set(node.axes)) == len(node.axes) >= 1, f"its axes are {list(node.axes)}")
    for axis in node.axes:
        _axis(x, axis, ["T"])
    kept = [1 if axis in node.axes else size for axis, size in enumerate(x) if node.keep or axis not in node.axes]
    return [tuple(kept)]


def _layer(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    x, *states = shapes
    _need(len(x) == 3 and x[2] == node.input_size, f"x has shape {list(x)}, expected three axes and {node.input_size}")
    T, N = (x[1], x[0]) if node.batch_first else (x[0], x[1])
    fits = N in ("N", 1) if T == "T" else isinstance(T, int)
    _need(fits, f"x has shape {list(x)}, expected steps T (or a fixed number) and rows N")
    D, H = 1 + node.bidirectional, node.hidden_size
    P, count = node.proj_size or H, node.num_layers * D
    units = (P, H)[: STATES[node.cell]]
    _need(len(states) in (0, len(units)), f"it has {len(states)} states")
    for state, width in zip(states, units, strict=False):
        _need(state in ((count, N, width), (count, 1, width)), f"a state has shape {list(state)}")
    return [(*x[:2], D * P), *((count, N, width) for width in units)]


def _cell(node: Node, shapes: Sequence[Shape], _stored: Sequence[Shape]) -> Sequence[Shape]:
    x, *states = shapes
    _need(len(x) == 2 and x[1] == node.input_size, f"x has shape {list(x)}, expected two axes and {node.input_size}")
    count, H = STATES[node.cell], node.hidden_size
    _need(len(states) in (0, count), f"it has {len(states)} states")
    _need(all(state in ((x[0], H), (1, H)) for state in states), f"its states are {[list(state) for state in states]}")
    return [(x[0], H)] * count


_SIZES: dict[str, type | str] = {"prefix": str, "cell": "cell", "input_size": int, "hidden_size": int, "bias": bool}
ELEMENTWISE = ("relu", "silu", "tanh", "sigmoid", "sqrt")
_WHOLE_CELL = {"num_layers": 1, "proj_size": 0, "bidirectional": False}
RULES: dict[str, Rule] = {
    "layer": Rule(
        (1, 3), _layer, {**_SIZES, "num_layers": int, "proj_size": int, "bidirectional": bool, "batch_first": bool}
    ),
    "cell": Rule((1, 3), _cell, _SIZES),
    "linear": Rule((1, 1), _linear, tensors=(1, 2)),
    "embedding": Rule((1, 1), _embedding, tensors=(1, 1)),
    "conv1d": Rule((1, 1), _conv1d, {"stride": int, "dilation": int, "groups": int, "padding": "ints"}, (1, 2)),
    "pad": Rule((1, 1), _pad, {"axis": int, "amount": "ints", "mode": str, "value": float}),
    "layer_norm": Rule((1, 1), _layer_norm, {"count": int, "eps": float}, (0, 2)),
    **{name: Rule((1, 1), _same) for name in ELEMENTWISE},
    "elu": Rule((1, 1), _same, {"alpha": float}),
    "gelu": Rule((1, 1), _same, {"tanh": bool}),
    "softmax": Rule((1, 1), _softmax, {"axis": int}),
    **{name: Rule((2, 2), _broadcast) for name in ("add", "subtract", "multiply", "divide")},
    "concatenate": Rule((1, MOST_NODES), _concatenate, {"axis": int}),
    "slice": Rule((1, 1), _slice, {"axis": int, "start": int, "stop": int, "step": int}),
    "last": Rule((1, 1), _last, {"axis": int}),
    "reshape": Rule((1, 1), _reshape, {"shape": "shape"}),
    "transpose": Rule((1, 1), _transpose, {"order": "ints"}),
    **{name: Rule((1, 1), _reduce, {"axes": "ints", "keep": bool}) for name in ("mean", "maximum")},
    "constant": Rule((0, 0), _constant, {"value": float}, (0, 1)),
}
