"""Runs calls on unconverted arguments, without edits, resets or dropout; None for the general path."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hiddenstate.base import scoped
from hiddenstate.base.torch_internals import interception
from hiddenstate.engine import derivative, kernels
from hiddenstate.engine.call import Call, split_weights, wants_gradient
from hiddenstate.engine.inputs import CallOptions
from hiddenstate.engine.kernels import Kernel
from hiddenstate.engine.native import NativeRun, refusal_text
from hiddenstate.engine.paths.native_path import FEW_ROW_STEPS
from hiddenstate.structure.sizes import ParameterNames, Sizes

if TYPE_CHECKING:
    from hiddenstate.engine.paths.packed import PackedLSTM

OPEN_BLOCK = "a block of edits, traces or hiddenstate.backend is open"

# The input, the state and the lengths, as passed by the user.
Plain = tuple[Any, Any, Any]


def why_not_plain(cell: str, options: CallOptions) -> str | None:
    """Return why calls of a layer can't run on unconverted arguments, or None."""
    if scoped.any_open:
        return OPEN_BLOCK
    if options.dropout:
        return "dropout is drawn in training"
    if options.recompute_gates and torch.is_grad_enabled():
        return "a gradient would compute the gates again (recompute_gates)"
    return None if cell in kernels.CELLS else kernels.why_not(cell, None)


def run(
    arguments: Plain,
    parameters: dict[str, Any],
    names: ParameterNames,
    sizes: Sizes,
    options: CallOptions,
    packed: "PackedLSTM | None" = None,
    record: bool = False,
) -> Any:
    """Run a call with x, hx and lengths that needs no gradient; None if the general path is needed.

    Returns ``out``, time first, and ``(h_n, c_n)``; with ``record`` also the gates and cell states of each layer and
    direction, and the outputs of each layer but the last, in which unbatched runs have N = 1.
    """
    if interception() is not None:
        return None
    return _run(arguments, parameters, names, sizes, options, packed, record)


def _run(
    arguments: Plain,
    parameters: dict[str, Any],
    names: ParameterNames,
    sizes: Sizes,
    options: CallOptions,
    packed: "PackedLSTM | None",
    record: bool,
) -> Any:
    call, weights = _call_and_weights(arguments[0], parameters, sizes.cell, packed)
    if call is None:
        return None
    flags = options.batch_first, options.training, record
    return call.run(arguments, weights, names, sizes.axes, flags)


def _call_and_weights(x: object, parameters: dict[str, Any], cell: str, packed: "PackedLSTM | None") -> tuple[Any, Any]:
    """Return the native call and the weights it reads; no call for types and sizes without a kernel."""
    half, kernel, weights = False, kernels.plain_kernel(x, cell), parameters
    if packed is not None:
        half, kernel, weights = packed.is_half, packed.kernel, packed.packed
    elif kernel is None and type(x) is Tensor and x.dtype is torch.float16 and kernels.serves(torch.float32):
        half, kernel = True, kernels.kernel(torch.float32, cell)
    if kernel is None or (half and not _has_many_row_steps(x)):
        return None, weights
    return _fast_call(kernel, half), weights


def records_wider(x: object, cell: str) -> bool:
    """Whether a record's type differs from the input's: in bfloat16, gates and cell states are float32."""
    kernel = kernels.plain_kernel(x, cell)
    return kernel is not None and kernel.real is not kernel.element


def _has_many_row_steps(x: object) -> bool:
    return type(x) is Tensor and not x.is_nested and x.dim() > 1 and x.numel() >= FEW_ROW_STEPS * x.shape[-1]


def why_not(
    arguments: Plain,
    parameters: dict[str, Any],
    names: ParameterNames,
    sizes: Sizes,
    options: CallOptions,
    packed: "PackedLSTM | None",
) -> str | None:
    """Return why `run` would return None, or None if it would not."""
    against = interception()
    if against is not None:
        return against
    x, hx, _ = arguments
    call, weights = _call_and_weights(x, parameters, sizes.cell, packed)
    if kernels.version() is None:
        return kernels.NOT_LOADED
    if call is None:
        kind, dtype = type(x).__name__, getattr(x, "dtype", "no dtype")
        return f"the input is a {kind} of {dtype}, not a plain float32 or float64 torch.Tensor"
    narrow = packed is None and x.dtype is torch.float16
    if narrow and _wants_gradient([*(_tensors(x, hx, sizes) or ()), *parameters.values()]):
        return "a gradient is needed, of a call in float16"
    flags = options.batch_first, options.training, False
    refused = call.why_not(arguments, weights, names, sizes.axes, flags)
    return None if refused is None else refusal_text(*refused)


def run_differentiable(
    arguments: Plain,
    parameters: dict[str, Any],
    names: ParameterNames,
    sizes: Sizes,
    options: CallOptions,
    packed: "PackedLSTM | None" = None,
    record: bool = False,
) -> Any:
    """Like `run`, but part of torch's graph; None also for ``record`` with several layers (see `run_shown`)."""
    x, hx, lengths = arguments
    weights = [None if name is None else parameters.get(name) for stacked in names for name in stacked]
    tensors = _tensors(x, hx, sizes)
    # Checked before any tensor operation, because torch.jit.trace would record the operation.
    if interception() is not None or tensors is None or not all(isinstance(value, Tensor) for value in tensors):
        return None
    if not _wants_gradient((*tensors, *weights)):
        return _run(arguments, parameters, names, sizes, options, packed, record)
    if record and len(sizes.layer_directions) > 1:
        return None
    axes = {value.dim() for value in tensors}
    single = axes == {2}
    kernel = kernels.plain_kernel(x, sizes.cell)
    if kernel is None or not (single or axes == {3}):
        return None
    if single:
        if lengths is not None:
            return None
        try:
            tensors = [value.unsqueeze(1) for value in tensors]
        except RuntimeError:  # a sparse tensor, for example
            return None
    elif options.batch_first:
        tensors[0] = tensors[0].transpose(0, 1)
    x, *states = tensors
    h0, c0, *_ = *states, None, None
    arguments = x, sizes.kind.as_given(states) if states else None, lengths
    time_first = CallOptions(batch_first=False, training=options.training)
    result = _run(arguments, parameters, names, sizes, time_first, None, options.training or record)
    if result is None:
        return None
    leaves = (x, h0, c0, None, None, *weights)
    return _with_derivative(leaves, result, lengths, sizes, options.training, record=record, single=single)


def _tensors(x: Any, hx: Any, sizes: Sizes) -> list[Any] | None:
    """Return the input and the states, or None if ``hx`` does not fit the kind of cell."""
    if hx is None:
        return [x]
    count = len(sizes.kind.carried)
    if count == 1:
        return None if isinstance(hx, tuple) else [x, hx]
    return [x, *hx] if isinstance(hx, tuple) and len(hx) == count else None


def _wants_gradient(tensors: Sequence[Tensor | None]) -> bool:
    try:
        return wants_gradient(tensors)
    except RuntimeError:  # torch's per-sample weights do not report whether they need a gradient
        return True


def _with_derivative(
    leaves: tuple[Any, ...], result: Any, lengths: Any, sizes: Sizes, training: bool, *, record: bool, single: bool
) -> Any:
    out, state, *recorded = result
    h_n, c_n, *_ = *sizes.kind.parts_of(state), None
    gates, c, layer_outputs = recorded[0] if recorded else (None, None, None)
    none = None if gates is None else [None] * len(gates)
    x, h0, c0, *_ = leaves
    if c_n is not None and c_n.dtype is not x.dtype:
        c_n = c_n.to(x.dtype)
    call = Call(sizes, split_weights(leaves), x, h0, c0, lengths, training=training)
    values = derivative.attach(call, NativeRun(out, h_n, c_n, gates, none, c, layer_outputs), shown=record)
    count = 1 + len(sizes.kind.carried)
    out, *states = (value.squeeze(1) for value in values[:count]) if single else values[:count]
    state = sizes.kind.as_given(states)
    return (out, state, ([values[3]], [values[4]], [])) if record else (out, state)


@cache  # there is one per number type and instruction set
def _fast_call(kernel: Kernel, half: bool) -> Any:
    """Return the native call, or None if the kernel has none; with ``half``, the one for float16."""
    make = getattr(kernel.native, "fast_half_call" if half else "fast_call", None)
    return make and make()
