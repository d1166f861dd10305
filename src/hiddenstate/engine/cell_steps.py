"""Computes a cell's steps natively and differentiably, with the weights' gradients computed once per loop.

A step is one node of torch's graph. All steps on the same weights share one more node, `_WeightSums`, between
themselves and the weights. In a backward pass, each step leaves its factors there. After all have done so, torch runs
that node, which multiplies the factors in one product per weight. So a loop of T steps computes each weight's gradient
once, not T times.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.cells.cell import Cell, ValueHook, Weights, ignore
from hiddenstate.engine import kernels, native
from hiddenstate.engine.call import builds_graphs, wants_gradient
from hiddenstate.engine.derivative import apply, computes_gradients, differentiable_gradients, uncompiled
from hiddenstate.engine.interception import interception
from hiddenstate.engine.paths import torch_path
from hiddenstate.structure.sizes import PARAMETER_STEMS

_NAMES = PARAMETER_STEMS[:4]
# Each step leaves either the factors of the weights' gradients, which are d_z, x [N, C] and the previous h [N, H] (None
# means zeros), or gradients that are ready.
_Factors = tuple[Tensor, Tensor, Tensor | None]
_Ready = list[Tensor | None]


class _Parts:
    """What the steps of one backward pass leave for the node that they share."""

    def __init__(self) -> None:
        self.factors: list[_Factors] = []
        self.ready: list[_Ready] = []

    def end(self) -> None:
        """Do nothing: torch keeps this callback, and thereby the parts, until the pass ends."""


_Pending = dict[int, "weakref.ref[_Parts]"]  # by backward pass


@dataclass(eq=False)
class CellStep:
    """A step of a cell, in canonical form: batched, every shape checked. Immutable.

    Args:
        kind: the kind of cell.
        x: the input ``[N, C]``.
        states: the previous states, ``[N, H]``, in the order of ``carried``.
        weights: the weights, without a projection.
        sizes: C and H.
        see: called with each value; its return value is used instead.
        is_observed: whether ``see`` edits or records.
    """

    kind: Cell
    x: Tensor
    states: tuple[Tensor, ...]
    weights: Weights
    sizes: tuple[int, int]
    see: ValueHook = ignore
    is_observed: bool = False

    @property
    def cell(self) -> str:
        """The name of the kind."""
        return self.kind.name

    @property
    def arguments(self) -> tuple[Any, Any, dict[str, Any], tuple[int, int]]:
        """The arguments of a native step."""
        return self.x, self.kind.as_given(self.states), dict(zip(_NAMES, self.weights, strict=False)), self.sizes


def why_not(step: CellStep) -> str | None:
    """Return why native code can't compute a step, or None."""
    steps = kernels.cell_steps.get(step.cell)
    if steps is None:
        return kernels.why_not_known(step.cell) or kernels.why_not_loaded()
    refused = steps.why_not(*step.arguments)
    if refused is None:
        return None
    return interception() or kernels.why_not_served(step.x.dtype) or native.refusal_text(*refused)


def run(step: CellStep) -> tuple[Tensor, ...] | None:
    """Compute a step natively, and return the new states, or None if `why_not` gives a reason."""
    done = compute(step.kind, *step.arguments)
    return None if done is None else step.kind.parts_of(done)


def why_not_torch(step: CellStep) -> str | None:
    """Return why torch can't compute a step, which is that it has no such cell, or None."""
    return torch_path.why_not_function(step.kind, _torch_name(step))


def run_torch(step: CellStep) -> tuple[Tensor, ...]:
    """Compute a step with torch's function, and return the new states."""
    w = step.weights
    # One by one, since torch 2.8 cannot compile a slice of a named tuple.
    done = getattr(torch, _torch_name(step))(step.x, step.kind.as_given(step.states), w.ih, w.hh, w.b_ih, w.b_hh)
    return step.kind.parts_of(done)


def _torch_name(step: CellStep) -> str:
    return f"{step.cell.lower()}_cell"


def run_reference(step: CellStep) -> tuple[Tensor, ...]:
    """Compute a step in plain torch, and return the new states."""
    w = step.weights
    return step.kind.step(linear(step.x, w.ih, w.b_ih), step.states, w, step.see)


def compute(kind: Cell, given: Any, hx: Any, parameters: dict[str, Any], sizes: tuple[int, int]) -> Any:
    """Compute a step, differentiable if torch builds a graph for the arguments.

    Args:
        kind: the kind of cell.
        given: the input ``[N, C]``; without gradients also ``[C]``.
        hx: the previous state: a tuple or list ``(h, c)`` for an LSTM, h for other cells; None for zeros.
        parameters: the weights by name.
        sizes: C and H.

    Returns:
        The new state, ``(h, c)`` or h; None, without side effects, if native code cannot compute the step.
    """
    steps = kernels.cell_steps.get(kind.name)
    if steps is None:
        return None
    if not builds_graphs():
        return steps.run(given, hx, parameters, sizes)
    if not isinstance(given, Tensor) or given.dim() != 2:
        return None
    if type(hx) is list:
        hx = (*hx,)  # a copy, because another thread may change the list
    done = steps.run(given, hx, parameters, sizes, True)
    if done is None:
        return None
    # Native code has checked that each is None or a tensor.
    weights = [parameters.get(name) for name in _NAMES]
    trained = [weight is not None and weight.requires_grad for weight in weights]
    states: Any = hx if len(kind.carried) > 1 else (hx,)
    leaves = (given, *(states or (None,) * len(kind.carried)))
    sums = _shared_sums(weights, (given.dtype, sizes, trained)) if True in trained else None
    if sums is None and not wants_gradient(leaves):
        return kind.as_given(done[: len(kind.carried)])
    # The nodes of the steps keep the sums alive as long as any graph needs them.
    return _apply(done, (kind, sums, weights), None if sums is None else sums.token, *leaves)


class _Sums:
    """The weights of steps, and the node that their steps share."""

    def __init__(self, weights: Sequence[Tensor | None], key: Any) -> None:
        self.weights, self.key, self.origins = weights, key, _origins(weights)
        self.pending: _Pending = {}
        self.token: Tensor = apply(_WeightSums, self.pending, *weights)
        self.node: Any = self.token.grad_fn


_MOST_SUMS = 64  # maximum number of entries before stale ones are removed
# Keyed by the weight's id.
_sums: "dict[int, weakref.ref[_Sums]]" = {}


def _shared_sums(weights: Sequence[Tensor | None], key: Any) -> _Sums:
    """Return the sums of these weights with this ``key``: the type, the sizes, and which weights need gradients."""
    which = id(weights[1])
    known = _sums.get(which)
    found = None if known is None else known()
    # A tensor that was written in place is the same object but has a different grad_fn.
    if (
        found is not None
        and found.key == key
        and all(map(is_, found.weights, weights))
        and all(map(is_, found.origins, _origins(weights)))
    ):
        return found
    made = _Sums(weights, key)
    if len(_sums) >= _MOST_SUMS:  # not removed in weakref callbacks, where Python would swallow a Ctrl-C
        for stale in [kept for kept, each in [*_sums.items()] if each() is None]:
            _sums.pop(stale, None)
    _sums[which] = weakref.ref(made)
    return made


def _origins(weights: Sequence[Tensor | None]) -> list[Any]:
    return [None if weight is None else weight.grad_fn for weight in weights]


class _WeightSums(torch.autograd.Function):
    """The weights' part in all steps; its only output, a number, connects the steps to the weights in torch's graph."""

    @staticmethod
    def forward(ctx: Any, pending: _Pending, *weights: Tensor | None) -> Tensor:
        ctx.set_materialize_grads(False)
        like = weights[1]
        assert like is not None
        ctx.pending, ctx.shape = pending, like.shape
        return like.new_zeros(())

    @staticmethod
    @uncompiled
    def backward(ctx: Any, _grad: None) -> Any:
        needed = ctx.needs_input_grad[1:]
        left = ctx.pending.pop(torch._C._current_graph_task_id(), None)
        parts = (None if left is None else left()) or _Parts()
        found = _products(parts.factors, ctx.shape, needed) if parts.factors else [None] * len(needed)
        for gradients in parts.ready:
            found = [_sum(one, other) for one, other in zip(found, gradients, strict=True)]
        parts.factors, parts.ready = [], []  # torch keeps the parts until the pass ends
        return None, *found


def _products(factors: Sequence[_Factors], shape: tuple[int, int], needed: Sequence[bool]) -> _Ready:
    """Return the gradients of weight_ih, weight_hh (of this shape), bias_ih and bias_hh, summed over all steps."""
    # Steps that started from zeros don't contribute to the gradient of weight_hh, so they come last.
    later = [one for one in factors if one[2] is not None]
    if len(later) < len(factors):
        factors = later + [one for one in factors if one[2] is None]
    d_z, x = _joined([one[0] for one in factors]), _joined([one[1] for one in factors])
    # The gradients of W_ih x + b_ih come first, those of W_hh h + b_hh last; they may be the same.
    apart = d_z.shape[1] > shape[0]
    of_x, of_h = (d_z[:, : shape[0]], d_z[:, -shape[0] :]) if apart else (d_z, d_z)
    of_ih = of_x.t().mm(x) if needed[0] else None
    of_hh = None
    if needed[1]:
        h = _joined([one[2] for one in later]) if later else x.new_zeros(0, shape[1])
        of_hh = (of_h if len(later) == len(factors) else of_h[: len(h)]).t().mm(h)
    of_b_ih = of_x.sum(0) if needed[2] else None
    shared = None if apart else of_b_ih
    of_b_hh = None if not needed[3] else of_h.sum(0) if shared is None else shared.clone()
    return [of_ih, of_hh, of_b_ih, of_b_hh]


def _joined(rows: Sequence[Any]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat([*rows])


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _leave(sums: _Sums, factors: _Factors | None, ready: _Ready | None = None) -> None:
    """Leave a step's part of the weights' gradients for the shared node, if this backward pass will run that node."""
    which = torch._C._current_graph_task_id()
    left = sums.pending.get(which)
    parts = None if left is None else left()
    if parts is None:
        if not torch._C._will_engine_execute_node(sums.node):
            return
        parts = _Parts()
        sums.pending[which] = weakref.ref(parts)
        # torch keeps callbacks until the pass ends, and frees them, and so the parts, with a pass that fails.
        torch.autograd.Variable._execution_engine.queue_callback(parts.end)
    if factors is not None:
        parts.factors.append(factors)
    if ready is not None:
        parts.ready.append(ready)


class _Step(torch.autograd.Function):
    """A step, with its derivative."""

    @staticmethod
    def forward(ctx: Any, done: Any, shared: Any, token: Tensor | None, *leaves: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        h, c, record = done
        ctx.shared = shared
        # Results are not saved, so that loops may write into them, as with torch's cell.
        ctx.save_for_backward(*leaves, *shared[2], record)
        return h if c is None else (h, c)

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        *leaves, record = ctx.saved_tensors
        x, *states, w_ih, w_hh, _, _ = leaves
        of_weights, *needed = ctx.needs_input_grad[2:]
        if all(grad is None for grad in grads):
            return (None,) * (3 + len(needed))
        kind, sums, _ = ctx.shared
        if not computes_gradients(grads):
            wanted = [weight is not None and weight.requires_grad for weight in leaves[-4:]]
            found = differentiable_gradients(partial(_reference, kind), leaves, grads, [*needed, *wanted])
            if of_weights:
                _leave(sums, None, found[-4:])
            return None, None, None, *found[:-4]
        refused: tuple[Any, ...] = ()
        try:
            d_z, *found = kernels.cell_steps[kind.name].gradients(
                (record, states[-1], w_ih, w_hh), (*grads, None), (*needed[:2],)
            )
        except kernels.RefusedError as error:
            refused = error.args
        if refused:  # outside of the except clause, whose context would print a freed tensor
            native.raise_refused(*refused)
        if of_weights:
            _leave(sums, (d_z, x, states[0]))
        found = found[: len(needed)]
        if not needed[-1]:
            found[-1] = None  # it may have been None, not a tensor
        return None, None, None, *found


# Function.apply without its support for torch.func transforms, under which this code is never reached.
_apply: Any = super(torch.autograd.Function, _Step).apply


def _reference(kind: Cell, x: Tensor, *others: Tensor | None) -> Sequence[Tensor]:
    states, w = others[:-4], Weights(*others[-4:], None)  # type: ignore[arg-type, call-arg]
    zeros = x.new_zeros(len(x), w.hh.shape[1])
    given = tuple(zeros if state is None else state for state in states)
    return kind.step(linear(x, w.ih, w.b_ih), given, w, ignore)
