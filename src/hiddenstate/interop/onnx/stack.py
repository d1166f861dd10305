"""Finds the nodes of an ONNX graph that are layers of one LSTM, GRU or RNN."""

import math
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from hiddenstate.errors import ArgumentError, HiddenStateError
from hiddenstate.interop.onnx.evaluate import Array
from hiddenstate.interop.onnx.graph import Scope
from hiddenstate.interop.onnx.node import RecurrentNode

# Time steps and rows of the random numbers passed from one node to the next, if the graph does not give sizes.
_SIZES = ((3, 2), (2, 5))
_MOST = 1 << 26  # the maximum number of random samples


def group_into_stacks(nodes: Iterable[RecurrentNode]) -> list[list[RecurrentNode]]:
    """Group nodes into LSTMs, or GRUs or RNNs: a node joins the one whose output it reads, if that is unambiguous.

    Nothing else may read that output, both must have the same number of units, directions, biases and layout, and the
    nodes between them must only turn ``[T, D, N, H]`` into the ``[T, N, D*H]`` that the next layer of an LSTM reads,
    which is checked by running them on random numbers.
    """
    given = list(nodes)
    outs: dict[Scope, set[str]] = {}
    for node in given:
        outs.setdefault(node.scope, set()).add(_out(node))
    stacks: list[list[RecurrentNode]] = []
    last: dict[tuple[Scope, str], list[RecurrentNode]] = {}  # the last node of each stack, by its output
    for node in given:
        out = _read(node, outs[node.scope])
        stack = last.pop((node.scope, out), [])
        if not stack or not _is_next(stack[-1], node, out):
            stack = []
            stacks.append(stack)
        stack.append(node)
        last[node.scope, _out(node)] = stack
    return stacks


def _out(node: RecurrentNode) -> str:
    return node.node.output[0] if node.node.output else ""


def _read(node: RecurrentNode, outs: Collection[str]) -> str:
    """Return the one output among these on which a node depends, apart from constants; otherwise ""."""
    if "X" not in node.inputs:
        return ""
    _, leaves = node.scope.ancestors([node.inputs["X"]], stop=outs)
    read = [leaf for leaf in leaves if leaf not in node.scope.constants]
    return read[0] if len(read) == 1 and read[0] in outs else ""


def _is_next(below: RecurrentNode, above: RecurrentNode, out: str) -> bool:
    return _alike(below, above) and _read_by_none_else(above, out) and _only_joins(below, above, out)


def _alike(below: RecurrentNode, above: RecurrentNode) -> bool:
    names = ("hidden_size", "direction", "layout", "activations", "linear_before_reset")
    options = [[node.attributes.get(name) for name in names] for node in (below, above)]
    return options[0] == options[1] and ("B" in below.inputs) == ("B" in above.inputs)


def _read_by_none_else(above: RecurrentNode, out: str) -> bool:
    """Whether the node above is the only one that reads the output (others may read its shape)."""
    scope = above.scope
    between, _ = scope.ancestors([above.inputs["X"]], stop=[out])
    values = {out}  # includes values computed from it, which other nodes could also read
    for node in between:
        values.update(node.output if values & set(node.input) else ())
    outputs = [node.output[0] for node in (*between, above.node)]
    readers = [node for name in values for node in scope.consumers(name)]
    return not values & scope.outputs and all(n.op_type == "Shape" or n.output[0] in outputs for n in readers)


def _only_joins(below: RecurrentNode, above: RecurrentNode, out: str) -> bool:
    scope = above.scope
    between, leaves = scope.ancestors([above.inputs["X"]], stop=[out])
    try:
        constants = {leaf: scope.constant(leaf) for leaf in leaves - {out}}
        for y in _samples(below, out):
            x = scope.compute(above.inputs["X"], between, {**constants, out: y}) if between else y
            if not np.array_equal(x, _joined(y, below.batch_first)):
                return False
    except HiddenStateError:
        return False
    return True


def _samples(node: RecurrentNode, out: str) -> Iterator[Array]:
    """Yield random outputs of a node, including negative ones, with the graph's sizes or default sizes."""
    H, D = node.attributes.get("hidden_size", 1), node.directions
    known = node.scope.shapes.get(out)
    shapes = [(N, T, D, H) if node.batch_first else (T, D, N, H) for T, N in _SIZES] if known is None else [known]
    for shape in shapes:
        if math.prod(shape) > _MOST:
            raise ArgumentError(f"an output of shape {list(shape)} is too large to be tested")
        yield np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _joined(y: Array, batch_first: bool) -> Array:
    """Turn ``[T, D, N, H]`` into ``[T, N, D*H]``, or with ``batch_first`` ``[N, T, D, H]`` into ``[N, T, D*H]``."""
    y = y if batch_first else y.swapaxes(1, 2)
    return y.reshape(*y.shape[:2], -1)
