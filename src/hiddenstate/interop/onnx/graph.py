"""Values in an ONNX graph: constants, values computed from constants, and the nodes between two values."""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.interop.onnx.evaluate import Array, evaluate

_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")


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
        """Return a value that does not depend on the graph's inputs, computed with onnx's reference if necessary.

        Raises:
            ArgumentError: the value depends on them, or can't be computed.
            FileFormatError: its data is in another file, which was not read.
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
            ArgumentError: the reference can't run them, or they compute more values than weights would need.
        """
        return evaluate(self.model, name, nodes, feeds)

    def ancestors(self, names: Iterable[str], stop: Iterable[str] = ()) -> tuple[list[NodeProto], set[str]]:
        """Find the nodes that compute some values, in order, and their sources: inputs, constants, ``stop``."""
        left, seen, leaves, stop = list(names), set[str](), set[str](), set(stop)
        found: dict[tuple[int, int], NodeProto] = {}
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            made = None if name in stop or name in self.constants else self._maker(name)
            if made is None or any(_subgraphs(made[1])):
                leaves.add(name)
            elif made[0] not in found:
                found[made[0]] = made[1]
                left += [name for name in made[1].input if name]
        return [found[place] for place in sorted(found)], leaves

    def producer(self, name: str) -> NodeProto | None:
        """Return the node that computes a value."""
        made = self._maker(name)
        return made and made[1]

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
        found: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return found

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
