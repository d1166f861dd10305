"""Inlines a model's functions, after checking how large the result would be."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto
from onnx.inliner import inline_local_functions

from hiddenstate.errors import FileFormatError

_MOST_NODES, _MOST_BYTES = 200_000, 1 << 28
_DEEPEST = 100  # maximum depth of nested function calls

Name = tuple[str, str, str]


class _Cost(NamedTuple):
    nodes: int
    bytes: int
    depth: int


def without_functions(model: ModelProto) -> ModelProto:
    """Return the model with its functions inlined.

    Raises:
        FileFormatError: the result would be too large, or a function calls itself.
    """
    if not model.functions:
        return model
    costs = _costs({(each.domain, each.name, each.overload): each for each in model.functions})
    cost = _cost(model.graph.node, costs)
    if cost.nodes > _MOST_NODES or cost.bytes > _MOST_BYTES + model.ByteSize() or cost.depth > _DEEPEST:
        raise FileFormatError(
            f"functions are nested {cost.depth} deep and expand to {cost.nodes:,} nodes of {cost.bytes:,} bytes, "
            f"expected at most {_DEEPEST}, {_MOST_NODES:,} and {_MOST_BYTES:,}"
        )
    return inline_local_functions(model)


def _costs(functions: dict[Name, FunctionProto]) -> dict[Name, _Cost]:
    """The cost of each function, leaf functions first."""
    costs: dict[Name, _Cost] = {}
    calls = {name: {_called(n) for n in _nodes(f.node)} & functions.keys() for name, f in functions.items()}
    while left := calls.keys() - costs.keys():
        ready = [name for name in left if calls[name] <= costs.keys()]
        if not ready:
            raise FileFormatError(f"functions call themselves: {', '.join(sorted(name[1] for name in left)[:5])}")
        costs.update({name: _cost(functions[name].node, costs) for name in ready})
        if max(cost.depth for cost in costs.values()) > _DEEPEST:
            raise FileFormatError(f"functions are nested more than {_DEEPEST} deep")
    return costs


def _cost(nodes: Sequence[NodeProto], costs: dict[Name, _Cost]) -> _Cost:
    calls = [costs[name] for node in _nodes(nodes) if (name := _called(node)) in costs]
    own = sum(1 for _ in _nodes(nodes))
    return _Cost(
        own + sum(call.nodes for call in calls),
        sum(node.ByteSize() for node in nodes) + sum(call.bytes for call in calls),
        1 + max((call.depth for call in calls), default=0),
    )


def _nodes(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes, including those in subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.type == AttributeProto.GRAPH else []
            for graph in (*inner, *attribute.graphs):
                yield from _nodes(graph.node)


def _called(node: NodeProto) -> Name:
    return node.domain, node.op_type, node.overload
