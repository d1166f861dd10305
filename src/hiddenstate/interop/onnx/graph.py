"""Values in an ONNX graph: constants, values computed from constants, and the nodes between two values.

Constants are computed with onnx's reference evaluator, one node at a time and within bounds: the size of a node's
output is known before it runs, from the shapes of its inputs (and the values of small ones, such as a shape), so a node
whose output would be too large is rejected. Functions are inlined, after checking how large the result would be.
"""

import math
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
)
from onnx.inliner import inline_local_functions
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes

from hiddenstate.errors import ArgumentError, FileFormatError

Array = np.ndarray[Any, np.dtype[Any]]

# The maximum number of values that all nodes may produce in total: a fixed number, or a multiple of the initial values.
_MOST, _EXPANSION = 1 << 26, 32
_VALUES = 1024  # shape inference gets the values of inputs up to this size, and only the shapes of larger ones
# Operators that reorder, slice, join, unpack and rescale weights. Each takes time proportional to the size of its
# output, whose shape onnx infers.
_WORDS = """
    Abs Add And ArgMax ArgMin Cast CastLike Ceil Clip Concat Constant ConstantOfShape Cos CumSum DequantizeLinear
    Div Dropout Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Greater GreaterOrEqual
    Identity Less LessOrEqual Log Max Mean Min Mod Mul Neg Not OneHot Or Pad Pow QuantizeLinear Range Reciprocal
    ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round
    ScatterElements ScatterND Shape Sigmoid Sign Sin Size Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile
    Transpose Trilu Unsqueeze Where Xor
"""
_OPERATORS = frozenset(_WORDS.split())
# Matrix products take time proportional to rows × columns × the summed dimension.
_PRODUCTS = frozenset({"MatMul", "Gemm"})
_MOST_PRODUCTS = 1 << 34
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
# The maximum size of functions once they are inlined, and what a node takes besides its content, in bytes.
_MOST_BYTES, _NODE_BYTES = 1 << 28, 1000
_DEEPEST = 100  # maximum depth of nested function calls
Name = tuple[str, str, str]


def evaluate(model: ModelProto, name: str, nodes: Iterable[NodeProto], feeds: Mapping[str, Array]) -> Array:
    """Run nodes on values, and return one of the values that they compute."""
    values = dict(feeds)
    left = max(_MOST, _EXPANSION * sum(value.size for value in feeds.values()))
    for node in nodes:
        try:
            left -= _size(model, node, values)
            computed = _run(model, node, values) if left >= 0 else ()
        except ArgumentError as error:
            raise ArgumentError(f"{name!r} can't be computed: {error}") from error
        except Exception as error:  # onnx's reference implementation may raise any error
            raise ArgumentError(f"{name!r} can't be computed: {node.op_type}: {error}") from error
        if left < 0:
            raise ArgumentError(
                f"{name!r} can't be computed: {node.op_type} computes more numbers than an LSTM's weights have"
            )
        values.update(zip(node.output, computed, strict=False))
    return np.asarray(values[name])


def _size(model: ModelProto, node: NodeProto, values: Mapping[str, Array]) -> int:
    """Return how many values a node will compute."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in _OPERATORS | _PRODUCTS:
        raise ArgumentError(f"the operator {node.op_type} is not supported in the computation of weights")
    part = _model(model, node, values)
    inferred = {value.name: value.type for value in infer_shapes(part, strict_mode=True, data_prop=True).graph.output}
    size = sum(_numbers(inferred[name], node.op_type) for name in node.output if name)
    if node.op_type in _PRODUCTS and size * _summed(node, values[node.input[0]]) > _MOST_PRODUCTS:
        raise ArgumentError(f"{node.op_type} multiplies more numbers than an LSTM's weights have")
    return size


def _numbers(inferred: TypeProto, operator: str) -> int:
    dims = inferred.tensor_type.shape.dim
    if not inferred.tensor_type.HasField("shape") or not all(dim.HasField("dim_value") for dim in dims):
        raise ArgumentError(f"the number of values that {operator} computes is unknown")
    return math.prod(dim.dim_value for dim in dims)


def _summed(product: NodeProto, left: Array) -> int:
    """Return the length of the summed dimension of a matrix product."""
    turned = any(attribute.name == "transA" and attribute.i for attribute in product.attribute)
    return left.shape[0 if turned else -1] if left.ndim else 1


def _run(model: ModelProto, node: NodeProto, values: Mapping[str, Array]) -> list[Array]:
    part = _model(model, node, {})
    del part.graph.initializer[:]
    part.graph.input.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name)
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
    feeds = {name: values[name] for name in node.input if name}
    outputs = iter(ReferenceEvaluator(part).run(None, feeds))
    return [np.asarray(next(outputs)) if name else np.empty(0) for name in node.output]


def _model(model: ModelProto, node: NodeProto, values: Mapping[str, Array]) -> ModelProto:
    """Return a model of one node, with small inputs as values and others as shapes."""
    inputs, initializers = [], []
    for name in dict.fromkeys(name for name in node.input if name):
        if name not in values:
            continue
        value = values[name]
        is_text = value.dtype.kind == "O"
        dtype = TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(value.dtype)
        inputs.append(helper.make_tensor_value_info(name, dtype, value.shape))
        if value.size <= _VALUES and value.dtype.kind in "iuf":
            initializers.append(numpy_helper.from_array(value, name))
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "part", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


@dataclass(frozen=True, eq=False)
class Scope:
    """A graph's names, including those of the graphs around it."""

    model: ModelProto
    nodes: Sequence[NodeProto]  # this graph's nodes, in order
    constants: Mapping[str, TensorProto | Array]
    outputs: frozenset[str]  # this graph's outputs
    shapes: Mapping[str, tuple[int, ...]]  # the shapes of this graph's values whose sizes are all known
    around: "Scope | None" = None  # the enclosing graph
    place: int = 0  # the index of the enclosing node in that graph

    def constant(self, name: str) -> Array:
        """Return a value that does not depend on the graph's inputs, computed with onnx's reference if necessary."""
        nodes, leaves = self.ancestors([name])
        unknown = sorted(leaf for leaf in leaves if leaf not in self.constants)
        drawn = [node.op_type for node in nodes if node.op_type in _RANDOM]
        if name in unknown:
            raise ArgumentError(f"{name!r} is given at run time")
        if unknown or drawn:
            raise ArgumentError(f"{name!r} is computed at run time, from {', '.join(unknown or drawn)}")
        feeds = {leaf: self._array(leaf) for leaf in leaves}
        return feeds[name] if name in feeds else self.compute(name, nodes, feeds)

    def compute(self, name: str, nodes: Iterable[NodeProto], feeds: Mapping[str, Array]) -> Array:
        """Run nodes on values, with onnx's reference."""
        return evaluate(self.model, name, nodes, feeds)

    def ancestors(self, names: Iterable[str], stop: Iterable[str] = ()) -> tuple[list[NodeProto], set[str]]:
        """Find the nodes that compute some values, in order, and their sources: inputs, constants, ``stop``."""
        left, seen, leaves, stop = list(names), set[str](), set[str](), set(stop)
        nodes: dict[tuple[int, int], NodeProto] = {}
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            maker = None if name in stop or name in self.constants else self._maker(name)
            if maker is None or any(_subgraphs(maker[1])):
                leaves.add(name)
            elif maker[0] not in nodes:
                nodes[maker[0]] = maker[1]
                left += [name for name in maker[1].input if name]
        return [nodes[place] for place in sorted(nodes)], leaves

    def producer(self, name: str) -> NodeProto | None:
        """Return the node that computes a value."""
        maker = self._maker(name)
        return maker and maker[1]

    def consumers(self, name: str) -> Sequence[NodeProto]:
        """Return the nodes of this graph that read a value."""
        return self._consumers.get(name, ())

    def _maker(self, name: str) -> tuple[tuple[int, int], NodeProto] | None:
        """Return the node that computes a value, and its position: the depth of its graph, and its index there."""
        scope, before = self, len(self.nodes)
        while True:
            place = scope._makers.get(name, before)
            if place < before:
                return (scope._depth, place), scope.nodes[place]
            if scope.around is None:
                return None
            scope, before = scope.around, scope.place

    @cached_property
    def _depth(self) -> int:
        return 0 if self.around is None else self.around._depth + 1

    @cached_property
    def _makers(self) -> Mapping[str, int]:
        return {name: k for k, node in enumerate(self.nodes) for name in node.output if name}

    @cached_property
    def _consumers(self) -> Mapping[str, list[NodeProto]]:
        readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                readers.setdefault(name, []).append(node)
        return readers

    def _array(self, name: str) -> Array:
        value = self.constants[name]
        if not isinstance(value, TensorProto):
            return value
        if value.data_location == TensorProto.EXTERNAL:
            raise FileFormatError(
                f"the data of {name!r} is in a separate file: give the path of the model, so that it can be read"
            )
        return numpy_helper.to_array(value)


def iterate_scopes(
    model: ModelProto,
    graph: GraphProto,
    constants: ChainMap[str, TensorProto | Array],
    around: Scope | None = None,
    place: int = 0,
) -> Iterator[Scope]:
    """Yield a graph of a model, and those inside its nodes; ``constants`` has the values that are known."""
    constants = ChainMap(*constants.maps, {tensor.name: tensor for tensor in graph.initializer})
    shapes = {v.name: shape for v in (*graph.input, *graph.value_info, *graph.output) if (shape := _shape(v))}
    outputs = frozenset(value.name for value in graph.output)
    scope = Scope(model, list(graph.node), constants, outputs, shapes, around, place)
    yield scope
    for k, node in enumerate(scope.nodes):
        for inner in _subgraphs(node):
            yield from iterate_scopes(model, inner, constants, scope, k)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sizes if sizes and all(sizes) else None


def without_functions(model: ModelProto) -> ModelProto:
    """Return the model with its functions inlined."""
    if not model.functions:
        return model
    nbytes, depth = _Expansion(model).cost(model.graph.node, ())
    if nbytes > _MOST_BYTES + model.ByteSize() or depth > _DEEPEST:
        raise FileFormatError(
            f"functions are nested {depth} deep and expand to {nbytes:,} bytes, expected at most {_DEEPEST} and "
            f"{_MOST_BYTES:,}"
        )
    return inline_local_functions(model)


class _Expansion:
    """What a model's functions become once they are inlined."""

    def __init__(self, model: ModelProto) -> None:
        self._nodes = {(each.domain, each.name, each.overload): each.node for each in model.functions}
        self._costs: dict[Name, tuple[int, int]] = {}

    def cost(self, nodes: Sequence[NodeProto], above: tuple[Name, ...]) -> tuple[int, int]:
        """Return the bytes of nodes with all that they call, and how deep the calls are nested."""
        if len(above) > _DEEPEST:
            raise FileFormatError(f"functions are nested more than {_DEEPEST} deep")
        nbytes, depth = sum(node.ByteSize() for node in nodes), 0
        for node in _with_subgraphs(nodes):
            nbytes += _NODE_BYTES
            name = node.domain, node.op_type, node.overload
            if name in above:
                raise FileFormatError(f"functions call themselves: {name[1]}")
            if name in self._nodes:
                if name not in self._costs:
                    self._costs[name] = self.cost(self._nodes[name], (*above, name))
                nbytes, depth = nbytes + self._costs[name][0], max(depth, self._costs[name][1])
        return nbytes, 1 + depth


def _with_subgraphs(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes, including those in subgraphs."""
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _with_subgraphs(graph.node)
