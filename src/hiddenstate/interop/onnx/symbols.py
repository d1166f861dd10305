"""Writes an LSTM's call during ``torch.onnx.export``: ONNX's own operator, one per layer, instead of a computation.

Supports both exporters: the one based on ``torch.export``, and the older one based on TorchScript.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.validation import autocasts
from hiddenstate.engine.call import Call, Result
from hiddenstate.engine.derivative import apply
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.onnx.lstm import direction, stacked


class _Outputs(NamedTuple):
    """The operator's outputs: ``y [T, D, N, H]``, ``h`` and ``c [D, N, H]``."""

    y: Tensor
    h: Tensor
    c: Tensor


def run(call: Call) -> Result:
    """Write a call into the graph being exported. Sizes T and N stay dynamic.

    Raises:
        ArgumentError: the call needs something that ONNX lacks, which the message names.
    """
    _refuse(call)
    D = call.sizes.directions
    x, h, c = call.x, [], []
    for layer in range(call.sizes.num_layers):
        here = slice(layer * D, (layer + 1) * D)
        done = _operator(call, here, x)
        x = _side_by_side(done.y, D)
        h.append(done.h)
        c.append(done.c)
    h0, c0 = call.initial
    return Result(x, _final(call, h0, h), _final(call, c0, c))


def _operator(call: Call, here: slice, x: Tensor) -> _Outputs:
    arrays = stacked(call.weights[here])
    lengths = None if call.lengths is None else call.lengths.to(torch.int32)  # ONNX's type
    inputs = [x, arrays["W"], arrays["R"], arrays.get("B"), lengths, *(state[here] for state in call.initial)]
    attributes: dict[str, Any] = {"hidden_size": call.sizes.hidden_size, "direction": direction(call.sizes)}
    if not torch.compiler.is_compiling():
        return _Outputs(*apply(_Symbol, attributes, *inputs))
    shapes = _shapes(x, arrays["R"])
    return _Outputs(*torch.onnx.ops.symbolic_multi_out("LSTM", inputs, attributes, dtypes=[x.dtype] * 3, shapes=shapes))


def _side_by_side(y: Tensor, D: int) -> Tensor:
    """Turn ``[T, D, N, H]`` into ``[T, N, D*H]`` without using sizes, which would add nodes."""
    sides = [y[:, side] for side in range(D)]
    return torch.cat(sides, dim=-1) if D > 1 else sides[0]


def _shapes(x: Tensor, recurrent: Tensor) -> list[list[Any]]:
    """Shapes of the operator's outputs, from ``x [T, N, C]`` and ``R [D, 4H, H]``."""
    (T, N), (D, _, H) = x.shape[:2], recurrent.shape
    return [[T, D, N, H], [D, N, H], [D, N, H]]


class _Symbol(torch.autograd.Function):
    """The operator for the exporter based on TorchScript, which calls a function's ``symbolic``."""

    @staticmethod
    def forward(ctx: Any, attributes: dict[str, Any], *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return outputs of the right shapes: a trace records calls, not values."""
        return tuple(inputs[0].new_zeros(shape) for shape in _shapes(inputs[0], inputs[2]))

    @staticmethod
    def symbolic(g: Any, attributes: dict[str, Any], *inputs: Any) -> Any:
        """Write the node."""
        given = [_nothing(g) if value is None else value for value in inputs]
        size, way = attributes["hidden_size"], attributes["direction"]
        return g.op("LSTM", *given, hidden_size_i=size, direction_s=way, outputs=len(_Outputs._fields))


def _nothing(g: Any) -> Any:
    """An omitted input."""
    node = g.op("prim::Constant")
    node.setType(torch._C.OptionalType.ofTensor())
    return node


def _final(call: Call, initial: Tensor, layers: list[Tensor]) -> Tensor:
    """Join the layers' final states; an empty row, for which runtimes return zeros, has its initial one."""
    value = torch.cat(layers)
    return value if call.lengths is None else torch.where((call.lengths == 0)[:, None], initial, value)


def _refuse(call: Call) -> None:
    """Refuse features that the export would lose or get wrong."""
    cures = {
        "edits": (bool(call.edits), "leave the block that they hold in"),
        "traces": (call.record is not None, "call the LSTM instead"),
        "reset=": (call.reset is not None, "cut the sequences before, or carry the state from call to call"),
        "dropout in training mode": (call.dropout > 0, "call .eval() first"),
        "autocast": (autocasts(call.x.device.type), "leave its block, and convert the model"),
    }
    for what, (there, cure) in cures.items():
        if there:
            raise ArgumentError(f"an LSTM with {what} can't be exported to ONNX, which has no operator for it: {cure}")
