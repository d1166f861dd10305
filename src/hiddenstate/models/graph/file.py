"""Writes a module as a graph file, and compares the graph's numbers with torch's before the file is kept."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.files import check_place, read_tensors, write_tensors, written_beside
from hiddenstate.base.modes import evaluating
from hiddenstate.errors import ExportError
from hiddenstate.models.graph import arithmetic
from hiddenstate.models.graph.arithmetic import Array
from hiddenstate.models.graph.capture import capture, check_conditions, warn_if_memoryless
from hiddenstate.models.graph.graph import Graph, Node, parse
from hiddenstate.models.graph.int8 import is_rounded, run_rounded, sizes_of
from hiddenstate.models.graph.translation import Translator
from hiddenstate.nn.rnn import new_layer

KIND = "graph"
TOLERANCE = 1e-5  # relative to the largest value, or to `least_size`
ROUNDINGS = 4  # a difference of as many times the module's own rounding error is none of the graph
GROWTH = ((0, 0), (3, 1), None)  # by how many steps and rows the example grows when the graph is checked; None: to 1


def write_graph(model: nn.Module, args: tuple[Any, ...], path: str | os.PathLike[str], file_format: str) -> None:
    """Write a module as a graph file of this format, if its numbers are torch's."""
    check_place(Path(path))
    graph, tensors, example = graph_of(model, args, stacklevel=5)
    with written_beside(Path(path)) as beside:
        write_tensors(beside, file_format, tensors, {"kind": KIND, "graph": graph.to_json()})
        stored, metadata = read_tensors(beside, file_format)
        again = parse(metadata["graph"], lambda name: stored[name].shape if name in stored else None)
        check_numbers(model, example, again, stored)


def graph_of(model: nn.Module, args: Any, stacklevel: int = 4) -> tuple[Graph, dict[str, Tensor], tuple[Any, ...]]:
    """Return a module's graph, its tensors, and the example call, in which axes of size 1 are wider."""
    captured = capture(model, args)
    graph, tensors = Translator(captured).graph()
    check_conditions(captured)
    warn_if_memoryless(captured, stacklevel)
    return graph, tensors, captured.example


def check_numbers(model: nn.Module, example: tuple[Any, ...], graph: Graph, tensors: Mapping[str, Tensor]) -> None:
    """Raise ExportError unless a graph gives the module's numbers: on the example, a larger one, and a single step."""
    for growth in GROWTH:
        arguments = grown(graph, example, growth)
        try:
            wanted = run_torch(model, arguments)
        except Exception:
            if growth is None:  # it may need several
                continue
            raise
        outputs, _ = run_graph(graph, [leaf.numpy() for leaf in pytree.tree_leaves(arguments)], tensors)
        for k, (got, want) in enumerate(zip(outputs, wanted, strict=True)):
            if growth is None and got.size == want.size:
                got = got.reshape(want.shape)  # without sizes, squeeze() takes these axes, too
            difference = float(np.abs(got - want).max(initial=0)) if got.shape == want.shape else float("nan")
            allowed = TOLERANCE * max(least_size(want), float(np.abs(want).max(initial=0)))
            if not difference <= allowed and not difference <= rounding(model, arguments)[k]:
                raise ExportError(
                    f"output {k} of the graph differs from the module's by {difference:.2g} (at most {allowed:.2g} is "
                    f"allowed) for arguments of shapes {[list(leaf.shape) for leaf in pytree.tree_leaves(arguments)]}: "
                    "does what it computes depend on the number of steps or rows?"
                )


def least_size(values: Array) -> float:
    """Return the size that numbers count as at least: 1, or less if all are small, and must be right to a hundredth."""
    return min(1.0, 1000 * float(np.abs(values).max(initial=0)))


def rounding(model: nn.Module, arguments: tuple[Any, ...]) -> list[float]:
    """Return how much rounding may change each output, from the module in float64; 0 if it can't run in that."""
    values = run_torch(model, arguments)
    try:
        double = copy.deepcopy(model).double()
        exact = run_torch(
            double, pytree.tree_map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, arguments)
        )
    except Exception:
        return [0.0] * len(values)
    return [ROUNDINGS * float(np.abs(a - b).max(initial=0)) for a, b in zip(values, exact, strict=True)]


def grown(graph: Graph, example: tuple[Any, ...], growth: tuple[int, int] | None) -> tuple[Any, ...]:
    """Return the arguments with more steps and rows, which repeat the first; or with one, if ``growth`` is None."""
    leaves, form = pytree.tree_flatten(example)
    for k, declared in enumerate(graph.inputs):
        for axis, size in enumerate(declared.shape):
            if isinstance(size, str):
                length = leaves[k].shape[axis]
                wanted = 1 if growth is None else length + growth["TN".index(size)]
                leaves[k] = leaves[k].index_select(axis, torch.arange(wanted) % length)
    return pytree.tree_unflatten(leaves, form)


def run_torch(model: nn.Module, arguments: tuple[Any, ...]) -> list[Array]:
    """Return the tensors that the module returns in eval mode."""
    with evaluating(model), torch.no_grad():
        return [value.numpy() for value in pytree.tree_leaves(model(*arguments))]


def run_graph(
    graph: Graph,
    arguments: Sequence[Array],
    tensors: Mapping[str, Tensor],
    carried: Any = None,
    *,
    rounds: bool = False,
) -> tuple[list[Array], Any]:
    """Run a graph as the runtime does; ``rounds``: int8 layers round also if this machine has no kernel for them."""
    arrays, sizes = arithmetic.read_arguments(graph, arguments)
    layers: dict[str, Callable[..., list[Array]]] = {
        node.prefix: partial(run_rounded, node, tensors)
        if rounds and is_rounded(node, tensors)
        else _layer(node, tensors)
        for node in graph.nodes
        if "prefix" in node.settings
    }
    floats = {name: tensors[name].numpy() for node in graph.nodes for name in node.tensors}
    return arithmetic.run(graph, arrays, sizes, floats, layers, carried)


def _layer(node: Node, tensors: Mapping[str, Tensor]) -> Callable[..., list[Array]]:
    parts = (f"{node.prefix}weight_", f"{node.prefix}bias_")
    own = {name.removeprefix(node.prefix): value for name, value in tensors.items() if name.startswith(parts)}
    weights = "int8" if any(value.dtype is torch.int8 for value in own.values()) else "float"
    layer = new_layer(sizes_of(node), dtype=torch.float32, device="meta", weights=weights)
    layer.load_state_dict(own, assign=True)
    return partial(_run_layer, layer.eval())


@torch.no_grad()
def _run_layer(layer: Any, x: Array, *states: Array) -> list[Array]:
    initial = [torch.from_numpy(state) for state in states]
    out, after = layer(torch.from_numpy(x), (tuple(initial) if len(initial) > 1 else initial[0]) if initial else None)
    return [value.numpy() for value in (out, *(after if isinstance(after, tuple) else (after,)))]
