"""A whole layer as one torch operator, for torch.compile and torch.export.

``hiddenstate::lstm`` runs LSTMs, and ``hiddenstate::rnn`` runs GRUs and plain RNNs, which have no cell state. A
compiler sees one node, whatever the number of time steps, with rules for its output shapes and its derivative; `native`
computes both the output and the derivative. Uncompiled calls use `native` directly, which costs less.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.validation import check_lengths
from hiddenstate.engine import derivative, kernels, native
from hiddenstate.engine.call import Call, tensors_needing_gradients, weights_of_flat
from hiddenstate.engine.native import Gradients, Saved
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from hiddenstate.structure.sizes import Sizes

_OPTIONS = "Tensor[] weights, Tensor? lengths, Tensor? reset, Tensor[]? masks, bool bias, bool bidirectional"
_NUMBER = 9  # the number of arguments that describe a call, for either operator
_OF_LSTM = f"Tensor x, Tensor h0, Tensor c0, {_OPTIONS}"
_OF_RNN = f"Tensor x, Tensor h0, {_OPTIONS}, str cell"
# These arguments come last and have defaults, so that models exported before they existed still run. torch omits
# trailing arguments that equal their defaults.
_BORDERS_LSTM = "Tensor? reset_h=None, Tensor? reset_c=None"
_BORDERS_RNN = "Tensor? reset_h=None"


def computes(call: Call, cast_to: torch.dtype | None) -> bool:
    """Whether the operator can compute a call, as it is or as if autocast had cast all its tensors to a type."""
    if call.cell not in kernels.CELLS or not kernels.serves(cast_to or call.x.dtype):
        return False
    tensors = [value for value in tensors_needing_gradients(call) if value is not None]
    if not all(value.device.type == "cpu" and (cast_to or value.dtype is call.x.dtype) for value in tensors):
        return False
    lacks_bias = any(weights.b_ih is None or weights.b_hh is None for weights in call.weights)
    return not (call.sizes.bias and lacks_bias)


class _Operands(NamedTuple):
    """The arguments that describe a call, which come first, for either operator."""

    x: Tensor
    states: Sequence[Tensor]
    weights: Sequence[Tensor]  # those of each layer and direction in turn, in the order of `PARAMETER_STEMS`
    lengths: Tensor | None
    reset: Tensor | None
    masks: Sequence[Tensor] | None
    bias: bool
    bidirectional: bool
    cell: str = "LSTM"

    @staticmethod
    def of(arguments: Sequence[Any]) -> "_Operands":
        """Name the arguments; only an operator without cell states has the name of the cell, as its last argument."""
        x, *others = arguments[:_NUMBER]
        states = 1 if isinstance(others[-1], str) else 2
        return _Operands(x, others[:states], *others[states:])

    def arguments(self) -> tuple[Any, ...]:
        """The arguments in the operator's order."""
        _, _, *others, cell = self
        return (self.x, *self.states, *others, *([cell] if len(self.states) == 1 else []))


def run(call: Call, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Run a whole call through its operator, with these dropout masks; return ``out``, ``h_n`` and ``c_n``."""
    sizes = call.sizes
    operands = _Operands(
        *(call.x, call.initial, call.given_weights, call.lengths, call.reset, list(masks) or None),
        *(sizes.bias, sizes.bidirectional, sizes.cell),
    )
    if call.c0 is None:
        out, h_n, _ = rnn(*operands.arguments(), call.training, call.reset_h, call.recompute_gates)
        return out, h_n, None
    out, h_n, c_n, _ = lstm(*operands.arguments(), call.training, call.reset_h, call.reset_c, call.recompute_gates)
    return out, h_n, c_n


def _run(*arguments: Any) -> Any:
    """Run a whole call with `native.forward`; the list of its records is empty unless ``keep``."""
    operands, keep, borders, recompute = _forward_arguments(arguments)
    call = replace(_checked_call(operands, borders), recompute_gates=recompute)
    with torch.no_grad():
        result = native.forward(call, gradient=keep)
    outputs = [value for value in result[:3] if value is not None]
    if not keep:
        return (*outputs, [])
    records: list[Any] = list(result.saved()[1:])
    every = chain.from_iterable(records[1:] if recompute else records)
    return (*outputs, [value for value in every if value is not None])


def _operator(name: str, function: Callable[..., Any], schema: str) -> Any:
    return torch.library.custom_op(f"hiddenstate::{name}", function, mutates_args=(), device_types="cpu", schema=schema)


lstm = _operator(
    "lstm",
    _run,
    f"({_OF_LSTM}, bool keep, {_BORDERS_LSTM}, bool recompute_gates=False) "
    "-> (Tensor out, Tensor h_n, Tensor c_n, Tensor[] kept)",
)
rnn = _operator(
    "rnn",
    _run,
    f"({_OF_RNN}, bool keep, {_BORDERS_RNN}, bool recompute_gates=False) -> (Tensor out, Tensor h_n, Tensor[] kept)",
)


def _forward_arguments(arguments: Sequence[Any]) -> tuple[_Operands, bool, list[Any], bool]:
    """Split the arguments: the call's, ``keep``, border states and ``recompute_gates``, adding defaults."""
    operands, (keep, *options) = _Operands.of(arguments), arguments[_NUMBER:]
    defaults: list[Any] = [*[None] * len(operands.states), False]
    *borders, recompute = options + defaults[len(options) :]
    return operands, keep, borders, recompute


def _shapes(*arguments: Any) -> Any:
    operands, keep, borders, recompute = _forward_arguments(arguments)
    call = _call(operands, borders)
    (T, N), sizes, x, out = call.x.shape[:2], call.sizes, call.x, _out_shape(call)
    H, K = sizes.hidden_size, len(sizes.layer_directions)
    real = kernels.real_type(x.dtype)
    kept = (
        [] if recompute else [x.new_empty(T, N, _record(call) * H, dtype=real) for _ in range(K)],
        [] if call.c0 is None else [x.new_empty(T, N, H, dtype=real) for _ in range(K)],
        [x.new_empty(out) for _ in range(sizes.num_layers - 1)],
    )
    states = (state.new_empty(state.shape) for state in call.initial)
    return (x.new_empty(out), *states, list(chain.from_iterable(kept)) if keep else [])


def _record(call: Call) -> int:
    """Return how many values are recorded per unit as its gates."""
    return len(native.recorded_gates(call.sizes.kind))


def _run_backward(*arguments: Any) -> list[Tensor]:
    """Return the ``needed`` gradients of x, the states and the weights: `native.backward`."""
    operands, out, kept, grads, needed, borders = _backward_arguments(arguments)
    call = _checked_call(operands, borders)
    _check_gradients(call, out, grads, needed)
    with torch.no_grad():
        saved = _checked_saved(call, out, kept) if kept else native.forward(call, gradient=True).saved()
        gradients = native.backward(call, saved, Gradients(*grads), _spread(needed, call))
    return [value for value in gradients if value is not None]


lstm_backward = _operator(
    "lstm_backward",
    _run_backward,
    f"({_OF_LSTM}, Tensor out, Tensor[] kept, Tensor dout, Tensor dh_n, Tensor dc_n, bool[] needed, "
    f"{_BORDERS_LSTM}) -> Tensor[]",
)
rnn_backward = _operator(
    "rnn_backward",
    _run_backward,
    f"({_OF_RNN}, Tensor out, Tensor[] kept, Tensor dout, Tensor dh_n, bool[] needed, {_BORDERS_RNN}) -> Tensor[]",
)


def _backward_arguments(arguments: Sequence[Any]) -> tuple[_Operands, Any, Any, Any, Any, Any]:
    """Split the arguments into the call's, ``out``, ``kept``, the gradients, ``needed`` and border states."""
    operands, (out, kept, *others) = _Operands.of(arguments), arguments[_NUMBER:]
    count = 1 + len(operands.states)
    return operands, out, kept, others[:count], others[count], others[count + 1 :]


def _shapes_backward(*arguments: Any) -> list[Tensor]:
    operands, _, _, _, needed, borders = _backward_arguments(arguments)
    leaves = (operands.x, *operands.states, *(value for value in borders if value is not None), *operands.weights)
    return [leaf.new_empty(leaf.shape) for leaf, need in zip(leaves, needed, strict=True) if need]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    operands, _, borders, _ = _forward_arguments(inputs)
    out, *_, kept = output
    borders = [value for value in borders if value is not None]
    masks = operands.masks or ()
    ctx.options = operands.bias, operands.bidirectional, operands.cell
    ctx.of_masks = None if operands.masks is None else [None] * len(masks)
    groups = (
        [operands.x],
        operands.states,
        borders,
        operands.weights,
        [operands.lengths, operands.reset],
        masks,
        [out],
        kept,
    )
    ctx.counts = [len(group) for group in groups]
    ctx.save_for_backward(*chain.from_iterable(groups))


def _differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    saved = iter(ctx.saved_tensors)
    groups = (list(islice(saved, count)) for count in ctx.counts)
    (x,), states, borders, weights, (lengths, reset), masks, (out,), kept = groups
    operands = _Operands(x, states, weights, lengths, reset, masks or None, *ctx.options)
    needs, first = ctx.needs_input_grad, 1 + len(states)
    needed = [*needs[:first], *needs[_NUMBER + 1 : _NUMBER + 1 + len(borders)], *needs[first]]
    if torch.is_grad_enabled():  # create_graph=True
        needed_gradients = _differentiable(operands, borders, grads[:-1], needed)
    else:
        backward = lstm_backward if len(states) == 2 else rnn_backward
        needed_gradients = backward(*operands.arguments(), out, kept, *grads[:-1], needed, *borders)
    gradients = iter(needed_gradients)
    of_leaves = iter([next(gradients) if need else None for need in needed])
    of_first, of_borders = list(islice(of_leaves, first)), list(islice(of_leaves, len(borders)))
    of_options = [None] * (len(operands.arguments()) - first - 4)
    every = (*of_first, [*of_leaves], None, None, ctx.of_masks, *of_options, None)
    return (*every, *(of_borders or [None] * len(states)), None)[: len(needs)]


def _differentiable(
    operands: _Operands, borders: Sequence[Tensor], grads: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """Return the needed gradients, differentiable, through the reference."""

    def refer(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        rest = iter(others)
        states, of_borders = list(islice(rest, len(operands.states))), list(islice(rest, len(borders)))
        return derivative.run_reference(_call(operands._replace(x=x, states=states, weights=[*rest]), of_borders))

    leaves = (operands.x, *operands.states, *borders, *operands.weights)
    gradients = derivative.differentiable_gradients(refer, leaves, grads, needed)
    return [value for value, need in zip(gradients, needed, strict=True) if need]


for operator, operator_backward in ((lstm, lstm_backward), (rnn, rnn_backward)):
    operator.register_fake(_shapes)
    operator_backward.register_fake(_shapes_backward)
    operator.register_autograd(_differentiate, setup_context=_setup_context)


def _call(operands: _Operands, borders: Sequence[Tensor | None]) -> Call:
    """Return the call that an operator's arguments describe."""
    h0, c0, *_ = *operands.states, None
    H, P, D = operands.states[-1].shape[2], h0.shape[2], 1 + operands.bidirectional
    layers, projected = h0.shape[0] // D, P if P < H else 0
    sizes = Sizes(operands.x.shape[2], H, layers, operands.bias, operands.bidirectional, projected, operands.cell)
    weights = weights_of_flat(operands.weights, sizes)
    call = Call(sizes, weights, operands.x, h0, c0, operands.lengths, operands.reset, masks=operands.masks or ())
    if all(value is None for value in borders):
        return call
    reset_h, reset_c, *_ = *borders, None
    return replace(call, reset_h=reset_h, reset_c=reset_c)


def _spread(needed: Sequence[bool], call: Call) -> list[bool]:
    """Expand ``needed`` to all leaves, including those that are None."""
    left = iter(needed)
    return [leaf is not None and next(left) for leaf in tensors_needing_gradients(call)]


def _name(call: Call) -> str:
    return "lstm" if call.c0 is not None else "rnn"


def _checked_saved(call: Call, out: Tensor, kept: Sequence[Tensor]) -> Saved:
    """Check what the forward run saved, so that native code can trust it."""
    (T, N), H, K = call.x.shape[:2], call.sizes.hidden_size, len(call.sizes.layer_directions)
    between, memories = call.sizes.num_layers - 1, 0 if call.c0 is None else K
    gates = () if len(kept) == memories + between else kept[:K]  # empty if they are recomputed
    others = kept[len(gates) :]
    of_run = gates, others[:memories], others[memories:]
    if len(others) != memories + between:
        raise ArgumentError(
            f"hiddenstate::{_name(call)}_backward got {len(kept)} kept tensors, expected {K + memories + between}"
        )
    real = kernels.real_type(call.x.dtype)
    for values, shape, dtype in zip(
        of_run, ((T, N, _record(call) * H), (T, N, H), _out_shape(call)), (real, real, call.x.dtype), strict=True
    ):
        for value in values:
            _check(f"{_name(call)}_backward: a kept tensor", value, [shape], [dtype])
    c: Any = of_run[1] or [None] * K
    return Saved(out, gates or [None] * K, c, of_run[2])


def _check_gradients(call: Call, out: Tensor, grads: Sequence[Tensor], needed: Sequence[bool]) -> None:
    expected = ((_out_shape(call), call.x.dtype), *((state.shape, state.dtype) for state in call.initial))
    names = ("out", "dout", "dh_n", "dc_n")[: 2 + len(call.initial)]
    for name, value, (shape, dtype) in zip(names, (out, *grads), (expected[0], *expected), strict=True):
        _check(f"{_name(call)}_backward: {name}", value, [tuple(shape)], [dtype])
    states = len(call.initial)
    leaves = 1 + states + (0 if call.reset_h is None else states) + len(call.given_weights)
    if len(needed) != leaves:
        raise ArgumentError(f"hiddenstate::{_name(call)}_backward: needed has {len(needed)} entries, expected {leaves}")


def _out_shape(call: Call) -> tuple[int, ...]:
    return (*call.x.shape[:2], call.sizes.directions * call.sizes.output_size)


def _checked_call(operands: _Operands, borders: Sequence[Tensor | None]) -> Call:
    """Return the call, checked so that native code can trust it (it checks the weights' shapes itself)."""
    axes = [value.dim() for value in (operands.x, *operands.states)]
    if set(axes) != {3}:
        operator, listed = ("lstm", "x, h0 and c0") if len(axes) == 3 else ("rnn", "x and h0")
        raise ShapeError(f"hiddenstate::{operator}: {listed} must have 3 axes, got {', '.join(map(str, axes))}")
    call, weights = _call(operands, borders), operands.weights
    name, x = _name(call), call.x
    if len(call.sizes.kind.carried) != len(call.initial) or call.sizes.cell not in kernels.CELLS:
        raise ArgumentError(f"hiddenstate::{name} runs cells without a cell state, got {call.sizes.cell}")
    if len(weights) > len(tensors_needing_gradients(call)) or len(call.given_weights) < len(weights):
        raise ArgumentError(f"hiddenstate::{name} got {len(weights)} weights, expected {len(call.given_weights)}")
    _check_types(call)
    _check_shapes(call)
    if call.c0 is not None and (call.reset_h is None) != (call.reset_c is None):
        raise ArgumentError("hiddenstate::lstm got only one of reset_h and reset_c, expected both or neither")
    if len(call.masks) not in (0, call.sizes.num_layers - 1):
        raise ArgumentError(
            f"hiddenstate::{name}: masks has {len(call.masks)} entries, expected {call.sizes.num_layers - 1}"
        )
    check_lengths(call.lengths, x.shape[0])
    return call


def _check_types(call: Call) -> None:
    tensors = (call.x, call.h0, *call.given_weights, *call.masks)
    types = list(dict.fromkeys(value.dtype for value in tensors))
    if len(types) > 1 or not kernels.serves(types[0]) or not all(value.is_cpu for value in tensors):
        known = "not loaded here" if kernels.version() is None else "float32, float64 or bfloat16"
        raise DtypeError(
            f"hiddenstate::{_name(call)} got {', '.join(map(str, types))}, expected CPU tensors of one type that "
            f"the native engine supports ({known})"
        )


def _check_shapes(call: Call) -> None:
    (T, N), (_, H, P, _), K, dtype = call.x.shape[:2], call.sizes.axes, len(call.sizes.layer_directions), call.x.dtype
    name = _name(call)
    # There is one state after a border per row, or one per step and row.
    _check(f"{name}: h0", call.h0, [(K, N, P)], [dtype])
    _check(f"{name}: c0", call.c0, [(K, N, H)], [dtype, kernels.real_type(dtype)])
    _check(f"{name}: lengths", call.lengths, [(N,)], [torch.int64])
    _check(f"{name}: reset", call.reset, [(T, N)], [torch.bool])
    _check(f"{name}: reset_h", call.reset_h, [(K, N, P), (K, T * N, P)], [dtype])
    _check(f"{name}: reset_c", call.reset_c, [(K, N, H), (K, T * N, H)], [call.initial[-1].dtype])
    for k, mask in enumerate(call.masks):
        _check(f"{name}: masks[{k}]", mask, [_out_shape(call)], [dtype])


def _check(name: str, value: Tensor | None, shapes: Sequence[Sequence[int]], types: Sequence[torch.dtype]) -> None:
    if value is None:
        return
    if tuple(value.shape) not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ShapeError(f"hiddenstate::{name} has shape {list(value.shape)}, expected {wanted}")
    if value.dtype not in types or not value.is_cpu:
        raise DtypeError(f"hiddenstate::{name} is {value.dtype} on {value.device}, expected {types[0]} on cpu")
