"""An LSTM, GRU or RNN node of an ONNX graph: its weights, its features that this library does not support, its stack.

The operators: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html and onnx__RNN.html
"""

import math
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from hiddenstate.cells.cell import Weights
from hiddenstate.errors import ArgumentError, HiddenStateError, RankError, ShapeError
from hiddenstate.interop.layouts import (
    ONNX,
    ONNX_GRU,
    ONNX_GRU_RESET_FIRST,
    ONNX_RNN,
    WeightLayout,
    to_tensor,
    to_weights,
)
from hiddenstate.interop.onnx.graph import Array, Scope

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
# The activations of each direction. LSTM: i, o and f; g; c in h. GRU: z and r; n. RNN: h.
_ACTIVATIONS = {
    "LSTM": (("Sigmoid", "Tanh", "Tanh"),),
    "GRU": (("Sigmoid", "Tanh"),),
    "RNN": (("Tanh",), ("Relu",)),  # the first one is the default
}
# Known attributes, including those without effect here, because these activations have no alpha or beta.
_FREE = {
    *("hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta", "output_sequence"),
    "linear_before_reset",
}
# Operators that repeat or move a state, but keep zeros.
_SPREADS = ("Expand", "Tile", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Identity", "Cast")
# Time steps and rows of the random numbers passed from one node to the next, if the graph does not give sizes.
_SIZES = ((3, 2), (2, 5))
_MOST_SAMPLES = 1 << 26  # the maximum number of random samples


@dataclass(frozen=True)
class RecurrentNode:
    """An LSTM, GRU or RNN node and its graph."""

    name: str
    node: NodeProto
    scope: Scope

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Names of the values that it reads, by the operator's names."""
        return {role: name for role, name in zip(_INPUTS, self.node.input, strict=False) if name}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Its attributes."""
        return {attribute.name: helper.get_attribute_value(attribute) for attribute in self.node.attribute}

    @property
    def cell(self) -> str:
        """``LSTM``, ``GRU`` or ``RNN``."""
        return str(self.node.op_type)

    @property
    def layout(self) -> WeightLayout:
        """The layout of its arrays. By default, a GRU resets the state before the matrix product."""
        if self.cell == "GRU":
            return ONNX_GRU if self.attributes.get("linear_before_reset", 0) else ONNX_GRU_RESET_FIRST
        return ONNX_RNN if self.cell == "RNN" else ONNX

    @property
    def nonlinearity(self) -> str:
        """The activation of a plain RNN: ``tanh`` or ``relu``."""
        return (self._activations() or ["tanh"])[0].lower()

    @property
    def direction(self) -> str:
        """``forward``, ``reverse`` or ``bidirectional``."""
        return str(self.attributes.get("direction", b"forward"), "utf-8")

    @property
    def directions(self) -> int:
        """D: 2 with a reverse direction, otherwise 1."""
        return 2 if self.direction == "bidirectional" else 1

    @property
    def batch_first(self) -> bool:
        """Whether its input is ``[N, T, C]``."""
        return bool(self.attributes.get("layout", 0))

    def weights(self, *, flipped: bool = False) -> list[Weights]:
        """Return the weights of its directions. Values are copied."""
        self._refuse(flipped)
        arrays = {role: self._array(role) for role in ONNX.names if role in self.inputs}
        for role, array in arrays.items():
            if len(array) != self.directions:
                has = f"direction={self.direction!r} has {self.directions}"
                raise ShapeError(f"{role} of {self} is for {len(array)} directions, but {has}")
        tensors = {role: to_tensor(array, role) for role, array in arrays.items()}
        weights = [to_weights({role: t[d] for role, t in tensors.items()}, self.layout) for d in range(self.directions)]
        H, declared = weights[0].hh.shape[1], self.attributes.get("hidden_size")
        if declared != H:
            raise ArgumentError(f"{self} has hidden_size={declared}, but its R is for {H} units")
        return weights

    def warn_of_initial_state(self) -> None:
        """Warn about nonzero initial states in the graph, because our layers do not store any."""
        states = [
            role for role in ("initial_h", "initial_c") if role in self.inputs and self._is_set(self.inputs[role])
        ]
        if states:
            warnings.warn(
                f"{self} starts from {' and '.join(states)} in the graph, which is not zero: pass that to each "
                "call as hx, since calls start from zeros otherwise",
                stacklevel=6,  # points to the caller of from_onnx
            )

    def __str__(self) -> str:
        return f"the {self.cell} node {self.name!r}"

    def _array(self, role: str) -> Array:
        try:
            array = self.scope.constant(self.inputs[role])
        except ArgumentError as error:
            raise ArgumentError(
                f"{role} of {self} is not a constant: {error}. Values of the graph's inputs can be given with inputs="
            ) from error
        axes = 2 if role == ONNX.joined_bias else 3
        if array.ndim != axes:
            raise RankError(f"{role} of {self} must have {axes} axes, got shape {list(array.shape)}")
        return array

    def _is_set(self, name: str) -> bool:
        """Whether a state is a nonzero constant, perhaps expanded over the batch."""
        seen = set[str]()
        while name not in self.scope.constants and name not in seen:
            seen.add(name)  # a damaged graph can have cycles
            node = self.scope.producer(name)
            if node is None or node.op_type not in _SPREADS or not node.input:
                break
            name = node.input[0]
        try:
            return bool(self.scope.constant(name).any())
        except HiddenStateError:
            return False  # the value is given at run time

    def _refuse(self, flipped: bool) -> None:
        """Reject features that would change the results."""
        missing = [role for role in ("W", "R") if role not in self.inputs]
        if missing:
            raise ArgumentError(f"{self} has no {' and no '.join(missing)}")
        known = " or ".join(str(list(names)) for names in _ACTIVATIONS[self.cell])
        for refused, why in (
            (ONNX.peepholes in self.inputs, "has peepholes (its input P)"),
            ("clip" in self.attributes, f"clips its gates (clip={self.attributes.get('clip')})"),
            (self.attributes.get("input_forget", 0), "couples its input and forget gates (input_forget=1)"),
            ("hidden_size" not in self.attributes, "does not declare its hidden_size"),
            (self._other_activations(), f"has activations={self._activations()}, not {known}"),
        ):
            if refused:
                raise ArgumentError(f"{self} {why}, which an hs.{self.cell} does not support")
        unknown = sorted(set(self.attributes) - _FREE - {"clip", "input_forget"})
        if unknown:
            raise ArgumentError(f"{self} has unknown attributes: {', '.join(unknown)}")
        self._refuse_direction(flipped)

    def _refuse_direction(self, flipped: bool) -> None:
        if self.direction not in ("forward", "reverse", "bidirectional"):
            raise ArgumentError(f"{self} has direction={self.direction!r}: expected forward, reverse or bidirectional")
        if self.direction == "reverse" and not flipped:
            raise ArgumentError(
                f"{self} reads only in reverse, but an hs.{self.cell} reads forward or in both directions. With "
                "flipped=True you get one that reads forward: give it the flipped sequence, x.flip(0), and flip its "
                "output"
            )

    def _activations(self) -> list[str]:
        return [str(name, "utf-8") for name in self.attributes.get("activations", [])]

    def _other_activations(self) -> bool:
        got = [name.lower() for name in self._activations()]
        return bool(got) and all(
            got != [name.lower() for name in names * self.directions] for names in _ACTIVATIONS[self.cell]
        )


def group_into_stacks(nodes: Iterable[RecurrentNode]) -> list[list[RecurrentNode]]:
    """Group nodes of like sizes, each read only by the next, with nodes in between that only reorder axes."""
    listed = list(nodes)
    outs: dict[Scope, set[str]] = {}
    for node in listed:
        outs.setdefault(node.scope, set()).add(_out(node))
    stacks: list[list[RecurrentNode]] = []
    last: dict[tuple[Scope, str], list[RecurrentNode]] = {}  # the last node of each stack, by its output
    for node in listed:
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
        if math.prod(shape) > _MOST_SAMPLES:
            raise ArgumentError(f"an output of shape {list(shape)} is too large to be tested")
        yield np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _joined(y: Array, batch_first: bool) -> Array:
    """Turn ``[T, D, N, H]`` into ``[T, N, D*H]``, or with ``batch_first`` ``[N, T, D, H]`` into ``[N, T, D*H]``."""
    y = y if batch_first else y.swapaxes(1, 2)
    return y.reshape(*y.shape[:2], -1)
