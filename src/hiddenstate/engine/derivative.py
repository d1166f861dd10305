"""The derivative of a native run. The backward pass is native, too; higher derivatives use the reference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.base.torch_internals import interception, is_plain, own_types
from hiddenstate.engine import kernels, native, reference
from hiddenstate.engine.call import Call, RecordSpec, split_weights, tensors_needing_gradients, with_leaves, zero_state
from hiddenstate.engine.native import Gradients, NativeRun, Saved
from hiddenstate.structure.names import Place


class Shown(NamedTuple):
    """A differentiable run's result for one layer and direction, with its gates ``[T, N, 4H]`` and cell states."""

    out: Tensor
    h_n: Tensor
    c_n: Tensor | None
    gates: Tensor
    c: Tensor | None


def run(call: Call) -> tuple[Tensor, Tensor, Tensor | None]:
    """Run a call as one node of torch's graph; return ``out``, ``h_n`` and ``c_n``."""
    out, h_n, *c_n = apply(_Lstm, call, None, False, *tensors_needing_gradients(call))
    return out, h_n, c_n[0] if c_n else None


def run_shown(call: Call) -> Shown:
    """Run one layer and direction as one node whose outputs include the gates and cell states.

    With several layers, each must be its own node: in a single node, a loss on the first layer's values would give the
    layers above gradients of zero instead of None, keep their graph alive, and propagate their NaN.
    """
    values = apply(_Lstm, call, None, True, *tensors_needing_gradients(call))
    if _has_memory_state(call):
        return Shown(*values)
    out, h_n, gates = values
    return Shown(out, h_n, None, gates, None)


def _has_memory_state(call: Call) -> bool:
    return "c" in call.sizes.kind.carried


def attach(call: Call, result: NativeRun, *, shown: bool) -> Any:
    """Attach the derivative to a finished run, as `run` or `run_shown` returns it; missing records are recomputed."""
    return apply(_Lstm, call, result, shown, *tensors_needing_gradients(call))


def apply(function: type[torch.autograd.Function], *arguments: object) -> Any:
    """Call an autograd Function; a wrapper, because its type hints differ between versions of torch."""
    run: Any = function.apply
    return run(*arguments)


def uncompiled(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Exclude a backward function from compiled autograd, where gradients through the reference would be None."""

    @wraps(backward)
    def run(*arguments: Any) -> Any:
        return (torch.compiler.disable(backward) if torch.compiler.is_compiling() else backward)(*arguments)

    return run


class _Lstm(torch.autograd.Function):
    """A call with its derivative."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, result: NativeRun | None, shown: bool, *leaves: Tensor | None
    ) -> tuple[Tensor, ...]:
        if result is None:
            result = native.forward(call, shown=(True,) if shown else (), gradient=shown or call.training)
        ctx.set_materialize_grads(False)
        ctx.shown, ctx.edits = shown, call.edits
        # The fields that are not tensors, by name; torch saves the tensors.
        ctx.fields = {
            "sizes": call.sizes,
            "training": call.training,
            "part": call.part,
            "recompute_gates": call.recompute_gates,
        }
        records = () if result.c is None else result.saved(gates=not call.recompute_gates)[1:]
        # torch saves the tensors, which lets it free cycles and detect in-place writes.
        values = [edit.value for edit in call.edits]
        saved = [call.lengths, call.reset, *leaves, *call.masks, *values]
        ctx.counts = [len(leaves), len(call.masks), len(values)]
        for record in records:
            ctx.counts.append(len(record))
            saved += record
        ctx.save_for_backward(*saved, result.out)
        outputs = tuple(value for value in result[:3] if value is not None)
        if not shown:
            return outputs
        assert result.gates is not None
        assert result.c is not None
        dtype = result.out.dtype
        shown_records = [values[0] for values in (result.gates, result.c)]
        return (*outputs, *(value.to(dtype) for value in shown_records if value is not None))

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        lengths, reset = saved[:2]
        leaves, masks, of_edits, *records = _parts(saved, 2, ctx.counts)
        edits = ctx.edits and [replace(edit, value=value) for edit, value in zip(ctx.edits, of_edits, strict=True)]
        x, h0, c0, reset_h, reset_c, *_ = leaves
        call = Call(
            **ctx.fields,
            weights=split_weights(leaves),
            x=x,
            h0=h0,
            c0=c0,
            lengths=lengths,
            reset=reset,
            masks=masks,
            edits=edits,
            reset_h=reset_h,
            reset_c=reset_c,
        )
        needed = ctx.needs_input_grad[3:]
        if not computes_gradients(grads):

            def again(*views: Tensor | None) -> tuple[Tensor, ...]:
                return run_reference(_with_states(with_leaves(call, views)), shown=ctx.shown)

            return None, None, None, *differentiable_gradients(again, leaves, grads, needed)
        # Autocast must not affect a second run. It does not affect native code, which uses its own types.
        if records:
            of_run = Saved(saved[-1], *records)
        else:
            with own_types():
                of_run = native.forward(call, gradient=True).saved(gates=not call.recompute_gates)
        if not _has_memory_state(call):
            grads = (*grads[:2], None, *grads[2:], *([None] if len(grads) > 2 else []))
        out_grad, h_grad, c_grad, *more = grads
        of_records = [[grad] for grad in more] if more else ()
        of_outputs = Gradients(out_grad, h_grad, c_grad, *of_records)
        return None, None, None, *native.backward(call, of_run, of_outputs, needed)


def _with_states(call: Call) -> Call:
    """Return the call with zeros for missing initial states."""
    if call.h0 is not None:
        return call
    h0, *more = zero_state(call.x, call.sizes)
    return replace(call, h0=h0, c0=more[0] if more else None)


def _parts(values: Sequence[Any], first: int, counts: Sequence[int]) -> list[Sequence[Any]]:
    """Split the values from ``first`` on into consecutive parts of the given lengths."""
    parts = []
    for count in counts:
        parts.append(values[first : first + count])
        first += count
    return parts


def computes_gradients(grads: Sequence[Tensor | None]) -> bool:
    """Whether native code can compute them: not with ``create_graph=True``, nor for gradients that vmap batches."""
    if torch.is_grad_enabled() or interception(autocast=True) is not None:
        return False
    dtype: torch.dtype | None = None
    for grad in grads:
        if grad is None:
            continue
        dtype = dtype or grad.dtype
        if grad.dtype is not dtype or not is_plain(grad) or not _has_memory(grad):
            return False
    return dtype is not None and kernels.serves(dtype)


def _has_memory(value: Tensor) -> bool:
    try:
        return bool(value.data_ptr()) or not value.numel()
    except RuntimeError:
        return False


def differentiable_gradients(
    run: Callable[..., Sequence[Tensor]],
    leaves: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Compute differentiable gradients: rerun the leaves with ``run``, on the reference, and differentiate that."""
    if all(grad is None for grad in grads):
        return [None for _ in needed]
    with torch.enable_grad(), own_types():
        # Views, so that leaves get separate gradients even if they depend on each other or are the same tensor.
        views = [None if leaf is None else leaf.view_as(leaf) for leaf in leaves]
        wanted = [leaf for leaf, need in zip(views, needed, strict=True) if need and leaf is not None]
        pairs = [(output, grad) for output, grad in zip(run(*views), grads, strict=True) if grad is not None]
        outputs, output_grads = zip(*pairs, strict=True)
        gradients = iter(torch.autograd.grad(outputs, wanted, output_grads, create_graph=True, allow_unused=True))
    return [next(gradients) if need else None for need in needed]


def run_reference(call: Call, *, shown: bool = False) -> tuple[Tensor, ...]:
    """Run the call on the reference; with ``shown``, also return one layer and direction's gates and cell states."""
    if not shown:
        return _present(reference.run(call)[:3])
    kind = call.sizes.kind
    recorded = (*kind.recorded_gates, *kind.carried[1:])
    places = [Place(*call.layer_directions[0], quantity) for quantity in recorded]
    result = reference.run(replace(call, record=RecordSpec(places, range(len(call.x)))))
    gates = [result.values[str(place)] for place in places]
    c = [gates.pop()] if kind.carried[1:] else []
    return (*_present(result[:3]), torch.cat(gates, dim=-1), *c)


def _present(values: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    return tuple(value for value in values if value is not None)
