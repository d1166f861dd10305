"""Computes a cell's steps natively and differentiably, with the weights' gradients computed once per loop.

In torch's graph, each step is a node, and all steps on the same weights share one more, between them and the weights::

    loss ── step 3 ── step 2 ── step 1 ── states, inputs
               └─────────┴─────────┴───── sums ── weights

In a backward pass, each step computes the gradients of its input and states, and leaves the factors of the weights'
gradients with the shared node, which torch runs after all steps that depend on it. That node multiplies all factors in
one product per weight, so a loop of T steps computes each weight's gradient once, not T times. The steps depend on the
node through its only output, a number, whose own gradient is always None.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.torch_internals import backward_pass, interception, keep_until_the_pass_ends, will_run
from hiddenstate.cells.cell import Cell, ValueHook, Weights, ignore
from hiddenstate.engine import kernels, native
from hiddenstate.engine.call import builds_graphs, wants_gradient
from hiddenstate.engine.derivative import apply, computes_gradients, differentiable_gradients, uncompiled
from hiddenstate.structure.sizes import PARAMETER_STEMS

_NAMES = PARAMETER_STEMS[:4]


@dataclass(eq=False)
class CellStep:
    """A step of a cell, in canonical form: batched, every shape checked. Immutable."""

    kind: Cell
    x: Tensor  # [N, C]
    states: tuple[Tensor, ...]  # the previous states, [N, H], in the order of ``carried``
    weights: Weights  # without a projection
    sizes: tuple[int, int]  # C and H
    see: ValueHook = ignore  # called with each value; its return value is used instead
    is_observed: bool = False  # whether ``see`` edits or records

    @property
    def arguments(self) -> tuple[Any, Any, dict[str, Any], tuple[int, int]]:
        """The arguments of a native step."""
        return self.x, self.kind.as_given(self.states), dict(zip(_NAMES, self.weights, strict=False)), self.sizes

    @property
    def torchs_name(self) -> str:
        """The name of torch's function for such a cell."""
        return f"{self.kind.name.lower()}_cell"

    @property
    def has_torchs_function(self) -> bool:
        """Whether torch has such a cell."""
        return hasattr(torch, self.torchs_name)


def why_not(step: CellStep) -> str | None:
    """Return why native code can't compute a step, or None."""
    steps = kernels.cell_steps.get(step.kind.name)
    if steps is None:
        return kernels.why_not(step.kind.name, None)
    refused = steps.why_not(*step.arguments)
    if refused is None:
        return None
    return interception() or kernels.why_not(step.kind.name, step.x.dtype) or native.refusal_text(*refused)


def run(step: CellStep) -> tuple[Tensor, ...] | None:
    """Compute a step natively, and return the new states, or None if `why_not` gives a reason."""
    new = compute(step.kind, *step.arguments)
    return None if new is None else step.kind.parts_of(new)


def run_torch(step: CellStep) -> tuple[Tensor, ...]:
    """Compute a step with torch's function, and return the new states."""
    w = step.weights
    # One by one, since torch 2.8 cannot compile a slice of a named tuple.
    function = getattr(torch, step.torchs_name)
    return step.kind.parts_of(function(step.x, step.kind.as_given(step.states), w.ih, w.hh, w.b_ih, w.b_hh))


def run_reference(step: CellStep) -> tuple[Tensor, ...]:
    """Compute a step in plain torch, and return the new states."""
    w = step.weights
    return step.kind.step(linear(step.x, w.ih, w.b_ih), step.states, w, step.see)


def compute(kind: Cell, x: Any, hx: Any, parameters: dict[str, Any], sizes: tuple[int, int]) -> Any:
    """Compute a step, ``(h, c)`` or h, differentiably; None, without side effects, if native code can't."""
    steps = kernels.cell_steps.get(kind.name)
    if steps is None:
        return None
    if not builds_graphs():
        return steps.run(x, hx, parameters, sizes)
    if not isinstance(x, Tensor) or x.dim() != 2:
        return None
    if type(hx) is list:
        hx = (*hx,)  # a copy, because another thread may change the list
    result = steps.run(x, hx, parameters, sizes, True)
    if result is None:
        return None
    # Native code has checked that each is None or a tensor.
    weights = [parameters.get(name) for name in _NAMES]
    trained = [weight is not None and weight.requires_grad for weight in weights]
    states: Any = hx if len(kind.carried) > 1 else (hx,)
    leaves = (x, *(states or (None,) * len(kind.carried)))
    sums = _shared_sums(weights, (x.dtype, sizes, trained)) if True in trained else None
    if sums is None and not wants_gradient(leaves):
        return kind.as_given(result[: len(kind.carried)])
    # The nodes of the steps keep the sums alive as long as any graph needs them.
    return _apply_step(result, (kind, sums, weights), None if sums is None else sums.token, *leaves)


class _Factors(NamedTuple):
    """The factors of one step's part of the weights' gradients."""

    d_z: Tensor
    x: Tensor  # [N, C]
    h: Tensor | None  # the previous state, [N, H]; None means zeros


_Gradients = list[Tensor | None]  # of weight_ih, weight_hh, bias_ih and bias_hh


class _Parts:
    """What the steps of one backward pass leave for the node that they share: factors, or gradients that are ready."""

    def __init__(self) -> None:
        self.factors: list[_Factors] = []
        self.gradients: list[_Gradients] = []

    def end(self) -> None:
        """Do nothing: torch keeps this callback, and thereby the parts, until the pass ends."""


_Pending = dict[int, "weakref.ref[_Parts]"]  # by backward pass


class _Sums:
    """The weights of steps, and the node that their steps share."""

    def __init__(self, weights: Sequence[Tensor | None], key: Any) -> None:
        self.weights, self.key, self.origins = weights, key, _origins(weights)
        self.pending: _Pending = {}
        self.token: Tensor = apply(_WeightSums, self.pending, *weights)
        self.node: Any = self.token.grad_fn

    def fit(self, weights: Sequence[Tensor | None], key: Any) -> bool:
        """Whether these are the sums of such weights, unchanged."""
        # A tensor that was written in place is the same object but has a different grad_fn.
        is_same = self.key == key and all(map(is_, self.weights, weights))
        return is_same and all(map(is_, self.origins, _origins(weights)))

    def parts(self) -> _Parts | None:
        """The parts of the backward pass that runs now; None if it will not run the shared node."""
        running = backward_pass()
        pending = self.pending.get(running)
        parts = None if pending is None else pending()
        if parts is None and will_run(self.node):
            parts = _Parts()
            self.pending[running] = weakref.ref(parts)
            keep_until_the_pass_ends(parts.end)
        return parts


_MOST_SUMS = 64  # maximum number of entries before stale ones are removed
# Keyed by the weight's id.
_sums: "dict[int, weakref.ref[_Sums]]" = {}
_registering = ForkSafeLock()


def _shared_sums(weights: Sequence[Tensor | None], key: Any) -> _Sums:
    """Return the sums of these weights with this ``key``: the type, the sizes, and which weights need gradients."""
    known = _known_sums(weights, key)
    if known is not None:
        return known
    # If two threads made their own, a loop's steps could be split between them, and their products rounded otherwise.
    with _registering.lock:
        known = _known_sums(weights, key)
        if known is not None:
            return known
        sums = _Sums(weights, key)
        if len(_sums) >= _MOST_SUMS:  # not removed in weakref callbacks, where Python would swallow a Ctrl-C
            for stale in [kept for kept, entry in [*_sums.items()] if entry() is None]:
                _sums.pop(stale, None)
        _sums[id(weights[1])] = weakref.ref(sums)
        return sums


def _known_sums(weights: Sequence[Tensor | None], key: Any) -> _Sums | None:
    reference = _sums.get(id(weights[1]))
    known = None if reference is None else reference()
    return known if known is not None and known.fit(weights, key) else None


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
        _, *needed = ctx.needs_input_grad
        pending = ctx.pending.pop(backward_pass(), None)
        parts = (None if pending is None else pending()) or _Parts()
        sums = _products(parts.factors, ctx.shape, needed) if parts.factors else [None] * len(needed)
        for gradients in parts.gradients:
            sums = [_sum(a, b) for a, b in zip(sums, gradients, strict=True)]
        parts.factors, parts.gradients = [], []  # torch keeps the parts until the pass ends
        return None, *sums


def _products(factors: Sequence[_Factors], shape: tuple[int, int], needed: Sequence[bool]) -> _Gradients:
    """Return the gradients of weight_ih, weight_hh (of this shape), bias_ih and bias_hh, summed over all steps."""
    # Steps that started from zeros don't contribute to the gradient of weight_hh, so they come last.
    later = [step for step in factors if step.h is not None]
    if len(later) < len(factors):
        factors = later + [step for step in factors if step.h is None]
    d_z, x = _joined([step.d_z for step in factors]), _joined([step.x for step in factors])
    # The gradients of W_ih x + b_ih come first, those of W_hh h + b_hh last; they may be the same.
    apart = d_z.shape[1] > shape[0]
    of_x, of_h = (d_z[:, : shape[0]], d_z[:, -shape[0] :]) if apart else (d_z, d_z)
    needs_ih, needs_hh, needs_b_ih, needs_b_hh = needed
    of_ih = of_x.t().mm(x) if needs_ih else None
    of_hh = None
    if needs_hh:
        h = _joined([step.h for step in later]) if later else x.new_zeros(0, shape[1])
        of_hh = (of_h if len(later) == len(factors) else of_h[: len(h)]).t().mm(h)
    of_b_ih = of_x.sum(0) if needs_b_ih else None
    shared = None if apart else of_b_ih
    of_b_hh = None if not needs_b_hh else of_h.sum(0) if shared is None else shared.clone()
    return [of_ih, of_hh, of_b_ih, of_b_hh]


def _joined(rows: Sequence[Any]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat([*rows])


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


class _Step(torch.autograd.Function):
    """A step, with its derivative."""

    @staticmethod
    def forward(ctx: Any, result: Any, shared: Any, token: Tensor | None, *leaves: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        h, c, record = result
        ctx.kind, ctx.sums, weights = shared
        # Results are not saved, so that loops may write into them, as with torch's cell.
        ctx.save_for_backward(*leaves, *weights, record)
        return h if c is None else (h, c)

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        *leaves, record = ctx.saved_tensors
        x, *states, w_ih, w_hh, _, _ = leaves
        _result, _shared, needs_weights, *needed = ctx.needs_input_grad
        if all(grad is None for grad in grads):
            return (None,) * len(ctx.needs_input_grad)
        parts = ctx.sums.parts() if needs_weights else None
        if not computes_gradients(grads):
            wanted = [weight is not None and weight.requires_grad for weight in leaves[-4:]]
            gradients = differentiable_gradients(partial(_reference, ctx.kind), leaves, grads, [*needed, *wanted])
            if parts is not None:
                parts.gradients.append(gradients[-4:])
            return None, None, None, *gradients[:-4]
        refused: tuple[Any, ...] = ()
        try:
            d_z, *gradients = kernels.cell_steps[ctx.kind.name].gradients(
                (record, states[-1], w_ih, w_hh), (*grads, None), (*needed[:2],)
            )
        except kernels.RefusedError as error:
            refused = error.args
        if refused:  # outside of the except clause, whose context would print a freed tensor
            native.raise_refused(*refused)
        if parts is not None:
            parts.factors.append(_Factors(d_z, x, states[0]))
        gradients = gradients[: len(needed)]
        if not needed[-1]:
            gradients[-1] = None  # it may have been None, not a tensor
        return None, None, None, *gradients


# Function.apply without its support for torch.func transforms, under which this code is never reached.
_apply_step: Any = super(torch.autograd.Function, _Step).apply


def _reference(kind: Cell, x: Tensor, *others: Tensor | None) -> Sequence[Tensor]:
    states, w = others[:-4], Weights(*others[-4:], None)  # type: ignore[arg-type, call-arg]
    zeros = x.new_zeros(len(x), w.hh.shape[1])
    given_states = tuple(zeros if state is None else state for state in states)
    return kind.step(linear(x, w.ih, w.b_ih), given_states, w, ignore)
