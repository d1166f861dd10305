"""The layers of a case as an ONNX model: its LSTM operator, with the same weights."""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from contestants import MissingPeerError
from shapes import Case

OPSET = 14
IR_VERSION = 8  # of that opset's time, so that any runtime reads it
# The order in which ONNX stacks the gates, as places in torch's order i f g o: its i o f c, whose c is torch's g.
GATES = (0, 3, 1, 2)


def imported(name: str) -> Any:
    """Import an optional package.

    Raises:
        MissingPeerError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingPeerError(f"{name} is left out, since it could not be imported ({error})") from error


def model_of(case: Case, *, stateful: bool) -> bytes:
    """A model from ``x0 [T, N, C]`` to ``out [T, N, D*H]``.

    A stateful one, of a single layer, also takes ``h0`` and ``c0`` and gives ``h_n`` and ``c_n``.
    """
    helper = imported("onnx.helper")
    states_in, states_out = (["h0", "c0"], ["h_n", "c_n"]) if stateful else ([], [])
    T, N, H = case.x.shape
    inputs = [_value("x0", [T, N, H])] + [_value(name, [case.shape.directions, N, H]) for name in states_in]
    outputs = [_value(name, None) for name in ["out", *states_out]]
    nodes = [node for layer in range(case.shape.L) for node in _layer(case, layer, states_in, states_out)]
    graph = helper.make_graph(nodes, "lstm", inputs, outputs, list(_constants(case)))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    serialized: bytes = model.SerializeToString()
    return serialized


def _value(name: str, shape: list[int] | None) -> Any:
    onnx = imported("onnx")
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _layer(case: Case, layer: int, states_in: list[str], states_out: list[str]) -> Iterator[Any]:
    """The operator, and its output ``[T, D, N, H]`` brought into the form ``[T, N, D*H]``."""
    make_node = imported("onnx.helper").make_node
    weights = [f"{stem}{layer}" for stem in "WRB"]
    direction = "bidirectional" if case.shape.bidirectional else "forward"
    states = ["", *states_in] if states_in else []  # "": no lengths
    yield make_node(
        "LSTM",
        [f"x{layer}", *weights, *states],
        [f"Y{layer}", *states_out],
        hidden_size=case.shape.H,
        direction=direction,
    )
    yield make_node("Transpose", [f"Y{layer}"], [f"rows{layer}"], perm=[0, 2, 1, 3])
    last = layer == case.shape.L - 1
    yield make_node("Reshape", [f"rows{layer}", "joined"], ["out" if last else f"x{layer + 1}"])


def _constants(case: Case) -> Iterator[Any]:
    from_array = imported("onnx.numpy_helper").from_array
    for layer in range(case.shape.L):
        directions = case.theirs.all_weights[layer * case.shape.directions : (layer + 1) * case.shape.directions]
        for stem, value in zip("WRB", _stacked(directions), strict=True):
            yield from_array(value.numpy(), f"{stem}{layer}")
    yield from_array(torch.tensor([0, 0, -1]).numpy(), "joined")  # 0: as it was


def _stacked(directions: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """``W [D, 4H, C]``, ``R [D, 4H, H]`` and ``B [D, 8H]``, the input's biases before the recurrent ones."""
    ordered = [[_reordered(weight.detach()) for weight in weights] for weights in directions]
    return [
        torch.stack([ih for ih, *_ in ordered]),
        torch.stack([hh for _, hh, *_ in ordered]),
        torch.stack([torch.cat([b_ih, b_hh]) for *_, b_ih, b_hh in ordered]),
    ]


def _reordered(weight: Tensor) -> Tensor:
    gates = weight.chunk(4)
    return torch.cat([gates[k] for k in GATES])
