"""A whole LSTM as one torch operator, ``hiddenstate::lstm``, for torch.compile and torch.export.

A compiler sees one node, whatever the number of time steps, with rules for its output shapes and its derivative;
`native` computes both. Uncompiled calls use `native` directly, which costs less.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.validation import check_lengths
from hiddenstate.engine import derivative, kernels, native
from hiddenstate.engine.call import Call, tensors_needing_gradients, weights_of_flat
from hiddenstate.engine.native import Gradients, Saved
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from hiddenstate.structure.names import GATES
from hiddenstate.structure.sizes import Sizes

_GIVEN = (
    "Tensor x, Tensor h0, Tensor c0, Tensor[] weights, Tensor? lengths, Tensor? reset, Tensor[]? masks, "
    "bool bias, bool bidirectional"
)
# At the end and with defaults, so that models exported before these arguments existed still run. torch omits trailing
# arguments that equal their defaults.
_BORDERS = "Tensor? reset_h=None, Tensor? reset_c=None"
_NUMBER = 9  # of the arguments in _GIVEN


def why_not(call: Call, cast_to: torch.dtype | None) -> str | None:
    """Return the reason that the operator can't compute a call, or None.

    With ``cast_to`` the call is judged as if autocast had cast all its tensors to that type.
    """
    if call.sizes.cell != "LSTM":
        return f"the operator computes only LSTMs, and this is a {call.sizes.kind.label}"
    tensors = [value for value in tensors_needing_gradients(call) if value is not None]
    if not kernels.serves(cast_to or call.x.dtype):
        return "there is no native kernel for this type"
    if not all(value.device.type == "cpu" and (cast_to or value.dtype is call.x.dtype) for value in tensors):
        return "not all tensors are on the CPU and of one type"
    lacks_bias = any(weights.b_ih is None or weights.b_hh is None for weights in call.weights)
    return "a bias is None" if call.sizes.bias and lacks_bias else None


def run(call: Call, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Run a whole LSTM through the operator, with these dropout masks; return ``out``, ``h_n`` and ``c_n``."""
    out, h_n, c_n, _ = lstm(
        *(call.x, call.h0, call.c0, _given_weights(call), call.lengths, call.reset, list(masks) or None),
        *(call.sizes.bias, call.sizes.bidirectional, call.training, call.reset_h, call.reset_c),
        call.recompute_gates,
    )
    return out, h_n, c_n


@torch.library.custom_op(
    "hiddenstate::lstm",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_GIVEN}, bool keep, {_BORDERS}, bool recompute_gates=False) "
    "-> (Tensor out, Tensor h_n, Tensor c_n, Tensor[] kept)",
)
def lstm(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Run a whole LSTM: `native.forward`, whose records are one list, empty unless ``keep``.

    With ``recompute_gates`` the list has no gates. ``weights`` are those of each layer and direction in turn, in the
    order of `parameters.PARAMETER_STEMS`.

    Raises:
        ArgumentError, DtypeError, ShapeError: what does not fit.
    """
    given, keep, borders, recompute = _forward_arguments(arguments)
    call = replace(_checked_call(*given, *borders), recompute_gates=recompute)
    with torch.no_grad():
        done = native.forward(call, gradient=keep)
    assert done.c_n is not None  # the operator is an LSTM's
    if not keep:
        return done.out, done.h_n, done.c_n, []
    records: list[Any] = list(done.saved()[1:])
    return (done.out, done.h_n, done.c_n, list(chain.from_iterable(records[1:] if recompute else records)))


def _forward_arguments(arguments: Sequence[Any]) -> tuple[Sequence[Any], bool, list[Any], bool]:
    """Split the arguments into the given ones, ``keep``, border states and ``recompute_gates``, adding defaults."""
    keep, *options = arguments[_NUMBER:]
    defaults: list[Any] = [None, None, False]
    *borders, recompute = options + defaults[len(options) :]
    return arguments[:_NUMBER], keep, borders, recompute


@lstm.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    given, keep, borders, recompute = _forward_arguments(arguments)
    call = _call(*given, *borders)
    (T, N), sizes, x, out = call.x.shape[:2], call.sizes, call.x, _out_shape(call)
    H, K = sizes.hidden_size, len(sizes.layer_directions)
    real = kernels.real_type(x.dtype)
    kept = (
        [] if recompute else [x.new_empty(T, N, len(GATES) * H, dtype=real) for _ in range(K)],
        [x.new_empty(T, N, H, dtype=real) for _ in range(K)],
        [x.new_empty(out) for _ in range(sizes.num_layers - 1)],
    )
    h_n, c_n = (state.new_empty(state.shape) for state in call.initial)
    return x.new_empty(out), h_n, c_n, list(chain.from_iterable(kept)) if keep else []


@torch.library.custom_op(
    "hiddenstate::lstm_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_GIVEN}, Tensor out, Tensor[] kept, Tensor dout, Tensor dh_n, Tensor dc_n, bool[] needed, {_BORDERS}) "
    "-> Tensor[]",
)
def lstm_backward(*arguments: Any) -> list[Tensor]:
    """Return the ``needed`` gradients of x, the given states and the weights: `native.backward`.

    Raises:
        ArgumentError, DtypeError, ShapeError: what does not fit.
    """
    given, (out, kept, dout, dh_n, dc_n, needed, *borders) = arguments[:_NUMBER], arguments[_NUMBER:]
    call, grads = _checked_call(*given, *borders), (dout, dh_n, dc_n)
    _check_gradients(call, out, grads, needed)
    with torch.no_grad():
        saved = _checked_saved(call, out, kept) if kept else native.forward(call, gradient=True).saved()
        found = native.backward(call, saved, Gradients(*grads), _spread(needed, call))
    return [value for value in found if value is not None]


@lstm_backward.register_fake
def _(*arguments: Any) -> list[Tensor]:
    (x, h0, c0, weights), (*_, needed) = arguments[:4], arguments[_NUMBER : _NUMBER + 6]
    borders = [value for value in arguments[_NUMBER + 6 :] if value is not None]
    leaves = (x, h0, c0, *borders, *weights)
    return [leaf.new_empty(leaf.shape) for leaf, need in zip(leaves, needed, strict=True) if need]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    x, h0, c0, weights, lengths, reset, masks, ctx.bias, ctx.bidirectional, _, *borders, _ = inputs
    out, _, _, kept = output
    states = [x, h0, c0, *(value for value in borders if value is not None)]
    ctx.of_masks = None if masks is None else [None] * len(masks)
    ctx.counts = (len(states), len(weights), 2, len(masks or ()), 1, len(kept))
    ctx.save_for_backward(*states, *weights, lengths, reset, *(masks or ()), out, *kept)


def _differentiate(ctx: Any, dout: Tensor, dh_n: Tensor, dc_n: Tensor, _: Any) -> tuple[Any, ...]:
    saved = iter(ctx.saved_tensors)
    states, weights, (lengths, reset), masks, (out,), kept = (list(islice(saved, count)) for count in ctx.counts)
    (x, h0, c0, *borders), needs = states, ctx.needs_input_grad
    needed = [*needs[:3], *needs[_NUMBER + 1 : _NUMBER + 1 + len(borders)], *needs[3]]
    given = (x, h0, c0, weights, lengths, reset, masks or None, ctx.bias, ctx.bidirectional)
    if torch.is_grad_enabled():  # create_graph=True
        found = _differentiable(given, borders, (dout, dh_n, dc_n), needed)
    else:
        found = lstm_backward(*given, out, kept, dout, dh_n, dc_n, needed, *borders)
    gradients = iter(found)
    of_each = [next(gradients) if need else None for need in needed]
    of_borders, of_weights = of_each[3 : len(states)], of_each[len(states) :]
    every = (*of_each[:3], of_weights, None, None, ctx.of_masks, None, None, None, *(of_borders or (None, None)), None)
    return every[: len(needs)]


def _differentiable(
    given: tuple[Any, ...], borders: Sequence[Tensor], grads: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """Return the needed gradients as a graph, through the reference."""
    *states, weights, lengths, reset, masks, bias, bidirectional = given
    count = len(states) + len(borders)

    def refer(*leaves: Tensor) -> tuple[Tensor, ...]:
        x, h0, c0, *behind = leaves[:count]
        call = _call(x, h0, c0, leaves[count:], lengths, reset, masks, bias, bidirectional, *behind)
        return derivative.run_reference(call)

    found = derivative.differentiable_gradients(refer, (*states, *borders, *weights), grads, needed)
    return [value for value, need in zip(found, needed, strict=True) if need]


lstm.register_autograd(_differentiate, setup_context=_setup_context)


def _call(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    masks: Sequence[Tensor],
    bias: bool,
    bidirectional: bool,
    reset_h: Tensor | None = None,
    reset_c: Tensor | None = None,
) -> Call:
    """Return the call that the operator's arguments describe."""
    H, P, D = c0.shape[2], h0.shape[2], 1 + bidirectional
    sizes = Sizes(x.shape[2], H, c0.shape[0] // D, bias, bidirectional, P if P < H else 0)
    call = Call(sizes, weights_of_flat(weights, sizes), x, h0, c0, lengths, reset, masks=masks or ())
    return call if reset_h is reset_c is None else replace(call, reset_h=reset_h, reset_c=reset_c)


def _given_weights(call: Call) -> list[Tensor]:
    return [value for w in call.weights for value in w if value is not None]


def _spread(needed: Sequence[bool], call: Call) -> list[bool]:
    """Expand ``needed`` to all leaves, including those that are None."""
    left = iter(needed)
    return [leaf is not None and next(left) for leaf in tensors_needing_gradients(call)]


def _checked_saved(call: Call, out: Tensor, kept: Sequence[Tensor]) -> Saved:
    """Check what the forward run saved, so that native code can trust it."""
    (T, N), H, K = call.x.shape[:2], call.sizes.hidden_size, len(call.sizes.layer_directions)
    between = call.sizes.num_layers - 1
    gates = () if len(kept) == K + between else kept[:K]  # empty if they are recomputed
    others = kept[len(gates) :]
    of_run = gates, others[:K], others[K:]
    if len(others) != K + between:
        raise ArgumentError(f"hiddenstate::lstm_backward got {len(kept)} kept tensors, expected {2 * K + between}")
    real = kernels.real_type(call.x.dtype)
    for values, shape, dtype in zip(
        of_run, ((T, N, len(GATES) * H), (T, N, H), _out_shape(call)), (real, real, call.x.dtype), strict=True
    ):
        for value in values:
            _check("lstm_backward: a kept tensor", value, [shape], [dtype])
    return Saved(out, gates or [None] * K, *of_run[1:])


def _check_gradients(call: Call, out: Tensor, grads: Sequence[Tensor], needed: Sequence[bool]) -> None:
    expected = ((_out_shape(call), call.x.dtype), *((state.shape, state.dtype) for state in call.initial))
    for name, value, (shape, dtype) in zip(
        ("out", "dout", "dh_n", "dc_n"), (out, *grads), (expected[0], *expected), strict=True
    ):
        _check(f"lstm_backward: {name}", value, [tuple(shape)], [dtype])
    leaves = (3 if call.reset_h is None else 5) + len(_given_weights(call))
    if len(needed) != leaves:
        raise ArgumentError(f"hiddenstate::lstm_backward: needed has {len(needed)} entries, expected {leaves}")


def _out_shape(call: Call) -> tuple[int, ...]:
    return (*call.x.shape[:2], call.sizes.directions * call.sizes.output_size)


def _checked_call(x: Tensor, h0: Tensor, c0: Tensor, weights: Sequence[Tensor], *options: Any) -> Call:
    """Return the call, checked so that native code can trust it (it checks the weights' shapes itself).

    Raises:
        ArgumentError, DtypeError, ShapeError: what does not fit.
    """
    if not x.dim() == h0.dim() == c0.dim() == 3:
        raise ShapeError(f"hiddenstate::lstm: x, h0 and c0 must have 3 axes, got {x.dim()}, {h0.dim()}, {c0.dim()}")
    call = _call(x, h0, c0, weights, *options)
    if len(weights) > len(tensors_needing_gradients(call)) or len(_given_weights(call)) < len(weights):
        raise ArgumentError(f"hiddenstate::lstm got {len(weights)} weights, expected {len(_given_weights(call))}")
    _check_types(call)
    _check_shapes(call)
    if (call.reset_h is None) != (call.reset_c is None):
        raise ArgumentError("hiddenstate::lstm got only one of reset_h and reset_c, expected both or neither")
    if len(call.masks) not in (0, call.sizes.num_layers - 1):
        raise ArgumentError(
            f"hiddenstate::lstm: masks has {len(call.masks)} entries, expected {call.sizes.num_layers - 1}"
        )
    check_lengths(call.lengths, x.shape[0])
    return call


def _check_types(call: Call) -> None:
    tensors = (call.x, call.h0, *_given_weights(call), *call.masks)
    types = list(dict.fromkeys(value.dtype for value in tensors))
    if len(types) > 1 or not kernels.serves(types[0]) or not all(value.is_cpu for value in tensors):
        raise DtypeError(
            f"hiddenstate::lstm got {', '.join(map(str, types))}, expected tensors on CPU of one type that the native "
            f"engine serves ({'not loaded here' if kernels.version() is None else 'float32, float64 or bfloat16'})"
        )


def _check_shapes(call: Call) -> None:
    (T, N), (_, H, P, _), K, dtype = call.x.shape[:2], call.sizes.axes, len(call.sizes.layer_directions), call.x.dtype
    # Those of borders are of each row, or of each step and row.
    _check("lstm: h0", call.h0, [(K, N, P)], [dtype])
    _check("lstm: c0", call.c0, [(K, N, H)], [dtype, kernels.real_type(dtype)])
    _check("lstm: lengths", call.lengths, [(N,)], [torch.int64])
    _check("lstm: reset", call.reset, [(T, N)], [torch.bool])
    _check("lstm: reset_h", call.reset_h, [(K, N, P), (K, T * N, P)], [dtype])
    _check("lstm: reset_c", call.reset_c, [(K, N, H), (K, T * N, H)], [call.initial[1].dtype])
    for k, mask in enumerate(call.masks):
        _check(f"lstm: masks[{k}]", mask, [_out_shape(call)], [dtype])


def _check(name: str, value: Tensor | None, shapes: Sequence[Sequence[int]], types: Sequence[torch.dtype]) -> None:
    if value is None:
        return
    if tuple(value.shape) not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ShapeError(f"hiddenstate::{name} has shape {list(value.shape)}, expected {wanted}")
    if value.dtype not in types or not value.is_cpu:
        raise DtypeError(f"hiddenstate::{name} is {value.dtype} on {value.device}, expected {types[0]} on cpu")
