"""Values in an ONNX graph: constants, what can be computed from constants, and what lies between two values."""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hiddenstate.errors import ArgumentError, FileFormatError

Array = np.ndarray[Any, np.dtype[Any]]

_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")


@dataclass(frozen=True)
class Scope:
    """A graph's names, with those of the graphs around it, which it sees too."""

    model: ModelProto
    nodes: Sequence[NodeProto]  # of this graph, in order
    visible: Sequence[NodeProto]  # and those of the graphs around it, before them
    constants: Mapping[str, TensorProto | Array]
    outputs: frozenset[str]  # of this graph
    shapes: Mapping[str, tuple[int, ...]]  # where the graph says them, all in numbers

    def constant(self, name: str) -> Array:
        """Return a value that does not depend on the graph's inputs, computed with onnx's reference if need be.

        Raises:
            ArgumentError: it depends on them, or can't be computed.
            FileFormatError: its data lies in another file, which was not read.
        """
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
        """Run nodes on values, with onnx's reference.

        Raises:
            ArgumentError: the reference can't.
        """
        inputs = [onnx.ValueInfoProto(name=feed) for feed in feeds]
        graph = helper.make_graph(list(nodes), "part", inputs, [onnx.ValueInfoProto(name=name)])
        part = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        try:
            (value,) = ReferenceEvaluator(part).run(None, dict(feeds))
        except Exception as error:  # it raises whatever an operator raises
            raise ArgumentError(f"{name!r} can't be computed: {error}") from error
        return np.asarray(value)

    def ancestors(self, names: Iterable[str], stop: Iterable[str] = ()) -> tuple[list[NodeProto], set[str]]:
        """Find the nodes that compute some values, in order, and what these begin with: inputs, constants, ``stop``."""
        wanted, made, stop = set(names), set[str](), set(stop)
        found = []
        for node in reversed(self.visible):  # each comes after those that it reads
            outputs = {name for name in node.output if name in wanted - stop and name not in self.constants}
            if outputs and not any(_subgraphs(node)):
                found.append(node)
                made |= outputs
                wanted.update(name for name in node.input if name)
        return found[::-1], wanted - made

    def producer(self, name: str) -> NodeProto | None:
        """Return the node that computes a value."""
        return next((node for node in self.visible if name in node.output), None)

    def consumers(self, name: str) -> list[NodeProto]:
        """Nodes of this graph that read a value."""
        return [node for node in self.nodes if name in node.input]

    def _array(self, name: str) -> Array:
        value = self.constants[name]
        if not isinstance(value, TensorProto):
            return value
        if value.data_location == TensorProto.EXTERNAL:
            raise FileFormatError(
                f"the data of {name!r} lies in another file: give the path of the model, so that it is read"
            )
        return numpy_helper.to_array(value)


def scopes_of(model: ModelProto, given: Mapping[str, Array]) -> Iterator[Scope]:
    """Yield the graph of a model, and those inside its nodes. ``given`` are values of the graph's inputs."""
    yield from _scopes(model, model.graph, (), ChainMap(dict(given)))


def _scopes(
    model: ModelProto, graph: GraphProto, around: Sequence[NodeProto], constants: ChainMap[str, TensorProto | Array]
) -> Iterator[Scope]:
    nodes = list(graph.node)
    constants = ChainMap(*constants.maps, {tensor.name: tensor for tensor in graph.initializer})
    shapes = {v.name: shape for v in (*graph.input, *graph.value_info, *graph.output) if (shape := _shape(v))}
    outputs = frozenset(value.name for value in graph.output)
    yield Scope(model, nodes, [*around, *nodes], constants, outputs, shapes)
    for k, node in enumerate(nodes):
        for inner in _subgraphs(node):
            yield from _scopes(model, inner, [*around, *nodes[:k]], constants)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sizes if sizes and all(sizes) else None
