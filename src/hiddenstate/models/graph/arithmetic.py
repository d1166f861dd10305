"""Runs a graph in NumPy, over whole sequences or chunk by chunk; recurrent layers are run by functions given to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, ShapeError
from hiddenstate.models.graph.graph import STATES, Graph, Node, Shape, label, results_of

Array = NDArray[Any]
# Runs a layer on x [T, N, C], from states or None: returns out [T, N, D*P] and the states.
RunLayer = Callable[..., Sequence[Array]]
# What is carried from chunk to chunk, by the number of the node: a layer's states, a convolution's last inputs.
Carried = dict[int, tuple[Array, ...]]


def read_arguments(graph: Graph, arguments: Sequence[Any]) -> tuple[list[Array], dict[str, int]]:
    """Return the arguments as arrays, and the sizes of ``N`` and ``T``; raise an error if one does not fit."""
    if len(arguments) != len(graph.inputs):
        names = ", ".join(declared.name for declared in graph.inputs)
        raise ArgumentError(f"this model takes {len(graph.inputs)} arguments ({names}), got {len(arguments)}")
    sizes: dict[str, int] = {}
    arrays = []
    for declared, argument in zip(graph.inputs, arguments, strict=True):
        try:
            value = np.asarray(argument)
        except ValueError:  # lists of different lengths
            raise ArgumentTypeError(f"{declared.name} must be an array of numbers") from None
        if value.dtype.kind not in ("iu" if declared.ints else "fiub"):
            expected = "integers" if declared.ints else "real numbers"
            raise ArgumentTypeError(f"{declared.name} must be an array of {expected}, got dtype {value.dtype}")
        wanted = [size if isinstance(size, int) else sizes.get(size, size) for size in declared.shape]
        fits = len(wanted) == value.ndim and all(
            size >= 1 if isinstance(want, str) else size == want for want, size in zip(wanted, value.shape, strict=True)
        )
        if not fits:
            expected = f"{wanted}; N and T are at least 1" if 0 in value.shape else f"{wanted}"
            raise ShapeError(f"{declared.name} has shape {list(value.shape)}, expected {expected}".replace("'", ""))
        sizes |= {want: size for want, size in zip(wanted, value.shape, strict=True) if isinstance(want, str)}
        arrays.append(np.ascontiguousarray(value, np.int64 if declared.ints else np.float32))
    return arrays, sizes


def run(
    graph: Graph,
    arguments: Sequence[Array],
    sizes: Mapping[str, int],
    tensors: Mapping[str, Array],
    layers: Mapping[str, RunLayer],
    carried: Carried | None = None,
) -> tuple[list[Array], Carried]:
    """Return the outputs, and what the next chunk needs; ``carried`` is what the last one returned."""
    values: dict[int, Array] = dict(enumerate(arguments))
    after: Carried = {}
    with np.errstate(all="ignore"):  # as in torch
        for place, (node, first) in enumerate(zip(graph.nodes, graph.first_values, strict=True)):
            inputs = [values[value] for value in node.inputs]
            stored = _stored(node, tensors)
            over_time = graph.is_over_time(node)
            before = None if carried is None else carried.get(place)
            if node.op == "layer":
                results = _run_layer(node, inputs, layers[node.prefix], before)
                if over_time:
                    after[place] = tuple(part.copy() for part in results[1:])
            elif node.op == "cell":
                initial = [_rows_of(state, len(inputs[0]))[None] for state in inputs[1:]]
                _, *states = layers[node.prefix](inputs[0][None], *initial)
                results = [state[0] for state in states]
            elif over_time:
                result, context = _causal(node, inputs[0], stored, before)
                results, after[place] = [result], (context,)
            elif node.op == "reshape":
                results = [inputs[0].reshape(_sizes(node.shape, sizes))]
            else:
                results = [COMPUTE[node.op](node, inputs, stored)]
            values.update(zip(range(first, first + results_of(node)), results, strict=True))
            for value in graph.ends[place]:
                values.pop(value, None)
    return [_own(values[value], value < len(arguments)) for value in graph.outputs], after


def initial_state(graph: Graph, rows: int, tensors: Mapping[str, Array]) -> Carried:
    """Return what a stream of these rows carries before its first step."""
    carried: Carried = {}
    constants = {
        first: node for node, first in zip(graph.nodes, graph.first_values, strict=True) if node.op == "constant"
    }
    for place, node in enumerate(graph.nodes):
        if not graph.is_over_time(node):
            continue
        if node.op == "layer":
            count, H = node.num_layers * (1 + node.bidirectional), node.hidden_size
            sizes = [(count, rows, units) for units in (node.proj_size or H, H)[: STATES[node.cell]]]
            initial = [
                COMPUTE["constant"](constants[value], (), _stored(constants[value], tensors))
                for value in node.inputs[1:]
            ]
            values = initial or [np.zeros(1, np.float32)] * len(sizes)
            carried[place] = tuple(np.broadcast_to(*pair).copy() for pair in zip(values, sizes, strict=True))
        else:
            channels = int(graph.shapes[node.inputs[0]][1])
            reach = (tensors[node.tensors[0]].shape[2] - 1) * node.dilation
            carried[place] = (np.zeros((rows, channels, reach), np.float32),)
    return carried


def _own(value: Array, is_argument: bool) -> Array:
    """Return a result as an array of its own: it may be an argument, a part of one, or a weight."""
    return value if value.flags.owndata and value.flags.c_contiguous and not is_argument else value.copy()


def _stored(node: Node, tensors: Mapping[str, Array]) -> list[Array]:
    return [tensors[name] for name in node.tensors]


def _sizes(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(np.prod([sizes.get(part) or int(part) for part in str(size).split("*")])) for size in shape)


def _rows_of(state: Array, rows: int) -> Array:
    """Return a state ``[..., N, H]``, of which one row stands for all."""
    return np.array(np.broadcast_to(state, (*state.shape[:-2], rows, state.shape[-1])))


def _run_layer(node: Node, inputs: Sequence[Array], layer: RunLayer, before: Sequence[Array] | None) -> list[Array]:
    x, *initial = inputs
    if node.batch_first:
        x = x.swapaxes(0, 1)
    states = before or [_rows_of(state, x.shape[1]) for state in initial]
    out, *after = layer(np.ascontiguousarray(x), *states)
    return [out.swapaxes(0, 1) if node.batch_first else out, *after]


def _causal(node: Node, x: Array, stored: Sequence[Array], before: Sequence[Array] | None) -> tuple[Array, Array]:
    """Convolve over time; the inputs before a chunk are those carried, or zeros."""
    reach = (stored[0].shape[2] - 1) * node.dilation
    context = before[0] if before else np.zeros((*x.shape[:2], reach), np.float32)
    wide = np.concatenate([context, x], axis=2)
    return _convolve(node, wide, stored), wide[:, :, wide.shape[2] - reach :].copy()


def _convolve(node: Node, x: Array, stored: Sequence[Array]) -> Array:
    weight, g = stored[0], node.groups
    O, per_group, taps = weight.shape
    length = (x.shape[2] - (taps - 1) * node.dilation - 1) // node.stride + 1
    grouped = x.reshape(x.shape[0], g, per_group, x.shape[2])
    result = np.zeros((x.shape[0], g, O // g, length), np.float32)
    for tap in range(taps):
        first = tap * node.dilation
        part = grouped[..., first : first + (length - 1) * node.stride + 1 : node.stride]
        result += weight[:, :, tap].reshape(g, O // g, per_group) @ part
    result = result.reshape(x.shape[0], O, length)
    return result + stored[1][:, None] if len(stored) > 1 else result


def _conv1d(node: Node, inputs: Sequence[Array], stored: Sequence[Array]) -> Array:
    return _convolve(node, np.pad(inputs[0], ((0, 0), (0, 0), node.padding)), stored)


def _pad(node: Node, inputs: Sequence[Array], _stored: Sequence[Array]) -> Array:
    (x,) = inputs
    amounts = [(0, 0)] * x.ndim
    amounts[node.axis] = node.amount
    return (
        np.pad(x, amounts, mode="reflect") if node.mode == "reflect" else np.pad(x, amounts, constant_values=node.value)
    )


def _layer_norm(node: Node, inputs: Sequence[Array], stored: Sequence[Array]) -> Array:
    (x,), axes = inputs, tuple(range(-node.count, 0))
    centred = x - x.mean(axes, keepdims=True)
    result: Array = centred / np.sqrt((centred * centred).mean(axes, keepdims=True) + np.float32(node.eps))
    result = result * stored[0] if stored else result
    return result + stored[1] if len(stored) > 1 else result


def _embedding(node: Node, inputs: Sequence[Array], stored: Sequence[Array]) -> Array:
    (ids,), count = inputs, len(stored[0])
    if ids.size and not (ids.min() >= 0 and ids.max() < count):
        raise IndexRangeError(f"{label(node)} has {count} rows, but is asked for {ids.min()} to {ids.max()}")
    return stored[0][ids]


def _softmax(node: Node, inputs: Sequence[Array], _stored: Sequence[Array]) -> Array:
    raised = np.exp(inputs[0] - inputs[0].max(node.axis, keepdims=True))
    return raised / raised.sum(node.axis, keepdims=True)


def _gelu(node: Node, inputs: Sequence[Array], _stored: Sequence[Array]) -> Array:
    (x,) = inputs
    if node.tanh:
        return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    # Abramowitz and Stegun, formula 7.1.26: its error is below 1.5e-7.
    z = np.abs(x.astype(np.float64)) * 0.5**0.5
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


Compute = Callable[[Node, Sequence[Array], Sequence[Array]], Array]


def _with_one(function: Callable[[Any], Array]) -> Compute:
    return lambda _node, inputs, _stored: function(inputs[0])


def _with_two(function: Callable[[Any, Any], Array]) -> Compute:
    return lambda _node, inputs, _stored: function(inputs[0], inputs[1])


def _linear(_node: Node, inputs: Sequence[Array], stored: Sequence[Array]) -> Array:
    result: Array = inputs[0] @ stored[0].T
    return result + stored[1] if len(stored) > 1 else result


def _slice(node: Node, inputs: Sequence[Array], _stored: Sequence[Array]) -> Array:
    return inputs[0][(*[slice(None)] * node.axis, slice(node.start, node.stop, node.step))]


COMPUTE: dict[str, Compute] = {
    "linear": _linear,
    "embedding": _embedding,
    "conv1d": _conv1d,
    "pad": _pad,
    "layer_norm": _layer_norm,
    "relu": _with_one(lambda x: np.maximum(x, 0)),
    "silu": _with_one(lambda x: x * _sigmoid(x)),
    "tanh": _with_one(np.tanh),
    "sigmoid": _with_one(_sigmoid),
    "sqrt": _with_one(np.sqrt),
    "elu": lambda node, inputs, _: np.where(
        inputs[0] > 0, inputs[0], np.float32(node.alpha) * np.expm1(np.minimum(inputs[0], 0))
    ),
    "gelu": _gelu,
    "softmax": _softmax,
    "add": _with_two(np.add),
    "subtract": _with_two(np.subtract),
    "multiply": _with_two(np.multiply),
    "divide": _with_two(np.divide),
    "concatenate": lambda node, inputs, _: np.concatenate(inputs, node.axis),
    "slice": _slice,
    "last": lambda node, inputs, _: inputs[0].take(-1, node.axis),
    "transpose": lambda node, inputs, _: inputs[0].transpose(node.order),
    "mean": lambda node, inputs, _: inputs[0].mean(node.axes, keepdims=node.keep),
    "maximum": lambda node, inputs, _: inputs[0].max(node.axes, keepdims=node.keep),
    "constant": lambda node, _, stored: stored[0] if stored else np.array(node.value, np.float32),
}
