"""Steps of an LSTM cell, native and differentiable: the weights' gradients are computed once for all steps of a loop.

A step is one node of torch's graph. All steps on the same weights share one more node, `_WeightSums`, between
themselves and the weights: in a backward pass each step leaves its factors there, and when all have, torch runs that
node, which multiplies them in one product for each weight. So a loop of T steps writes each weight's gradient once, not
T times.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.base.validation import State
from hiddenstate.cells.cell import Weights, ignore
from hiddenstate.cells.lstm import LSTM
from hiddenstate.engine import kernels
from hiddenstate.engine.call import wants_gradient
from hiddenstate.engine.derivative import apply, computes_gradients, differentiable_gradients, uncompiled
from hiddenstate.structure.parameters import PARAMETER_STEMS

_NAMES = PARAMETER_STEMS[:4]
# The factors of the weights' gradients: of each step d_z [N, 4H], x [N, C] and h [N, H] before it, or None for zeros;
# or gradients that are ready.
_Factors = tuple[Tensor, Tensor, Tensor | None]
_Ready = list[Tensor | None]
_Pending = dict[int, tuple[list[_Factors], list[_Ready]]]  # by backward pass


def step(given: Any, hx: Any, parameters: dict[str, Any], sizes: tuple[int, int]) -> State | None:
    """Compute a step, differentiable if torch builds a graph for the arguments.

    Args:
        given: the input ``[N, C]``; without gradients also ``[C]``.
        hx: the states before, a tuple or list ``(h, c)``, or None for zeros.
        parameters: the weights by name.
        sizes: C and H.

    Returns:
        The new ``(h, c)``; None, without side effects, if native code cannot compute the step.
    """
    if not torch.is_grad_enabled():
        return kernels.cell_step(given, hx, parameters, sizes)
    weights = [parameters.get(name) for name in _NAMES]
    if hx is not None and (type(hx) not in (tuple, list) or len(hx) != 2):
        return None
    tensors = (given, *weights) if hx is None else (given, *hx, *weights)
    if not all(value is None or isinstance(value, Tensor) for value in tensors):
        return None
    if not wants_gradient(tensors):
        return kernels.cell_step(given, hx, parameters, sizes)
    if given.dim() != 2:
        return None
    done = kernels.cell_step(given, hx, parameters, sizes, True)
    if done is None:
        return None
    sums = _sums_of(weights, given.dtype, sizes) if wants_gradient(weights) else None
    token, pending = (None, None) if sums is None else (sums.token, sums.pending)
    h, c = (None, None) if hx is None else hx
    new: State = apply(_Step, done, (sums, pending, weights), token, given, h, c)
    return new


class _Sums:
    """The weights of steps, and the node that their steps share."""

    def __init__(self, weights: Sequence[Tensor | None], dtype: torch.dtype, sizes: tuple[int, int]) -> None:
        self.weights, self.key = weights, _key(weights, dtype, sizes)
        self.pending: _Pending = {}
        self.token: Tensor = apply(_WeightSums, self.pending, *weights)

    def serves(self, weights: Sequence[Tensor | None], dtype: torch.dtype, sizes: tuple[int, int]) -> bool:
        """Whether these are the same weights, of the same type, that need the same gradients."""
        same = all(one is other for one, other in zip(self.weights, weights, strict=True))
        return same and self.key == _key(weights, dtype, sizes)


def _key(weights: Sequence[Tensor | None], dtype: torch.dtype, sizes: tuple[int, int]) -> Any:
    return dtype, sizes, [weight is not None and weight.requires_grad for weight in weights]


# By the id of the weight. The steps' nodes hold them, so that one lives as long as a graph that needs it.
_sums: "dict[int, weakref.ref[_Sums]]" = {}


def _sums_of(weights: Sequence[Tensor | None], dtype: torch.dtype, sizes: tuple[int, int]) -> _Sums:
    which = id(weights[1])
    known = _sums.get(which)
    found = None if known is None else known()
    if found is not None and found.serves(weights, dtype, sizes):
        return found
    made = _Sums(weights, dtype, sizes)

    def forget(gone: "weakref.ref[_Sums]") -> None:
        if _sums.get(which) is gone:
            del _sums[which]

    _sums[which] = weakref.ref(made, forget)
    return made


class _WeightSums(torch.autograd.Function):
    """The weights' part in all steps: its one output, a number, tells torch that steps depend on them."""

    @staticmethod
    def forward(ctx: Any, pending: _Pending, *weights: Tensor | None) -> Tensor:
        ctx.pending = pending
        like = weights[0]
        assert like is not None
        return like.new_zeros(())

    @staticmethod
    @uncompiled
    def backward(ctx: Any, _grad: Tensor | None) -> Any:
        needed = ctx.needs_input_grad[1:]
        factors, ready = ctx.pending.pop(torch._C._current_graph_task_id(), ([], []))
        found = _products(factors, needed) if factors else [None] * len(needed)
        for gradients in ready:
            found = [_sum(one, other) for one, other in zip(found, gradients, strict=True)]
        return None, *found


def _products(factors: Sequence[_Factors], needed: Sequence[bool]) -> _Ready:
    """Return the gradients of weight_ih, weight_hh, bias_ih and bias_hh, summed over all steps."""
    d_z, x = _joined([one[0] for one in factors]), _joined([one[1] for one in factors])
    of_ih = d_z.t().mm(x) if needed[0] else None
    of_hh = None
    if needed[1]:
        later = [one for one in factors if one[2] is not None]  # other steps began with zeros
        if later:
            rows = d_z if len(later) == len(factors) else _joined([one[0] for one in later])
            of_hh = rows.t().mm(_joined([one[2] for one in later]))
        else:
            of_hh = d_z.new_zeros(d_z.shape[1], d_z.shape[1] // len(LSTM.gates))
    of_bias = d_z.sum(0) if needed[2] or needed[3] else None
    other = of_bias if not needed[2] or of_bias is None else of_bias.clone()
    return [of_ih, of_hh, of_bias if needed[2] else None, other if needed[3] else None]


def _joined(rows: Sequence[Any]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat([*rows])


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _pending(all_passes: _Pending) -> tuple[list[_Factors], list[_Ready]]:
    """Return what was left for the shared node in this backward pass."""
    which = torch._C._current_graph_task_id()
    if which not in all_passes:
        all_passes[which] = [], []
        # A pass that asks for no gradient of the weights does not run the shared node.
        engine: Any = torch.autograd.Variable._execution_engine
        engine.queue_callback(lambda: all_passes.pop(which, None))
    return all_passes[which]


class _Step(torch.autograd.Function):
    """A step, with its derivative."""

    @staticmethod
    def forward(ctx: Any, done: Any, shared: Any, token: Tensor | None, *leaves: Tensor | None) -> State:
        ctx.set_materialize_grads(False)
        h, c, record = done
        ctx.sums, ctx.pending, weights = shared
        # No result is saved: as in torch's cell, a loop may write into them.
        ctx.save_for_backward(*leaves, *weights, record)
        return h, c

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        *leaves, record = ctx.saved_tensors
        x, h, c, *weights = leaves
        of_weights, *needed = ctx.needs_input_grad[2:]
        if all(grad is None for grad in grads):
            return (None,) * 6
        token = record.new_zeros((), dtype=x.dtype) if of_weights else None
        if not computes_gradients(grads):
            wanted = [weight is not None and weight.requires_grad for weight in weights]
            found = differentiable_gradients(_reference, leaves, grads, [*needed, *wanted])
            if of_weights:
                _pending(ctx.pending)[1].append(found[3:])
            return None, None, token, *found[:3]
        saved = record, c, weights[0], weights[1]
        d_z, d_x, d_h, d_c = kernels.cell_gradients(saved, grads, tuple(needed[:2]))
        if of_weights:
            _pending(ctx.pending)[0].append((d_z, x, h))
        return None, None, token, d_x, d_h, d_c if needed[2] else None


def _reference(x: Tensor, h: Tensor | None, c: Tensor | None, *weights: Tensor | None) -> State:
    w = Weights(*weights, None)  # type: ignore[arg-type]
    zeros = x.new_zeros(len(x), w.hh.shape[1])
    states = zeros if h is None else h, zeros if c is None else c
    new_h, new_c = LSTM.step(linear(x, w.ih, w.b_ih), states, w, ignore)
    return new_h, new_c
