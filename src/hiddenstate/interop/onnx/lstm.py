"""An LSTM, a GRU or a plain RNN as ONNX's operator, one per layer: as a whole model, and while torch exports one.

The operator has its own gate order (`layouts.ONNX`), returns each layer's output as ``[T, D, N, H]``, and supports
row lengths. The nodes around it give a model the signature of our layer's call. Both of torch's exporters are
supported: the one based on ``torch.export``, and the older one based on TorchScript.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.messages import with_article
from hiddenstate.base.validation import autocasts, optional_package
from hiddenstate.cells.cell import Weights
from hiddenstate.engine.call import Call, CallResult
from hiddenstate.engine.derivative import apply
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.layouts import ONNX, from_weights, layout_for
from hiddenstate.structure.sizes import Sizes

Form = Literal["sequence", "step"]
Dim = int | str
LEAST_OPSET = 14
OPSET = 17  # from 2022, so that every runtime supports it
_FIRST_STATE = 5  # the states follow X, W, R, B and sequence_lens


class ModelValue(NamedTuple):
    """An input or output of the model; named dimensions may have any size."""

    name: str
    shape: list[Dim]
    meaning: str
    whole: bool = False  # whether the type is int64 instead of the weights' type


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs: a layer's (``x``, ``lengths``, states) for a ``"sequence"``, or those of one ``"step"``."""

    sizes: Sizes
    form: Form = "sequence"
    batch_first: bool = False
    lengths: bool = False
    states: bool = True  # whether the state is an input and output; otherwise it starts at zero
    T: Dim = "T"
    N: Dim = "N"

    def inputs(self) -> list[ModelValue]:
        """The model's inputs, in order."""
        meaning = "zeros at the start of a sequence, then the previous step's output"
        if self.form == "sequence":
            meaning = "state before the first step; zeros by default"
        return [
            self._steps("x", self.sizes.input_size, "input"),
            *([ModelValue("lengths", [self.N], "time steps of each row, 0..T", whole=True)] if self.lengths else []),
            *self._states(self.initial, meaning),
        ]

    def outputs(self) -> list[ModelValue]:
        """The model's outputs, in order."""
        meaning = "state after this step: the next step's input"
        if self.form == "sequence":
            meaning = "state after each row's last step"
        return [
            self._steps("out", self.sizes.directions * self.sizes.hidden_size, "hidden state of the last layer"),
            *self._states(self.final, meaning),
        ]

    @property
    def initial(self) -> tuple[str, ...]:
        """The names of the initial state's inputs."""
        return tuple(name if self.form == "step" else f"{name}0" for name in self.sizes.kind.carried)

    @property
    def final(self) -> tuple[str, ...]:
        """The names of the final state's outputs."""
        return tuple(f"{name}_n" for name in self.sizes.kind.carried)

    def _steps(self, name: str, features: int, meaning: str) -> ModelValue:
        if self.form == "step":
            return ModelValue(name, [self.N, features], f"{meaning}, one time step of each row")
        axes = [self.N, self.T] if self.batch_first else [self.T, self.N]
        return ModelValue(name, [*axes, features], f"{meaning}, [{'N, T' if self.batch_first else 'T, N'}, features]")

    def _states(self, names: Sequence[str], meaning: str) -> list[ModelValue]:
        shape: list[Dim] = [len(self.sizes.layer_directions), self.N, self.sizes.hidden_size]
        kinds = [self.sizes.kind.meanings[name] for name in self.sizes.kind.carried]
        described = [
            ModelValue(name, shape, f"{kind.removesuffix(' state')} {meaning}")
            for name, kind in zip(names, kinds, strict=True)
        ]
        return described if self.states else []


@dataclass
class _OnnxGraph:
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
    """Make the ``onnx.ModelProto`` of a layer, from its weights in the order of ``Sizes.layer_directions``."""
    onnx = optional_package("onnx", "onnx", "writing an ONNX file")
    newest = onnx.defs.onnx_opset_version()
    if opset not in range(LEAST_OPSET, newest + 1):
        raise ArgumentError(
            f"opset must be in {LEAST_OPSET}..{newest}, which the installed onnx supports, got {opset!r}"
        )
    graph = _OnnxGraph(onnx)
    (_steps if signature.form == "sequence" else _one_step)(graph, signature, weights)
    element = onnx.helper.np_dtype_to_tensor_dtype(torch.zeros(0, dtype=weights[0].ih.dtype).numpy().dtype)
    ends = [
        [_value_info(onnx, value, element) for value in values] for values in (signature.inputs(), signature.outputs())
    ]
    onnx_graph = onnx.helper.make_graph(
        graph.nodes, signature.sizes.kind.label.lower(), *ends, list(graph.constants.values())
    )
    return _wrapped(onnx, onnx_graph, signature, opset)


def stacked(directions: Sequence[Weights], sizes: Sizes) -> dict[str, Tensor]:
    """Return a layer's inputs of the operator: ``W [D, G*H, C]``, ``R [D, G*H, H]`` and maybe ``B [D, 2*G*H]``."""
    by_direction = [from_weights(direction, layout_for(ONNX, sizes.kind.label)) for direction in directions]
    return {name: torch.stack([arrays[name] for arrays in by_direction]) for name in by_direction[0]}


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


def _value_info(onnx: Any, value: ModelValue, element: int) -> Any:
    kind = onnx.TensorProto.INT64 if value.whole else element
    return onnx.helper.make_tensor_value_info(value.name, kind, value.shape, doc_string=value.meaning)


def _steps(graph: _OnnxGraph, signature: Signature, weights: Sequence[Weights]) -> None:
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


def _one_step(graph: _OnnxGraph, signature: Signature, weights: Sequence[Weights]) -> None:
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
    graph: _OnnxGraph, signature: Signature, weights: Sequence[Weights]
) -> Iterator[tuple[int, Sequence[Weights], list[str]]]:
    """Yield each layer, the weights of its directions, and the names of its initial states."""
    sizes = signature.sizes
    D, L = sizes.directions, sizes.num_layers
    parts = [[""] * L] * len(signature.initial)
    if signature.states:
        parts = [[name] for name in signature.initial]
        if L > 1:
            splits = graph.constant("directions", [D] * L)
            parts = [[f"l{layer}.{name}" for layer in range(L)] for name in signature.initial]
            for name, into in zip(signature.initial, parts, strict=True):
                graph.node("Split", [name, splits], *into, axis=0)
    for layer in range(L):
        yield layer, weights[layer * D : (layer + 1) * D], [part[layer] for part in parts]


def _operator(
    graph: _OnnxGraph, signature: Signature, layer: int, directions: Sequence[Weights], inputs: Sequence[str]
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


def _finish(graph: _OnnxGraph, signature: Signature, out: str, finals: Sequence[Sequence[str]]) -> None:
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


def export_call(call: Call) -> CallResult:
    """Write a call into the graph being exported. Sizes T and N stay dynamic."""
    _refuse(call)
    D = call.sizes.directions
    x, states = call.x, []
    for layer in range(call.sizes.num_layers):
        here = slice(layer * D, (layer + 1) * D)
        y, *finals = _operator_call(call, here, x)
        x = _side_by_side(y, D)
        states.append(finals)
    h_n, c_n, *_ = (*map(partial(_final, call), call.initial, zip(*states, strict=True)), None)
    return CallResult(x, h_n, c_n)


def _operator_call(call: Call, here: slice, x: Tensor) -> Sequence[Tensor]:
    """Return the operator's outputs: ``y [T, D, N, H]``, and the final states ``[D, N, H]``."""
    arrays = stacked(call.weights[here], call.sizes)
    lengths = None if call.lengths is None else call.lengths.to(torch.int32)  # ONNX's type
    inputs = [x, arrays["W"], arrays["R"], arrays.get("B"), lengths, *(state[here] for state in call.initial)]
    kind, attributes = call.sizes.kind.label, operator_attributes(call.sizes)
    if not torch.compiler.is_compiling():
        return apply(_Symbol, kind, attributes, *inputs)
    shapes = _shapes(x, arrays["R"], len(call.initial))
    dtypes = [x.dtype] * len(shapes)
    return torch.onnx.ops.symbolic_multi_out(kind, inputs, attributes, dtypes=dtypes, shapes=shapes)


def _side_by_side(y: Tensor, D: int) -> Tensor:
    """Turn ``[T, D, N, H]`` into ``[T, N, D*H]`` without using sizes, which would add nodes."""
    sides = [y[:, side] for side in range(D)]
    return torch.cat(sides, dim=-1) if D > 1 else sides[0]


def _shapes(x: Tensor, recurrent: Tensor, states: int) -> list[list[Any]]:
    """Return the shapes of the operator's outputs, from ``x [T, N, C]`` and ``R [D, G*H, H]``."""
    (T, N), (D, _, H) = x.shape[:2], recurrent.shape
    return [[T, D, N, H], *([[D, N, H]] * states)]


class _Symbol(torch.autograd.Function):
    """The operator for the exporter based on TorchScript, which calls a function's ``symbolic``."""

    @staticmethod
    def forward(ctx: Any, kind: str, attributes: dict[str, Any], *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return outputs of the right shapes; the values don't matter, because a trace records calls."""
        return tuple(inputs[0].new_zeros(shape) for shape in _shapes(inputs[0], inputs[2], len(inputs[_FIRST_STATE:])))

    @staticmethod
    def symbolic(g: Any, kind: str, attributes: dict[str, Any], *inputs: Any) -> Any:
        """Write the node."""
        operands = [_nothing(g) if value is None else value for value in inputs]
        # The exporter reads an attribute's type from the end of its name.
        typed = {f"{name}_{'i' if isinstance(value, int) else 's'}": value for name, value in attributes.items()}
        return g.op(kind, *operands, **typed, outputs=1 + len(inputs[_FIRST_STATE:]))


def _nothing(g: Any) -> Any:
    """An omitted input."""
    node = g.op("prim::Constant")
    node.setType(torch._C.OptionalType.ofTensor())
    return node


def _final(call: Call, initial: Tensor, layers: tuple[Tensor, ...]) -> Tensor:
    """Join the layers' final states; an empty row, for which runtimes return zeros, has its initial one."""
    value = torch.cat(layers)
    return value if call.lengths is None else torch.where((call.lengths == 0)[:, None], initial, value)


def _refuse(call: Call) -> None:
    """Reject features that the export would lose or get wrong."""
    cures = {
        "edits": (bool(call.edits), "exit their block"),
        "traces": (call.record is not None, "call the layer instead"),
        "reset=": (call.reset is not None, "split the sequences beforehand, or carry the state from call to call"),
        "dropout in training mode": (call.dropout > 0, "call .eval() first"),
        "autocast": (autocasts(call.x.device.type), "exit its block, and convert the model"),
    }
    for what, (there, cure) in cures.items():
        if there:
            raise ArgumentError(
                f"{with_article(call.sizes.kind.label)} with {what} can't be exported to ONNX, which has no operator "
                f"for it: {cure}"
            )
