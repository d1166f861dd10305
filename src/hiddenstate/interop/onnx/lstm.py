"""Builds an LSTM, a GRU or a plain RNN as an ONNX model: the standard operator, one per layer, with the weights inside.

The operator has its own gate order (`layouts.ONNX`), returns each layer's output as ``[T, D, N, H]``, and supports
row lengths. The nodes around it give the model the signature of our layer's call.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.messages import with_article
from hiddenstate.base.validation import optional_package
from hiddenstate.cells.cell import Weights
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.layouts import ONNX, from_weights, layout_for
from hiddenstate.interop.onnx.signature import Signature, Value
from hiddenstate.structure.sizes import Sizes

LEAST_OPSET = 14
OPSET = 17  # from 2022, so that every runtime supports it


@dataclass
class _Graph:
    """A graph under construction. Methods that add a node return the name of its (first) output."""

    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def node(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outputs, name=f"{outputs[-1]}/{kind}", **attributes))
        return outputs[0]

    def constant(self, name: str, value: Tensor | Sequence[int]) -> str:
        numbers = value.detach().cpu() if isinstance(value, Tensor) else torch.tensor(value)
        self.constants[name] = self.onnx.numpy_helper.from_array(numbers.numpy(), name)
        return name

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename values."""
        for node in self.nodes:
            for ends in (node.input, node.output):
                ends[:] = [names.get(name, name) for name in ends]


def build_model(signature: Signature, weights: Sequence[Weights], opset: int = OPSET) -> Any:
    """Make the ``onnx.ModelProto`` of a layer.

    Args:
        signature: its inputs and outputs.
        weights: the weights of each layer and direction, in the order of ``Sizes.layer_directions``, of one type.
        opset: version of ONNX's operators.

    Raises:
        ArgumentError: there is a projection, which ONNX's operator lacks, or the opset is not available.
        MissingDependencyError: onnx is not installed.
    """
    onnx = optional_package("onnx", "onnx", "writing an ONNX file")
    newest = onnx.defs.onnx_opset_version()
    if opset not in range(LEAST_OPSET, newest + 1):
        raise ArgumentError(
            f"opset must be in {LEAST_OPSET}..{newest}, which the installed onnx supports, got {opset!r}"
        )
    graph = _Graph(onnx)
    (_steps if signature.form == "sequence" else _one_step)(graph, signature, weights)
    element = onnx.helper.np_dtype_to_tensor_dtype(torch.zeros(0, dtype=weights[0].ih.dtype).numpy().dtype)
    ends = [
        [_value_info(onnx, value, element) for value in values] for values in (signature.inputs(), signature.outputs())
    ]
    made = onnx.helper.make_graph(
        graph.nodes, signature.sizes.kind.label.lower(), *ends, list(graph.constants.values())
    )
    return _wrapped(onnx, made, signature, opset)


def stacked(directions: Sequence[Weights], sizes: Sizes) -> dict[str, Tensor]:
    """Return a layer's inputs of the operator: ``W [D, G*H, C]``, ``R [D, G*H, H]`` and maybe ``B [D, 2*G*H]``.

    Raises:
        ArgumentError: there is a projection, which the operator lacks.
    """
    each = [from_weights(direction, layout_for(ONNX, sizes.kind.label)) for direction in directions]
    return {name: torch.stack([arrays[name] for arrays in each]) for name in each[0]}


def operator_attributes(sizes: Sizes) -> dict[str, Any]:
    """Return the operator's attributes."""
    attributes: dict[str, Any] = {
        "hidden_size": sizes.hidden_size,
        "direction": "bidirectional" if sizes.bidirectional else "forward",
    }
    if sizes.kind.label == "GRU":
        attributes["linear_before_reset"] = 1
    if sizes.kind.label == "RNN":
        attributes["activations"] = [sizes.kind.gates[0].activation.capitalize()] * sizes.directions
    return attributes


def _wrapped(onnx: Any, graph: Any, signature: Signature, opset: int) -> Any:
    """Wrap the graph in a model, with a description and the producer's name."""
    sizes = signature.sizes
    imports = [onnx.helper.make_opsetid("", opset)]
    what = with_article(sizes.kind.label)
    calls = "one time step" if signature.form == "step" else "a sequence"
    model = onnx.helper.make_model(
        graph,
        opset_imports=imports,
        ir_version=onnx.helper.find_min_ir_version_for(imports),
        producer_name="hiddenstate",
        producer_version=version("hiddenstate"),
        doc_string=f"{what[0].upper() + what[1:]}, {calls} a call. Axes: T time "
        "steps, N batch rows, C input features, H hidden units, D directions, L layers.",
    )
    facts = {"form": signature.form}
    facts |= {name: getattr(sizes, name) for name in ("input_size", "hidden_size", "num_layers", "bidirectional")}
    onnx.helper.set_model_props(model, {name: str(value).lower() for name, value in facts.items()})
    return model


def _value_info(onnx: Any, value: Value, element: int) -> Any:
    kind = onnx.TensorProto.INT64 if value.whole else element
    return onnx.helper.make_tensor_value_info(value.name, kind, value.shape, doc_string=value.meaning)


def _steps(graph: _Graph, signature: Signature, weights: Sequence[Weights]) -> None:
    """Add the nodes from ``x [T, N, C]`` to ``out [T, N, D*H]``."""
    sizes, x = signature.sizes, "x"
    if signature.batch_first:
        x = graph.node("Transpose", [x], "x_by_step", perm=[1, 0, 2])
    lengths = ""
    if signature.lengths:
        lengths = graph.node("Cast", ["lengths"], "sequence_lens", to=graph.onnx.TensorProto.INT32)
    joined = graph.constant("joined", [0, 0, sizes.directions * sizes.hidden_size])  # 0 keeps the size
    finals = []
    for layer, directions, state in _layers(graph, signature, weights):
        y, *final = _operator(graph, signature, layer, directions, [x, lengths, *state])
        finals.append(final)
        rows = graph.node("Transpose", [y], f"l{layer}.rows", perm=[0, 2, 1, 3])
        x = graph.node("Reshape", [rows, joined], f"l{layer}.out")
    if signature.batch_first:
        x = graph.node("Transpose", [x], "out", perm=[1, 0, 2])
    _finish(graph, signature, x, finals)


def _one_step(graph: _Graph, signature: Signature, weights: Sequence[Weights]) -> None:
    """Add the nodes from ``x [N, C]`` to ``out [N, H]``; each layer reads the new state of the one below."""
    axis = graph.constant("time", [0])
    x = graph.node("Unsqueeze", ["x", axis], "x_by_step")
    finals = []
    for layer, directions, state in _layers(graph, signature, weights):
        _, *final = _operator(graph, signature, layer, directions, [x, "", *state])
        finals.append(final)
        x = final[0]
    _finish(graph, signature, graph.node("Squeeze", [x, axis], "out"), finals)


def _layers(
    graph: _Graph, signature: Signature, weights: Sequence[Weights]
) -> Iterator[tuple[int, Sequence[Weights], list[str]]]:
    """Yield each layer, the weights of its directions, and the names of its initial states."""
    sizes = signature.sizes
    D, L = sizes.directions, sizes.num_layers
    parts = [[""] * L] * len(signature.initial)
    if signature.states:
        parts = [[name] for name in signature.initial]
        if L > 1:
            each = graph.constant("directions", [D] * L)
            parts = [[f"l{layer}.{name}" for layer in range(L)] for name in signature.initial]
            for name, into in zip(signature.initial, parts, strict=True):
                graph.node("Split", [name, each], *into, axis=0)
    for layer in range(L):
        yield layer, weights[layer * D : (layer + 1) * D], [part[layer] for part in parts]


def _operator(
    graph: _Graph, signature: Signature, layer: int, directions: Sequence[Weights], inputs: Sequence[str]
) -> Sequence[str]:
    """Add the operator itself, on ``x [T, N, C]``, lengths and states; return the names of its outputs."""
    x, lengths, *states = inputs
    sizes = signature.sizes
    arrays = {name: graph.constant(f"l{layer}.{name}", value) for name, value in stacked(directions, sizes).items()}
    # With a single step, Y contains nothing that h_n does not.
    wanted = ["" if signature.form == "step" else "Y", *(signature.final if signature.states else ())]
    outputs = [f"l{layer}.{name}" if name else "" for name in wanted]
    weights = [arrays["W"], arrays["R"], arrays.get("B", "")]
    graph.node(sizes.kind.label, [x, *weights, lengths, *states], *outputs, **operator_attributes(sizes))
    return outputs


def _finish(graph: _Graph, signature: Signature, out: str, finals: Sequence[Sequence[str]]) -> None:
    """Join the layers' final states, and give the outputs their names."""
    names = {out: "out"}
    if signature.states:
        empty = ""
        if signature.lengths:
            empty = graph.node("Equal", ["lengths", graph.constant("no_step", [0])], "is_empty")
            empty = graph.node("Unsqueeze", [empty, graph.constant("unit", [1])], "is_empty_row")
        for name, initial, parts in zip(signature.final, signature.initial, zip(*finals, strict=True), strict=True):
            value = graph.node("Concat", parts, f"{name}_joined", axis=0) if len(parts) > 1 else parts[0]
            if empty:  # for rows of length 0, runtimes return zeros instead of the initial state
                value = graph.node("Where", [empty, initial, value], f"{name}_of_all")
            names[value] = name
    graph.rename(names)
