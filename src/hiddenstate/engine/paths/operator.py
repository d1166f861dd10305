"""A whole layer as one torch operator, for torch.compile and torch.export.

A compiler sees one node, ``hiddenstate::recurrent``, whatever the number of time steps, with rules for its output
shapes and its derivative; `native` computes both the output and the derivative. Uncompiled calls use `native` directly,
which costs less.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from hiddenstate.base.validation import check_lengths
from hiddenstate.engine import derivative, kernels, native
from hiddenstate.engine.call import Call, tensors_needing_gradients, weights_of_flat
from hiddenstate.engine.native import Gradients, Saved
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from hiddenstate.structure.sizes import Sizes


def computes(call: Call, cast_to: torch.dtype | None) -> bool:
    """Whether the operator can compute a call, as it is or as if autocast had cast all its tensors to a type."""
    if call.cell not in kernels.CELLS or not kernels.serves(cast_to or call.x.dtype):
        return False
    tensors = [value for value in tensors_needing_gradients(call) if value is not None]
    if not all(value.device.type == "cpu" and (cast_to or value.dtype is call.x.dtype) for value in tensors):
        return False
    lacks_bias = any(weights.b_ih is None or weights.b_hh is None for weights in call.weights)
    return not (call.sizes.bias and lacks_bias)


# Lists that may be empty are optional: torch's programs compiled ahead of time pass None for an empty list.
_CALL = (
    "Tensor x, Tensor[] states, Tensor[]? borders, Tensor[] weights, Tensor? lengths, Tensor? reset, Tensor[]? masks, "
    "bool bias, bool bidirectional, str cell"
)


class _Operands(NamedTuple):
    """The arguments that describe a call, which come first."""

    x: Tensor
    states: Sequence[Tensor]
    borders: Sequence[Tensor] | None  # the states after borders; None for zeros
    weights: Sequence[Tensor]  # those of each layer and direction in turn, in the order of `PARAMETER_STEMS`
    lengths: Tensor | None
    reset: Tensor | None
    masks: Sequence[Tensor] | None
    bias: bool
    bidirectional: bool
    cell: str

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors that may need gradients."""
        return [self.x, *self.states, *(self.borders or ()), *self.weights]

    def with_leaves(self, leaves: Sequence[Tensor]) -> "_Operands":
        """Return the same call with different tensors."""
        x, *rest = leaves
        left = iter(rest)
        states, borders, weights = (group and list(islice(left, len(group))) for group in self[1:4])
        return self._replace(x=x, states=states, borders=borders, weights=weights)  # type: ignore[arg-type]

    def call(self) -> Call:
        """Return the call."""
        h0, c0, *_ = *self.states, None
        H, P, D = self.states[-1].shape[2], h0.shape[2], 1 + self.bidirectional
        sizes = Sizes(self.x.shape[2], H, h0.shape[0] // D, self.bias, self.bidirectional, P if P < H else 0, self.cell)
        reset_h, reset_c, *_ = *(self.borders or ()), None, None
        weights = weights_of_flat(self.weights, sizes)
        call = Call(sizes, weights, self.x, h0, c0, self.lengths, self.reset, masks=self.masks or ())
        return replace(call, reset_h=reset_h, reset_c=reset_c)

    def checked_call(self) -> Call:
        """Return the call, with what native code relies on; it checks the rest itself."""
        axes = [value.dim() for value in (self.x, *self.states)]
        if set(axes) != {3}:
            raise ShapeError(f"hiddenstate::recurrent: x and states must have 3 axes, got {', '.join(map(str, axes))}")
        if self.cell not in kernels.CELLS or not kernels.serves(self.x.dtype):
            known = "no cells here" if kernels.version() is None else f"{' '.join(kernels.CELLS)} in its types"
            raise DtypeError(f"hiddenstate::recurrent runs {known}, got {self.cell} in {self.x.dtype}")
        call = self.call()
        counts = {"states": len(call.sizes.kind.carried), "weights": len(call.given_weights)}
        counts |= {"borders": len(self.states) if self.borders else 0}
        counts |= {"masks": call.sizes.num_layers - 1 if self.masks else 0}
        for name, expected in counts.items():
            if (got := len(getattr(self, name) or ())) != expected:
                raise ArgumentError(f"hiddenstate::recurrent got {got} {name}, expected {expected}")
        check_lengths(call.lengths, len(self.x))
        return call


_NUMBER = len(_Operands._fields)


def run(call: Call, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Run a whole call through its operator, with these dropout masks; return ``out``, ``h_n`` and ``c_n``."""
    sizes = call.sizes
    operands = _Operands(
        *(call.x, call.initial, call.reset_to, call.given_weights, call.lengths, call.reset, masks or None),
        *(sizes.bias, sizes.bidirectional, sizes.cell),
    )
    out, h_n, *c_n = recurrent(*operands, call.training, call.recompute_gates)
    return out, h_n, c_n[0] if call.c0 is not None else None


def _operator(name: str, function: Callable[..., Any], schema: str) -> Any:
    return torch.library.custom_op(f"hiddenstate::{name}", function, mutates_args=(), device_types="cpu", schema=schema)


def _run(*arguments: Any) -> list[Tensor]:
    """Run a whole call with `native.forward`: return its outputs and, with ``keep``, its records."""
    keep, recompute = arguments[_NUMBER:]
    call = replace(_Operands(*arguments[:_NUMBER]).checked_call(), recompute_gates=recompute)
    with torch.no_grad():
        result = native.forward(call, gradient=keep)
    records = result.saved(gates=not recompute)[1:] if keep else ()
    return [value for value in (*result[:3], *chain.from_iterable(records)) if value is not None]


def _shapes(*arguments: Any) -> list[Tensor]:
    keep, recompute = arguments[_NUMBER:]
    call = _Operands(*arguments[:_NUMBER]).call()
    (T, N), sizes, x = call.x.shape[:2], call.sizes, call.x
    H, K, real = sizes.hidden_size, len(sizes.layer_directions), kernels.real_type(x.dtype)
    out = (T, N, sizes.directions * sizes.output_size)
    shapes = [(T, N, len(sizes.kind.recorded_gates) * H)] * (0 if recompute else K)
    shapes += [(T, N, H)] * (0 if call.c0 is None else K)
    records = [x.new_empty(shape, dtype=real) for shape in shapes] + [
        x.new_empty(out) for _ in range(sizes.num_layers - 1)
    ]
    return [x.new_empty(out), *(state.new_empty(state.shape) for state in call.initial), *(records if keep else ())]


recurrent = _operator("recurrent", _run, f"({_CALL}, bool keep, bool recompute_gates) -> Tensor[]")


def _run_backward(*arguments: Any) -> list[Tensor]:
    """Return the ``needed`` gradients of x, the states, those after borders and the weights: `native.backward`."""
    operands, (out, kept, grads, needed) = _Operands(*arguments[:_NUMBER]), arguments[_NUMBER:]
    call = operands.checked_call()
    leaves = tensors_needing_gradients(call)
    if len(needed) != len(operands.leaves):
        raise ArgumentError(
            f"hiddenstate::recurrent_backward: needed has {len(needed)} entries, not {len(operands.leaves)}"
        )
    if len(grads) != 1 + len(operands.states):
        raise ArgumentError(
            f"hiddenstate::recurrent_backward: grads has {len(grads)} entries, not {1 + len(operands.states)}"
        )
    left = iter(needed)
    spread = [leaf is not None and next(left) for leaf in leaves]
    with torch.no_grad():
        saved = _saved(call, out, kept) if kept else native.forward(call, gradient=True).saved()
        gradients = native.backward(call, saved, Gradients(*grads), spread)
    return [value for value in gradients if value is not None]


def _saved(call: Call, out: Tensor, kept: Sequence[Tensor]) -> Saved:
    """Return what the forward run saved; without gates if they are recomputed."""
    K, between = len(call.sizes.layer_directions), call.sizes.num_layers - 1
    memories = 0 if call.c0 is None else K
    if len(kept) > (most := K + memories + between):  # native code refuses too few by their shapes
        raise ArgumentError(f"hiddenstate::recurrent_backward: kept has {len(kept)} entries, expected at most {most}")
    gates: Any = [None] * K if len(kept) == memories + between else kept[:K]
    others = kept[len(kept) - memories - between :]
    return Saved(out, gates, [*others[:memories]] or [None] * K, others[memories:])  # type: ignore[list-item]


def _shapes_backward(*arguments: Any) -> list[Tensor]:
    leaves, needed = _Operands(*arguments[:_NUMBER]).leaves, arguments[-1]
    return [leaf.new_empty(leaf.shape) for leaf, need in zip(leaves, needed, strict=True) if need]


recurrent_backward = _operator(
    "recurrent_backward",
    _run_backward,
    f"({_CALL}, Tensor out, Tensor[] kept, Tensor[] grads, bool[] needed) -> Tensor[]",
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    operands = _Operands(*inputs[:_NUMBER])
    # torch saves the tensors, which lets it free cycles and detect in-place writes.
    tensors, ctx.spec = pytree.tree_flatten((tuple(operands), list(output)))
    ctx.places = [k for k, value in enumerate(tensors) if isinstance(value, Tensor)]
    ctx.others = [None if isinstance(value, Tensor) else value for value in tensors]
    ctx.save_for_backward(*(tensors[k] for k in ctx.places))


def _differentiate(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    leaves = [*ctx.others]
    for k, value in zip(ctx.places, ctx.saved_tensors, strict=True):
        leaves[k] = value
    arguments, outputs = pytree.tree_unflatten(leaves, ctx.spec)
    operands, count = _Operands(*arguments), 1 + len(arguments[1])
    of_x, *of_groups = ctx.needs_input_grad[:4]
    groups = zip(of_groups, arguments[1:4], strict=True)
    each = (of if isinstance(of, list) else [of] * len(group or ()) for of, group in groups)
    needed = [of_x, *chain.from_iterable(each)]
    if torch.is_grad_enabled():  # create_graph=True
        gradients = derivative.differentiable_gradients(
            lambda *views: derivative.run_reference(operands.with_leaves(views).call()),
            operands.leaves,
            grads[:count],
            needed,
        )
    else:
        computed = iter(recurrent_backward(*operands, outputs[0], outputs[count:], grads[:count], needed))
        gradients = [next(computed) if need else None for need in needed]
    of_leaves = operands.with_leaves(gradients)  # type: ignore[arg-type]
    of_masks = operands.masks and [None] * len(operands.masks)  # type: ignore[list-item]
    return (*of_leaves[:4], None, None, of_masks, *[None] * (_NUMBER - 7 + 2))


recurrent.register_fake(_shapes)
recurrent_backward.register_fake(_shapes_backward)
recurrent.register_autograd(_differentiate, setup_context=_setup_context)
