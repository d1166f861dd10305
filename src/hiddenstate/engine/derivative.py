"""The derivative of a native run: backward natively; derivatives of that through the reference."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.engine import kernels, native, reference_path
from hiddenstate.engine.call import Call, leaves_of, with_leaves
from hiddenstate.engine.interception import interception, is_plain, own_types
from hiddenstate.engine.native import Gradients, Run, Saved
from hiddenstate.engine.observer import RecordSpec
from hiddenstate.structure.names import GATES, Place


class Shown(NamedTuple):
    """What a differentiable run of one layer and direction gives: the gates ``[T, N, 4H]`` and the cell states too."""

    out: Tensor
    h_n: Tensor
    c_n: Tensor
    gates: Tensor
    c: Tensor


def run(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """Run a call as one node of torch's graph; give ``out``, ``h_n`` and ``c_n``.

    Raises:
        ShapeError, DtypeError: as `native.forward`.
    """
    return _Lstm.apply(call, None, False, *leaves_of(call))  # type: ignore[no-any-return, no-untyped-call]


def run_shown(call: Call) -> Shown:
    """Run one layer and direction as one node, whose gates and cell states are outputs too.

    Of several layers each must be a node of its own: in one node, a loss on the first layer's values would give the
    layers above gradients of zero in place of none, keep their graph alive, and let their NaN through.

    Raises:
        ShapeError, DtypeError: as `native.forward`.
    """
    return Shown(*_Lstm.apply(call, None, True, *leaves_of(call)))  # type: ignore[no-untyped-call]


def attach(call: Call, done: Run, *, shown: bool) -> Any:
    """Attach the derivative to a run that was made already; give what `run` or `run_shown` gives.

    Without records in ``done`` the derivative computes them once more when it is asked for.
    """
    return _Lstm.apply(call, done, shown, *leaves_of(call))  # type: ignore[no-untyped-call]


def uncompiled(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Keep torch's compiled autograd out of a derivative: what goes through the reference it would give as None."""

    @wraps(backward)
    def run(*arguments: Any) -> Any:
        return (torch.compiler.disable(backward) if torch.compiler.is_compiling() else backward)(*arguments)

    return run


class _Lstm(torch.autograd.Function):
    """A call with its derivative."""

    @staticmethod
    def forward(ctx: Any, call: Call, done: Run | None, shown: bool, *leaves: Tensor | None) -> tuple[Tensor, ...]:
        if done is None:
            done = native.forward(call, shown=(True,) if shown else (), gradient=shown or call.training)
        ctx.set_materialize_grads(False)
        # Tensors are saved by torch, which sees to cycles and to writes in place.
        ctx.call, ctx.shown, ctx.saves = _without_tensors(call), shown, done.c is not None
        saved = done.saved() if ctx.saves else Saved(done.out, (), (), ())
        values = [edit.value for edit in call.edits]
        parts = ([call.lengths, call.reset], call.masks, leaves, values, [saved.out], *saved[1:])
        ctx.counts = [len(part) for part in parts]
        ctx.save_for_backward(*chain.from_iterable(parts))
        outputs = done[:3]
        if not shown:
            return outputs
        assert done.gates is not None
        assert done.c is not None
        dtype = done.out.dtype
        return (*outputs, *(values[0].to(dtype) for values in (done.gates, done.c)))  # type: ignore[union-attr]

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        values = iter(ctx.saved_tensors)
        (lengths, reset), masks, leaves, of_edits, (out,), *records = (list(islice(values, n)) for n in ctx.counts)
        edits = [replace(edit, value=value) for edit, value in zip(ctx.call.edits, of_edits, strict=True)]
        call = with_leaves(replace(ctx.call, lengths=lengths, reset=reset, masks=masks, edits=edits), leaves)
        needed = ctx.needs_input_grad[3:]
        if not computes_gradients(grads):

            def again(*views: Tensor | None) -> tuple[Tensor, ...]:
                return run_reference(with_leaves(call, views), shown=ctx.shown)

            return None, None, None, *differentiable_gradients(again, leaves, grads, needed)
        with own_types():
            saved = Saved(out, *records) if ctx.saves else native.forward(call, gradient=True).saved()
            out_grad, h_grad, c_grad, *of_records = grads
            of_outputs = Gradients(out_grad, h_grad, c_grad, *([grad] for grad in of_records))
            return None, None, None, *native.backward(call, saved, of_outputs, needed)


def _without_tensors(call: Call) -> Call:
    """The call without what torch saves; it holds no graph and no memory."""
    nothing: Any = None
    edits = [replace(edit, value=nothing) for edit in call.edits]
    return replace(
        call,
        weights=(),
        x=nothing,
        h0=nothing,
        c0=nothing,
        lengths=None,
        reset=None,
        masks=(),
        edits=edits,
        record=None,
    )


def computes_gradients(grads: Sequence[Tensor | None]) -> bool:
    """Whether gradients can be computed natively from these (from those that there are).

    Not with ``create_graph=True``, nor many at once, which come as tensors of vmap's without memory.
    """
    given = [grad for grad in grads if grad is not None]
    if torch.is_grad_enabled() or not given or interception(autocast=True) is not None:
        return False
    dtype = given[0].dtype
    fits = kernels.serves(dtype) and all(is_plain(grad) and grad.dtype is dtype for grad in given)
    return fits and _have_memory(given)


def _have_memory(tensors: Iterable[Tensor]) -> bool:
    try:
        return all(value.data_ptr() or not value.numel() for value in tensors)
    except RuntimeError:
        return False


def differentiable_gradients(
    run: Callable[..., Sequence[Tensor]],
    leaves: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients as a graph: ``run`` once more, through the reference, on the leaves, and its derivative by torch."""
    if all(grad is None for grad in grads):
        return [None for _ in needed]
    with torch.enable_grad(), own_types():
        # A view of each, so that one which depends on another, or is the same tensor, is told apart from it.
        views = [None if leaf is None else leaf.view_as(leaf) for leaf in leaves]
        wanted = [leaf for leaf, need in zip(views, needed, strict=True) if need and leaf is not None]
        pairs = [(output, grad) for output, grad in zip(run(*views), grads, strict=True) if grad is not None]
        outputs, given = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(outputs, wanted, given, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]


def run_reference(call: Call, *, shown: bool = False) -> tuple[Tensor, ...]:
    """The same call through the reference; ``shown``: of one layer and direction, gates and cell states come after."""
    if not shown:
        return reference_path.run(call)[:3]
    layer, reverse = call.tracks[0]
    places = [Place(layer, reverse, quantity) for quantity in (*GATES, "c")]
    done = reference_path.run(replace(call, record=RecordSpec(places, range(len(call.x)))))
    *gates, c = (done.values[str(place)] for place in places)
    return (*done[:3], torch.cat(gates, dim=-1), c)
