"""Runs calls with minimal overhead: on unconverted arguments, without edits, resets or dropout.

All functions return None, without side effects, if native code does not accept an argument as it is; the caller then
uses the general path, which converts it or raises.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base import scoped
from hiddenstate.engine import derivative, kernels
from hiddenstate.engine.call import Call, split_weights, wants_gradient
from hiddenstate.engine.interception import interception
from hiddenstate.engine.kernels import Kernel
from hiddenstate.engine.native import Run, refusal_text
from hiddenstate.structure.sizes import ParameterNames, Sizes

if TYPE_CHECKING:
    from hiddenstate.engine.paths.packed import PackedLSTM


class Options(NamedTuple):
    """Options of a fast call: ``batch_first``, ``training``, and whether to record everything.

    ``packed`` has packed weights for calls that need no gradient; if None, the call packs the weights.
    """

    batch_first: bool
    training: bool
    record: bool
    packed: "PackedLSTM | None" = None


OPEN_BLOCK = "a block of edits, traces or hiddenstate.backend is open"


def why_not_plain(cell: str, dropout: float, recomputes: bool = False) -> str | None:
    """Return why calls of a layer can't run on unconverted arguments, or None.

    Args:
        cell: the kind of cell.
        dropout: the dropout probability, 0 outside training.
        recomputes: whether a gradient would recompute the gates.
    """
    if scoped.any_open:
        return OPEN_BLOCK
    if dropout:
        return "dropout is drawn in training"
    if recomputes and torch.is_grad_enabled():
        return "a gradient would compute the gates again (recompute_gates)"
    return kernels.why_not_known(cell)


def run(
    given: tuple[Any, Any, Any], parameters: dict[str, Any], names: ParameterNames, sizes: Sizes, options: Options
) -> Any:
    """Run a call that needs no gradient.

    Args:
        given: x, hx and lengths, as passed by the user.
        parameters: the LSTM's parameters by name.
        names: the names of the five parameters of each layer and direction, None for absent ones.
        sizes: the LSTM's sizes.
        options: `Options`.

    Returns:
        ``out``, always time first, and ``(h_n, c_n)``; with ``record``, also three lists: gates and cell states of each
        layer and direction, and outputs of each layer except the last; unbatched runs have N = 1 there. None if the
        general path is needed.
    """
    return None if interception() is not None else _run(given, parameters, names, sizes, options)


def _run(
    given: tuple[Any, Any, Any], parameters: dict[str, Any], names: ParameterNames, sizes: Sizes, options: Options
) -> Any:
    kernel = _kernel(given[0], options, sizes.cell)
    if kernel is None:
        return None
    weights = parameters if options.packed is None else options.packed.packed
    return _fast_call(kernel).run(given, weights, names, sizes.axes, options)


def _kernel(x: object, options: Options, cell: str) -> Kernel | None:
    """Return the kernel of a call: the one for which its weights were packed, or the one for its input type."""
    if options.packed is None:
        return kernels.plain_kernel(x, cell)
    kernel = options.packed.kernel
    return kernel if kernel.real is kernel.element else None


def why_not(
    given: tuple[Any, Any, Any], parameters: dict[str, Any], names: ParameterNames, sizes: Sizes, options: Options
) -> str | None:
    """Return why `run` would return None, or None if it would not."""
    why = interception()
    if why is not None:
        return why
    kernel = _kernel(given[0], options, sizes.cell)
    if kernel is None:
        kind, dtype = type(given[0]).__name__, getattr(given[0], "dtype", "no dtype")
        plain = "not a plain float32 or float64 torch.Tensor"
        return kernels.why_not_loaded() or f"the input is a {kind} of {dtype}, {plain}"
    weights = parameters if options.packed is None else options.packed.packed
    refused = _fast_call(kernel).why_not(given, weights, names, sizes.axes, options)
    return None if refused is None else refusal_text(*refused)


def run_differentiable(
    given: tuple[Any, Any, Any], parameters: dict[str, Any], names: ParameterNames, sizes: Sizes, options: Options
) -> Any:
    """Like `run`, but differentiable if torch builds a graph for the arguments; the record is part of the graph.

    In training mode, the values for the backward pass are saved; otherwise they are recomputed. Also returns None for
    ``record`` with several layers or directions; see `derivative.run_shown`.
    """
    x, hx, lengths = given
    weights = [None if name is None else parameters.get(name) for one in names for name in one]
    tensors = _given_tensors(x, hx, sizes)
    # Checked before any tensor operation, because torch.jit.trace would record the operation.
    if interception() is not None or tensors is None or not all(isinstance(value, Tensor) for value in tensors):
        return None
    if not _wants_gradient((*tensors, *weights)):
        return _run(given, parameters, names, sizes, options)
    if options.record and len(sizes.layer_directions) > 1:
        return None
    axes = {value.dim() for value in tensors}
    single = axes == {2}
    if kernels.plain_kernel(x, sizes.cell) is None or not (single or axes == {3}):
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
    saves = options.training or options.record
    given = x, sizes.kind.as_given(states) if states else None, lengths
    done = _run(given, parameters, names, sizes, Options(False, options.training, saves))
    if done is None:
        return None
    return _with_derivative((x, h0, c0, None, None, *weights), done, lengths, sizes, options, single=single)


def _given_tensors(x: Any, hx: Any, sizes: Sizes) -> list[Any] | None:
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
    leaves: tuple[Any, ...], done: Any, lengths: Any, sizes: Sizes, options: Options, *, single: bool
) -> Any:
    out, state, *recorded = done
    h_n, c_n, *_ = *sizes.kind.parts_of(state), None
    gates, c, layer_outputs = recorded[0] if recorded else (None, None, None)
    none = None if gates is None else [None] * len(gates)
    x, h0, c0, *_ = leaves
    call = Call(sizes, split_weights(leaves), x, h0, c0, lengths, training=options.training)
    found = derivative.attach(call, Run(out, h_n, c_n, gates, none, c, layer_outputs), shown=options.record)
    count = 1 + len(sizes.kind.carried)
    out, *states = (value.squeeze(1) for value in found[:count]) if single else found[:count]
    state = sizes.kind.as_given(states)
    return (out, state, ([found[3]], [found[4]], [])) if options.record else (out, state)


@cache  # there is one per number type and instruction set
def _fast_call(kernel: Kernel) -> Any:
    return kernel.native.fast_call()
