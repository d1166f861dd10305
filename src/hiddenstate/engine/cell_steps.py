"""Steps of a cell, native and differentiable: the weights' gradients are computed once for all steps of a loop.

A step is one node of torch's graph. All steps on the same weights share one more node, `_WeightSums`, between
themselves and the weights: in a backward pass each step leaves its factors there, and when all have done so, torch runs
that node, which multiplies them in one product for each weight. So a loop of T steps writes each weight's gradient
once, not T times.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.cells.cell import Cell, ValueHook, Weights, ignore
from hiddenstate.engine import kernels, native
from hiddenstate.engine.call import wants_gradient
from hiddenstate.engine.derivative import apply, computes_gradients, differentiable_gradients, uncompiled
from hiddenstate.engine.interception import interception
from hiddenstate.engine.paths import torch_path
from hiddenstate.structure.parameters import PARAMETER_STEMS

_NAMES = PARAMETER_STEMS[:4]
# The factors of the weights' gradients: for each step, d_z, x [N, C] and h [N, H] before it, or None for zeros;
# and the sizes of weight_hh; or gradients that are ready.
_Factors = tuple[Tensor, Tensor, Tensor | None, int, int]
_Ready = list[Tensor | None]
_Pending = dict[int, tuple[list[_Factors], list[_Ready]]]  # by backward pass


@dataclass(eq=False)
class CellStep:
    """A step of a cell, in canonical form: batched, every shape checked. Never changed.

    Args:
        kind: the kind of cell.
        x: the input ``[N, C]``.
        states: the states before, ``[N, H]``, in the order of ``carried``.
        weights: the weights, without a projection.
        sizes: C and H.
        see: is shown each value, and returns what is used in its place.
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
    """Return the reason that native code can't compute a step, or None."""
    steps = kernels.cell_steps.get(step.cell)
    if steps is None:
        return kernels.why_not_loaded()
    refused = steps.why_not(*step.arguments)
    if refused is None:
        return None
    return interception() or kernels.why_not_served(step.x.dtype) or native.refusal_text(*refused)


def run(step: CellStep) -> tuple[Tensor, ...] | None:
    """Compute a step natively, and return the new states, or None if `why_not` gives a reason."""
    done = compute(step.kind, *step.arguments)
    return None if done is None else step.kind.parts_of(done)


def why_not_torch(step: CellStep) -> str | None:
    """Return that torch has no cell of this kind, or None."""
    return torch_path.why_not_function(step.kind, _torch_name(step))


def run_torch(step: CellStep) -> tuple[Tensor, ...]:
    """Compute a step by torch's function, and return the new states."""
    done = getattr(torch, _torch_name(step))(step.x, step.kind.as_given(step.states), *step.weights[:4])
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
    if not torch.is_grad_enabled():
        return steps.run(given, hx, parameters, sizes)
    weights = [parameters.get(name) for name in _NAMES]
    pair = type(hx) in (tuple, list)
    if hx is not None and (pair is not (len(kind.carried) == 2) or (pair and len(hx) != 2)):
        return None
    states = () if hx is None else tuple(hx) if pair else (hx,)
    tensors = (given, *states, *weights)
    if given is None or not all(value is None or isinstance(value, Tensor) for value in tensors):
        return None
    if not wants_gradient(tensors):
        return steps.run(given, hx, parameters, sizes)
    if given.dim() != 2:
        return None
    done = steps.run(given, hx, parameters, sizes, True)
    if done is None:
        return None
    sums = _shared_sums(weights, given.dtype, sizes) if wants_gradient(weights) else None
    token, pending = (None, None) if sums is None else (sums.token, sums.pending)
    # The steps' nodes hold the sums, so that these live as long as a graph that needs them.
    shared = kind, sums, pending, weights
    return apply(_Step, done, shared, token, given, *(states or (None,) * len(kind.carried)))


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


_MOST_SUMS = 64  # to keep it from being dropped below
# Keyed by the weight's id.
_sums: "dict[int, weakref.ref[_Sums]]" = {}


def _shared_sums(weights: Sequence[Tensor | None], dtype: torch.dtype, sizes: tuple[int, int]) -> _Sums:
    which = id(weights[1])
    known = _sums.get(which)
    found = None if known is None else known()
    if found is not None and found.serves(weights, dtype, sizes):
        return found
    made = _Sums(weights, dtype, sizes)
    if len(_sums) >= _MOST_SUMS:  # not by callbacks, in which Python would drop a Ctrl-C
        for key in [key for key, each in [*_sums.items()] if each() is None]:
            _sums.pop(key, None)
    _sums[which] = weakref.ref(made)
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
    units = factors[0][3]
    # The gradients of W_ih x + b_ih come first, those of W_hh h + b_hh last; they may be the same.
    of_x, of_h = d_z[:, :units], d_z[:, -units:]
    of_ih = of_x.t().mm(x) if needed[0] else None
    of_hh = None
    if needed[1]:
        later = [one for one in factors if one[2] is not None]  # the other steps started from zeros
        if later:
            rows = of_h if len(later) == len(factors) else _joined([one[0][:, -units:] for one in later])
            of_hh = rows.t().mm(_joined([one[2] for one in later]))
        else:
            of_hh = d_z.new_zeros(units, factors[0][4])
    return [of_ih, of_hh, of_x.sum(0) if needed[2] else None, of_h.sum(0) if needed[3] else None]


def _joined(rows: Sequence[Any]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat([*rows])


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _pending(all_passes: _Pending) -> tuple[list[_Factors], list[_Ready]]:
    """Return the factors that steps left for the shared node in this backward pass."""
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
    def forward(ctx: Any, done: Any, shared: Any, token: Tensor | None, *leaves: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        h, c, record = done
        ctx.kind, ctx.sums, ctx.pending, weights = shared
        # No result is saved: as in torch's cell, a loop may write into them.
        ctx.save_for_backward(*leaves, *weights, record)
        return h if c is None else (h, c)

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        *leaves, record = ctx.saved_tensors
        x, *states = leaves[:-4]
        weights = leaves[-4:]
        of_weights, *needed = ctx.needs_input_grad[2:]
        if all(grad is None for grad in grads):
            return (None,) * (3 + len(needed))
        token = record.new_zeros((), dtype=x.dtype) if of_weights else None
        if not computes_gradients(grads):
            wanted = [weight is not None and weight.requires_grad for weight in weights]
            found = differentiable_gradients(partial(_reference, ctx.kind), leaves, grads, [*needed, *wanted])
            if of_weights:
                _pending(ctx.pending)[1].append(found[-4:])
            return None, None, token, *found[:-4]
        saved = record, states[-1], weights[0], weights[1]
        steps = kernels.cell_steps[ctx.kind.name]
        refused: tuple[Any, ...] = ()
        try:
            d_z, *found = steps.gradients(saved, (*grads, None), tuple(needed[:2]))
        except kernels.RefusedError as error:
            refused = error.args
        if refused:  # not as the context of an error: that would print a tensor whose memory may have been freed
            native.raise_refused(*refused)
        if of_weights:
            # Detached: these would keep the graph alive if the pass fails before the shared node runs.
            x, h = x.detach(), None if states[0] is None else states[0].detach()
            _pending(ctx.pending)[0].append((d_z, x, h, *weights[1].shape))
        return None, None, token, *(one if need else None for one, need in zip(found, needed, strict=False))


def _reference(kind: Cell, x: Tensor, *others: Tensor | None) -> Sequence[Tensor]:
    states, w = others[:-4], Weights(*others[-4:], None)  # type: ignore[arg-type, call-arg]
    zeros = x.new_zeros(len(x), w.hh.shape[1])
    given = tuple(zeros if state is None else state for state in states)
    return kind.step(linear(x, w.ih, w.b_ih), given, w, ignore)
