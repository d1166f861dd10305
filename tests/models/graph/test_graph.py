"""A damaged graph is refused by the name of its node, or is a graph that runs; nothing is allocated for it."""

import json
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hiddenstate.errors import FileFormatError, HiddenStateError
from hiddenstate.models.graph import arithmetic
from hiddenstate.models.graph.file import graph_of
from hiddenstate.models.graph.graph import MOST_NODES, Graph, parse
from models.graph.random_modules import Random

Shapes = dict[str, tuple[int, ...]]


def written(seed: int = 1) -> tuple[str, Shapes]:
    model = Random(seed)
    graph, tensors, _ = graph_of(model, (model.example(),))
    return graph.to_json(), {name: tuple(value.shape) for name, value in tensors.items()}


SMALL: dict[str, Any] = {
    "inputs": [{"name": "x", "shape": ["N", "T", 4], "ints": False}],
    "nodes": [
        {"op": "relu", "name": "first", "inputs": [0], "tensors": []},
        {"op": "linear", "name": "head", "inputs": [1], "tensors": ["w", "b"]},
    ],
    "outputs": [2],
}
TENSORS: Shapes = {"w": (3, 4), "b": (3,)}
WIDE = {"op": "concatenate", "name": "wide", "axis": 2, "tensors": []}


def read(data: Any, tensors: Shapes = TENSORS) -> Graph:
    return parse(data if isinstance(data, str) else json.dumps(data), tensors.get)


def changed(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(SMALL)), **changes}


def node(**changes: Any) -> dict[str, Any]:
    data = changed()
    data["nodes"][1].update(changes)
    return data


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "damaged"),
    "cut": (json.dumps(SMALL)[:-20], "damaged"),
    "a list": ("[1]", "damaged"),
    "nested": ("[" * 100_000, "brackets"),
    "nothing": (changed(nodes=[]), "needs an input, a node"),
    "cyclic": (node(inputs=[2]), r"`head` \(linear\): it reads values .* cyclic"),
    "later": (node(inputs=[3]), "cyclic"),
    "negative": (node(inputs=[-1]), "cyclic"),
    "no operation": (node(op="eval"), "`head` .*no such operation"),
    "a missing tensor": (node(tensors=["w", "c"]), r"`head` .*no tensor 'c'"),
    "the wrong tensor": (node(tensors=["b", "w"]), "the weight"),
    "a tensor twice": (node(tensors=["w", "w"]), "the bias does not fit"),
    "a setting too many": (node(axis=1), "settings"),
    "a number too large": (node(op="slice", axis=2, start=0, stop=2**40, step=1, tensors=[]), "out of range"),
    "a key twice": (json.dumps(SMALL).replace('"name": "head"', '"name": "head", "name": "tail"'), "repeats"),
    "a name that is a number": (node(name=3), "name"),
    "a negative size": (node(op="reshape", shape=[-1, -2, 4], tensors=[]), "`head` .*"),
    "an axis that is not there": (node(op="softmax", axis=7, tensors=[]), "names axis 7"),
    "rows as an axis": (node(op="softmax", axis=0, tensors=[]), "mix rows or steps"),
    "an output that is not there": (changed(outputs=[9]), "outputs"),
    "merged rows of an input": (changed(inputs=[{"name": "x", "shape": ["N*T", 4], "ints": False}]), "of their own"),
    "integers": (changed(inputs=[{"name": "x", "shape": ["N", "T", 4], "ints": True}]), "`first` .*integers"),
    "many nodes": (changed(nodes=[SMALL["nodes"][0]] * (MOST_NODES + 1)), "nodes"),
    "memory": (node(op="pad", axis=2, amount=[0, 2**30], mode="constant", value=0, tensors=[]), "working memory"),
    "doubling": (changed(nodes=[{**WIDE, "inputs": [k, k]} for k in range(60)]), "`wide` .*(memory|sizes)"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_graph_fails_with_the_name_of_its_node(case: str) -> None:
    data, message = BAD[case]
    with pytest.raises(FileFormatError, match=message):
        read(data)


def test_the_small_graph_is_good() -> None:
    assert read(SMALL).shapes == (("N", "T", 4), ("N", "T", 4), ("N", "T", 3))


def test_a_layer_without_its_weights_fails() -> None:
    data, shapes = next(pair for pair in map(written, range(1, 9)) if '"op": "layer"' in pair[0])
    weight = next(name for name in shapes if name.endswith("weight_hh_l0"))
    with pytest.raises(FileFormatError, match="weight_hh_l0' has shape None"):
        read(data, {name: shape for name, shape in shapes.items() if name != weight})


def mutants(text: str, draw: random.Random) -> str:
    """Change one to three values, keys, or characters."""
    if draw.random() < 0.2:
        at = draw.randrange(len(text))
        return text[:at] + draw.choice(['"', "0", "9", "-", "]", "{", ",", "N", ""]) + text[at + draw.randint(0, 2) :]
    data = json.loads(text)
    for _ in range(draw.randint(1, 3)):
        places = list(_places(data))
        holder, key = draw.choice(places)
        way = draw.random()
        if way < 0.15:
            del holder[key]
            return json.dumps(data)
        other = draw.choice(places)
        special: tuple[Any, ...] = (
            -1,
            0,
            1,
            2,
            3,
            7,
            2**31,
            2**62,
            1e30,
            "",
            "N",
            "T",
            "N*T",
            "T*N",
            None,
            True,
            [],
            {},
            [0],
            "relu",
            "layer",
        )
        holder[key] = json.loads(json.dumps(other[0][other[1]])) if way < 0.5 else draw.choice(special)
    return json.dumps(data)


def _places(data: Any) -> Any:
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from _places(data[key])


def attack(texts: Sequence[tuple[str, Shapes]], count: int, run: Callable[[Graph, Shapes], None]) -> int:
    """Read mutants, and run those that are graphs; return how many are."""
    good = 0
    for seed in range(count):
        text, shapes = texts[seed % len(texts)]
        damaged = mutants(text, random.Random(seed))
        tracemalloc.start()
        begun = time.perf_counter()
        try:
            graph = read(damaged, shapes)
        except FileFormatError:
            graph, good = None, good - 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert time.perf_counter() - begun < 5, seed
        assert peak < 16 * len(damaged) + 400_000, (seed, peak, len(damaged))
        good += 1
        if graph is not None:
            run(graph, shapes)
    return good


def run_zeros(graph: Graph, shapes: Shapes) -> None:
    """Run a graph whose tensors are zeros on one row and step, with layers that give zeros."""
    if graph.work > 1 << 20:
        return
    sizes = {"N": 2, "T": 3}
    arguments = [
        np.zeros(
            [size if isinstance(size, int) else sizes[size] for size in given.shape],
            np.int64 if given.ints else np.float32,
        )
        for given in graph.inputs
    ]
    layers = {}
    for node in graph.nodes:
        if "prefix" in node.settings:
            L, D, P = (1, 1, 0) if node.op == "cell" else (node.num_layers, 1 + node.bidirectional, node.proj_size)
            H, states = node.hidden_size, 2 if node.cell == "LSTM" else 1

            def layer(
                x: Any, *_: Any, L: int = L, D: int = D, P: int = P or H, H: int = H, states: int = states
            ) -> Any:
                zeros = [np.zeros((L * D, x.shape[1], units), np.float32) for units in (P, H)[:states]]
                return [np.zeros((*x.shape[:2], D * P), np.float32), *zeros]

            layers[node.prefix] = layer
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    arrays, found = arithmetic.read_arguments(graph, arguments)
    outputs, _ = arithmetic.run(graph, arrays, found, tensors, layers)
    for value, output in zip(graph.outputs, outputs, strict=True):
        wanted = [
            int(np.prod([sizes.get(part) or int(part) for part in str(size).split("*")]))
            for size in graph.shapes[value]
        ]
        assert list(output.shape) == (wanted or [1])


def test_damaged_graphs_are_refused_or_run() -> None:
    assert attack([written(seed) for seed in (3,)], 100, run_zeros) > 5


@pytest.mark.slow
def test_many_damaged_graphs_are_refused_or_run() -> None:
    attack([written(seed) for seed in range(1, 13)], 2_000, run_zeros)


def test_arguments_that_do_not_fit_fail() -> None:
    graph = read(SMALL)
    for arguments in ([], [np.zeros((2, 3))], [np.zeros((2, 3, 5))], [np.zeros((2, 0, 4))], ["x"], [[[1], [1, 2]]]):
        with pytest.raises(HiddenStateError):
            arithmetic.read_arguments(graph, arguments)
