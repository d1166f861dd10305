"""Imports LSTMs, GRUs and plain RNNs from ONNX models."""

from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentTypeError, FileFormatError, NameUnknownError
from hiddenstate.interop.build import K, build_kind, build_layer, layer_class
from hiddenstate.interop.found import Found
from hiddenstate.interop.layouts import to_array
from hiddenstate.nn.lstm import LSTM

if TYPE_CHECKING:
    import onnx

    from hiddenstate.interop.onnx.node import RecurrentNode

_CELLS = ("LSTM", "GRU", "RNN")


def from_onnx(
    source: "str | Path | onnx.ModelProto",
    name: str | None = None,
    *,
    kind: type[K] = LSTM,  # type: ignore[assignment]
    inputs: Mapping[str, Any] | None = None,
    join: bool = True,
    flipped: bool = False,
) -> K:
    """Make an LSTM from an LSTM node in an ONNX model, or from several nodes that are its layers.

    With ``kind``, it makes a GRU from GRU nodes, or a plain RNN (with tanh or relu, as in the node) from RNN nodes. A
    GRU node must have ``linear_before_reset=1``, as torch exports it. With ``linear_before_reset=0``, ONNX's default,
    it is a different cell, which is rejected.

    Weights are initializers (in the model or in an external file), constants, or computed from these by other nodes,
    which onnx's reference evaluates. Values are copied unchanged. The graph's initial states are ignored: pass them to
    a call as ``hx``. If a node has a feature that our layer lacks (peepholes, other activations, clipping, coupled
    gates), the error names it.

    Args:
        source: the model, or the path of its file.
        name: the layer, if there are several of its kind: the name of its (first) node, or of that node's first output
            if the node has no name.
        kind: the class to make: `LSTM`, `GRU`, `RNN`, or a cell of these.
        inputs: arrays for the graph's inputs, if weights are among them.
        join: make one module of nodes that are clearly its layers: each reads the output of the one below, and nothing
            else does. False makes a one-layer module from each node.
        flipped: also accept a node that reads only in reverse, as a layer that reads forward: give it the flipped
            sequence, ``x.flip(0)``, and flip its output.

    Returns:
        The layer, with ``batch_first=True`` if the nodes have ``layout=1``. Its output ``[T, N, D*H]`` is the node's
        ``Y`` ``[T, D, N, H]`` with concatenated directions.

    Raises:
        NameUnknownError: there is no layer of this kind, or none with this name, or ``inputs`` names an unknown input.
        ArgumentError: there are several (the message lists them), a node has a feature that our layers lack, or its
            weights are computed at run time.
        ArgumentTypeError: the source has the wrong type, or ``kind`` is not such a class.
        ShapeError, RankError, DtypeError: a node's arrays do not match each other.
        FileFormatError: the file is not an ONNX model, or is damaged, or its external data is missing.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.
        MissingDependencyError: onnx is not installed.
    """
    layers = in_onnx(source, kind=layer_class(kind), inputs=inputs, join=join, flipped=flipped)
    return build_kind(layers.one(name), kind)


def in_onnx(
    source: "str | Path | onnx.ModelProto",
    *,
    kind: type[Any] = LSTM,
    inputs: Mapping[str, Any] | None = None,
    join: bool = True,
    flipped: bool = False,
) -> Found[Any]:
    """List the layers of a kind in an ONNX model; see `from_onnx`."""
    onnx = optional_package("onnx", "onnx", "from_onnx")
    if not isinstance(source, (str, Path, onnx.ModelProto)):
        raise ArgumentTypeError(f"expected an onnx.ModelProto or the path of a file, got {type(source).__name__}")
    where = "this ONNX model"
    if not isinstance(source, onnx.ModelProto):
        check_is_file(where := str(source))
    with reading(where):
        model = source if isinstance(source, onnx.ModelProto) else _read(source)
        return _in_model(where, model, kind, inputs or {}, join, flipped)


def _in_model(
    where: str, model: "onnx.ModelProto", kind: type[Any], inputs: Mapping[str, Any], join: bool, flipped: bool
) -> Found[Any]:
    from hiddenstate.interop.onnx.node import group_into_stacks

    every = list(_recurrent_nodes(model, inputs))
    nodes = [node for node in every if node.cell == kind.__name__]
    stacks = group_into_stacks(nodes) if join else [[node] for node in nodes]
    others = {
        node.name or node.output[0]: f"it is of type {node.op_type}"
        for node in model.graph.node
        if any(cell in node.op_type for cell in _CELLS)
    }
    others |= {node.name: f"it is of type {node.cell}. kind=hs.{node.cell} reads it" for node in every}
    builders = {stack[0].name: partial(_build, stack, kind, flipped) for stack in stacks}
    layers = {node.name for node in nodes}
    return Found(where, builders, {name: what for name, what in others.items() if name not in layers}, kind=kind)


def _read(path: str | Path) -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise FileFormatError(f"{path} can't be read as an ONNX model: {error}") from error
    if not model.HasField("graph"):
        raise FileFormatError(f"{path} is not an ONNX model: it has no graph")
    return model


def _recurrent_nodes(model: "onnx.ModelProto", inputs: Mapping[str, Any]) -> "Iterator[RecurrentNode]":
    """Yield every LSTM, GRU and RNN node of a model, even inside nodes and functions, under a unique name."""
    from hiddenstate.interop.onnx.graph import iterate_scopes, without_functions
    from hiddenstate.interop.onnx.node import RecurrentNode

    known = {value.name for value in (*model.graph.input, *model.graph.initializer)}
    unknown = [name for name in inputs if name not in known]
    if unknown:
        raise NameUnknownError(
            f"no input {', '.join(unknown)} in this graph: it has {', '.join(sorted(known)) or 'none'}"
        )
    constants = ChainMap({name: _array(value) for name, value in inputs.items()})
    model = without_functions(model)
    scopes = iterate_scopes(model, model.graph, constants)
    recurrent = [(node, scope) for scope in scopes for node in scope.nodes if _is_recurrent(node)]
    names = Counter(node.name for node, _ in recurrent)
    for node, scope in recurrent:
        output = next((name for name in node.output if name), "")
        yield RecurrentNode(node.name if node.name and names[node.name] == 1 else output, node, scope)


def _is_recurrent(node: "onnx.NodeProto") -> bool:
    return node.op_type in _CELLS and node.domain in ("", "ai.onnx")


def _array(value: Any) -> Any:
    return to_array(value) if hasattr(value, "detach") else np.asarray(value)


def _build(stack: "Sequence[RecurrentNode]", kind: type[Any], flipped: bool) -> Any:
    weights = [direction for node in stack for direction in node.weights(flipped=flipped)]
    for node in stack:
        node.warn_of_initial_state()
    return build_layer(
        weights,
        kind,
        bidirectional=stack[0].directions == 2,
        batch_first=stack[0].batch_first,
        nonlinearity=stack[0].nonlinearity,
    )
