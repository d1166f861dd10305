"""Writes a layer's call during ``torch.onnx.export``: ONNX's own operator, one per layer, instead of a computation.

Supports both exporters: the one based on ``torch.export``, and the older one based on TorchScript.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.messages import with_article
from hiddenstate.base.validation import autocasts
from hiddenstate.engine.call import Call, CallResult
from hiddenstate.engine.derivative import apply
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.onnx.lstm import operator_attributes, stacked

_FIRST_STATE = 5  # the states follow X, W, R, B and sequence_lens


class _Outputs(NamedTuple):
    """The operator's outputs: ``y [T, D, N, H]``, and the final states ``[D, N, H]``."""

    y: Tensor
    states: tuple[Tensor, ...]


def run(call: Call) -> CallResult:
    """Write a call into the graph being exported. Sizes T and N stay dynamic.

    Raises:
        ArgumentError: the call needs something that ONNX lacks, which the message names.
    """
    _refuse(call)
    D = call.sizes.directions
    x, states = call.x, []
    for layer in range(call.sizes.num_layers):
        here = slice(layer * D, (layer + 1) * D)
        done = _operator(call, here, x)
        x = _side_by_side(done.y, D)
        states.append(done.states)
    h_n, c_n, *_ = (*map(partial(_final, call), call.initial, zip(*states, strict=True)), None)
    return CallResult(x, h_n, c_n)


def _operator(call: Call, here: slice, x: Tensor) -> _Outputs:
    arrays = stacked(call.weights[here], call.sizes)
    lengths = None if call.lengths is None else call.lengths.to(torch.int32)  # ONNX's type
    inputs = [x, arrays["W"], arrays["R"], arrays.get("B"), lengths, *(state[here] for state in call.initial)]
    kind, attributes = call.sizes.kind.label, operator_attributes(call.sizes)
    if not torch.compiler.is_compiling():
        y, *states = apply(_Symbol, kind, attributes, *inputs)
        return _Outputs(y, tuple(states))
    shapes = _shapes(x, arrays["R"], len(call.initial))
    dtypes = [x.dtype] * len(shapes)
    y, *states = torch.onnx.ops.symbolic_multi_out(kind, inputs, attributes, dtypes=dtypes, shapes=shapes)
    return _Outputs(y, tuple(states))


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
        given = [_nothing(g) if value is None else value for value in inputs]
        # The exporter reads an attribute's type from the end of its name.
        typed = {f"{name}_{'i' if isinstance(value, int) else 's'}": value for name, value in attributes.items()}
        return g.op(kind, *given, **typed, outputs=1 + len(inputs[_FIRST_STATE:]))


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
