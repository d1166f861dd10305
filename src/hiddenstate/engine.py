"""One layer and direction over a sequence, natively (native/scan.h), with its derivative.

Differentiable: the first derivative is native too, those of it go through the reference.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.utils._python_dispatch import _get_current_dispatch_mode

from hiddenstate import native, reference
from hiddenstate.binding import BoundEdit
from hiddenstate.errors import ShapeError
from hiddenstate.names import GATES, PRE_ACTIVATIONS
from hiddenstate.native import Kernel, address, flat, new
from hiddenstate.observe import Watch
from hiddenstate.parameters import PARAMETER_STEMS
from hiddenstate.reference import Weights

# The numbers that native/edits.h knows them by.
_PLACES = {quantity: number for number, quantity in enumerate(PRE_ACTIVATIONS + GATES + ("c", "h"))}
_KINDS = {"set": 0, "scale": 1, "add": 2}


@dataclass(frozen=True, eq=False)
class Track:
    """One layer and direction over one call: ``x [T, N, C]``, ``h0 [N, P]``, ``c0 [N, H]``, the weights, the options.

    All are of one type, ``c0`` of that or of the type that cell states are kept in; ``c_n`` comes back in its type.
    ``lengths`` (int64 ``[N]``) and ``reset`` (bool ``[T, N]``) are None where there are none. ``edits`` are those of
    this track, in the order in which they are applied; `can_edit` says which can be among them. A ``lazy`` track keeps
    nothing for a gradient: what it needs is computed once more when one is asked for.
    """

    x: Tensor
    h0: Tensor
    c0: Tensor
    w: Weights
    reverse: bool
    lengths: Tensor | None
    reset: Tensor | None
    edits: Sequence[BoundEdit] = ()
    lazy: bool = False


class Scanned(NamedTuple):
    """What a scan gives: ``out [T, N, P]``, ``h_n [N, P]`` and ``c_n [N, H]``, and what was kept.

    ``gates [T, N, 4H]`` in the order of `names.GATES` and ``c [T, N, H]``. Past a row's end all are zero.
    """

    out: Tensor
    h_n: Tensor
    c_n: Tensor
    gates: Tensor | None
    c: Tensor | None


def can(tensors: Iterable[Tensor], *, autocast: bool = False) -> bool:
    """Whether the native scan computes with these: plain tensors on CPU, all of one type, not under a transformation.

    ``autocast`` says whether torch's may be on.
    """
    dtype: torch.dtype | None = None
    for value in tensors:
        if not is_plain(value) or value.dtype is not (dtype or value.dtype):
            return False
        dtype = value.dtype
    return dtype is not None and native.serves(dtype) and is_undisturbed(autocast=autocast)


def is_undisturbed(*, autocast: bool = False) -> bool:
    """Whether nothing that torch has in force would have to see into a native call; ``autocast`` may be on."""
    return (
        not torch.compiler.is_compiling()
        and (autocast or not torch.is_autocast_enabled("cpu"))
        # a mode that watches or rewrites torch's operations would not see the native one
        and _get_current_dispatch_mode() is None
        and not torch._C._is_tracing()
        and not transformed()
    )


def is_plain(value: Tensor) -> bool:
    """Whether a tensor is one of torch's own, on the CPU."""
    return type(value) in (Tensor, Parameter) and value.is_cpu


def transformed() -> bool:
    """Whether vmap, jvp or their kin, or forward-mode derivatives are at work, which the reference alone can serve."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def can_edit(edit: BoundEdit) -> bool:
    """Whether the native scan applies an edit: one that goes on through time, of a value that asks for no gradient."""
    return edit.edit.scope == "write" and not (edit.value.requires_grad and torch.is_grad_enabled())


def wants_gradient(tensors: Iterable[Tensor | None]) -> bool:
    """Whether torch keeps a graph of what is made of these."""
    return torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in tensors)


def apply(function: type[torch.autograd.Function], *arguments: object) -> Any:
    """Call a function with a derivative of its own; versions of torch say different types of that, or none."""
    run: Any = function.apply
    return run(*arguments)


def scan(track: Track, *, keep: bool) -> Scanned:
    """Run the scan, and ``keep`` its gates and cell states or not; differentiable any number of times.

    Raises:
        ShapeError: a weight's or a state's shape is not what the others say.
    """
    check_shapes(track.w, track.x.shape[2], track.c0.shape[1], track.h0.shape[1])
    if wants_gradient(_leaves(track)):
        out, h_n, c_n, *kept = apply(_Scan, track, keep, *_leaves(track))
        gates, c = kept if keep else (None, None)
        return Scanned(out, h_n, c_n, gates, c)
    return _forward(track, shown=keep, for_gradient=False).scanned


def _leaves(track: Track) -> tuple[Tensor | None, ...]:
    """What a gradient may be asked for."""
    return (track.x, track.h0, track.c0, *track.w)


class _Run(NamedTuple):
    """A forward run, and what its derivative needs: the gates before edits and the cell states, unless recomputed."""

    scanned: Scanned
    unedited: Tensor | None
    c: Tensor | None


def _forward(track: Track, *, shown: bool, for_gradient: bool) -> _Run:
    """Run forward; keep what is shown of gates and cell states, and what a gradient needs of them."""
    kernel = native.kernel(track.x.dtype)
    x, (T, N, C), H, P = strided(track.x), track.x.shape, track.c0.shape[1], track.h0.shape[1]
    element, real = kernel.element, kernel.real
    out, h_n, c_n = new(element, T, N, P), new(element, N, P), new(real, N, H)
    gates = new(real, T, N, len(GATES) * H) if shown or (for_gradient and not track.edits) else None
    unedited = new(real, T, N, len(GATES) * H) if for_gradient and track.edits else None
    c = new(real, T, N, H) if shown or for_gradient else None
    h0, c0 = flat(track.h0, element), flat(track.c0, real)
    lengths, reset = flat(track.lengths), flat(track.reset)
    elements, biases = [flat(w) for w in track.w[:2]], [flat(b, real) for b in track.w[2:4]]
    hr = flat(track.w.hr)
    edits, _values = _native_edits(kernel, track)
    kernel.scan.forward(
        address(x, element, strided=True),
        *(address(w, element) for w in elements),
        *(address(b, real) for b in biases),
        address(hr, element),
        *(address(h0, element), address(c0, real)),
        *(address(lengths, torch.int64), address(reset, torch.bool)),
        edits,
        *(0 if value is None else value.data_ptr() for value in (out, gates, unedited, c, h_n, c_n)),
        *(T, N, C, H, P, x.stride(0), x.stride(1), N * P, P),
        track.reverse,
        threads(T, N, C, H),
    )
    shown_values = (None if value is None or not shown else value.to(element) for value in (gates, c))
    scanned = Scanned(out, h_n, c_n.to(track.c0.dtype), *shown_values)
    return _Run(scanned, gates if unedited is None else unedited, c)


def strided(x: Tensor) -> Tensor:
    """The same numbers, the features of each step side by side; steps and rows as they lie."""
    if x.is_neg():
        x = x.resolve_neg()
    return x if x.stride(2) == 1 or x.shape[2] <= 1 else x.contiguous()


def _native_edits(kernel: Kernel, track: Track) -> tuple[Any, list[Tensor]]:
    """The track's edits as native code takes them, or None, and the values that they point to."""
    if not track.edits:
        return None, []
    edits, values = kernel.edits(track.x.shape[1]), []
    for edit in track.edits:
        value = edit.value.detach().resolve_neg().to("cpu", kernel.real)
        if len(value) > 1:  # of the steps that this call has, which in a stream may be a few of the edit's
            value = value[list(edit.position.values())]
        step, row, unit = (s if size > 1 else 0 for size, s in zip(value.shape, value.stride(), strict=True))
        place, kind = _PLACES[edit.place.quantity], _KINDS[edit.edit.kind]
        edits.add(place, kind, value.data_ptr(), step, row, unit, list(edit.position), edit.rows, edit.units)
        values.append(value)
    return edits, values


def check_shapes(w: Weights, C: int, H: int, P: int) -> None:
    """Refuse weights of other sizes than the layer's: parameters can be replaced, and native code trusts them.

    Raises:
        ShapeError: which, and what was expected.
    """
    shapes = ((4 * H, C), (4 * H, P), (4 * H,), (4 * H,), (P, H))
    needed = (True, True, False, False, P < H)
    for name, shape, value, must in zip(PARAMETER_STEMS, shapes, w, needed, strict=True):
        if value is None and must:
            raise ShapeError(f"a {name} is None, expected {list(shape)}: was it replaced?")
        if value is not None and value.shape != shape:
            raise ShapeError(f"a {name} has shape {list(value.shape)}, expected {list(shape)}: was it replaced?")


def threads(T: int, N: int, C: int, H: int) -> int:
    """Threads that are worth waking: that costs some microseconds, and waiting for one another a part of one a step."""
    step = N * H * H
    return torch.get_num_threads() if step >= 2**12 and T * (step + N * H * C) >= 2**18 else 1


def uncompiled(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Keep torch's compiled autograd out of a derivative: what goes through the reference it would give as None."""

    @wraps(backward)
    def run(*arguments: Any) -> Any:
        return (torch.compiler.disable(backward) if torch.compiler.is_compiling() else backward)(*arguments)

    return run


class _Scan(torch.autograd.Function):
    """The scan with its derivative: backward natively; the derivative of that through the reference."""

    @staticmethod
    def forward(ctx: Any, track: Track, keep: bool, *leaves: Tensor | None) -> Any:
        run = _forward(track, shown=keep, for_gradient=keep or not track.lazy)
        # Tensors are kept by torch, which sees to cycles and to writes in place.
        ctx.reverse, ctx.edits, ctx.keep = track.reverse, track.edits, keep
        values = [edit.value for edit in track.edits]
        ctx.save_for_backward(track.lengths, track.reset, *leaves, run.scanned.out, run.unedited, run.c, *values)
        return run.scanned if keep else run.scanned[:3]

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *grads: Tensor) -> Any:
        lengths, reset, x, h0, c0, *rest = ctx.saved_tensors
        weights, (out, unedited, c), values = rest[:5], rest[5:8], rest[8:]
        edits = [replace(edit, value=value) for edit, value in zip(ctx.edits, values, strict=True)]
        track = Track(x, h0, c0, Weights(*weights), ctx.reverse, lengths, reset, edits)
        needed = ctx.needs_input_grad[2:]
        if computes_gradients(grads):
            with own_types():
                if unedited is None:
                    _, unedited, c = _forward(track, shown=False, for_gradient=True)
                found = gradients(track, grads[0], grads[1:], Kept(out, unedited, c), needed)
        else:

            def run(x: Tensor, h0: Tensor, c0: Tensor, *w: Tensor | None) -> Sequence[Tensor]:
                return refer(replace(track, x=x, h0=h0, c0=c0, w=Weights._make(w)), keep=ctx.keep)

            found = differentiable_gradients(run, _leaves(track), grads, needed)
        return (None, None, *found)


class Kept(NamedTuple):
    """What a gradient needs of a forward run: ``out [T, N, P]``, ``unedited [T, N, 4H]``, ``c [T, N, H]``."""

    out: Tensor
    unedited: Tensor
    c: Tensor


def own_types() -> AbstractContextManager[Any]:
    """Keep autocast out of a derivative, whose types are those of the forward run."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


def computes_gradients(grads: Sequence[Tensor | None]) -> bool:
    """Whether the gradients of these (of those that there are) can be computed natively.

    Not with ``create_graph=True``, nor many at once, which come as tensors of vmap's that lie nowhere.
    """
    given = [grad for grad in grads if grad is not None]
    return not torch.is_grad_enabled() and can(given, autocast=True) and _lie_in_memory(given)


def _lie_in_memory(tensors: Iterable[Tensor]) -> bool:
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


def refer(track: Track, *, keep: bool) -> tuple[Tensor, ...]:
    """The same scan through the reference: out, h_n, c_n and, if they are kept, gates and c."""
    T = len(track.x)
    live = None if track.lengths is None else live_steps(track.lengths, T)
    recorder = Watch(track.edits, frozenset((*GATES, "c") if keep else ()), frozenset(range(T)))
    outputs = reference.scan(
        track.x, track.h0, track.c0, track.w, reverse=track.reverse, live=live, reset=track.reset, observer=recorder
    )
    if not keep:
        return outputs
    seen = {name: torch.stack([values[t] for t in range(T)]) for name, values in recorder.seen.items()}
    kept = (torch.cat([seen[gate] for gate in GATES], dim=-1), seen["c"])
    return (*outputs, *(kept if live is None else (torch.where(live[..., None], value, 0) for value in kept)))


def gradients(
    track: Track,
    dout: Tensor,
    others: Sequence[Tensor | None],
    kept: Kept,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of x, h0, c0, W_ih, W_hh, b_ih, b_hh, W_hr, in this order; None where not needed.

    ``others`` are the gradients of what `Scanned` gives beside ``out``, None for zeros.
    """
    kernel = native.kernel(track.x.dtype)
    element, real = kernel.element, kernel.real
    (T, N, P), C, H = kept.out.shape, track.x.shape[2], track.c0.shape[1]
    G = len(GATES) * H
    x, h0, c0, ih, hh, b_ih, b_hh, hr = needed
    asked = [
        new(element, T, N, C) if x else None,
        new(element, G, C) if ih else None,
        new(element, G, P) if hh else None,
        new(element, G) if b_ih or b_hh else None,
        new(element, P, H) if hr else None,
    ]
    dh0, dc0 = new(real, N, P), new(real, N, H)
    out, dout = _alike(kept.out, dout)
    dh_n, dc_n, *more = (flat(grad, real) for grad in others)
    dgates, dc = more or (None, None)
    inputs = strided(track.x)
    elements = [flat(value) for value in (track.w.ih, track.w.hh, track.w.hr, track.h0)]
    begins, lengths, reset = flat(track.c0, real), flat(track.lengths), flat(track.reset)
    unedited, c = flat(kept.unedited), flat(kept.c)
    edits, _values = _native_edits(kernel, track)
    kernel.scan.backward(
        [
            address(inputs, element, strided=True),
            *(address(value, element) for value in elements),
            address(begins, real),
            *(address(lengths, torch.int64), address(reset, torch.bool)),
            *(address(out, element, strided=True), address(unedited, real), address(c, real)),
            address(dout, element, strided=True),
            *(address(value, real) for value in (dh_n, dc_n, dgates, dc)),
        ],
        edits,
        [0 if value is None else value.data_ptr() for value in (*asked, dh0, dc0)],
        *(T, N, C, H, P, inputs.stride(0), inputs.stride(1), out.stride(0), out.stride(1)),
        *(track.reverse, threads(T, N, C, H)),
    )
    dx, dw_ih, dw_hh, db, dw_hr = asked
    return [
        dx,
        dh0.to(element) if h0 else None,
        dc0.to(track.c0.dtype) if c0 else None,
        *(dw_ih, dw_hh),
        db if b_ih else None,
        db.clone() if b_hh and db is not None else None,
        dw_hr,
    ]


def _alike(out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
    """The same numbers, laid out alike: the units of each step side by side, steps and rows equally far apart."""
    out, dout = strided(out), strided(dout)
    return (out, dout) if out.stride()[:2] == dout.stride()[:2] else (out.contiguous(), dout.contiguous())


def live_steps(lengths: Tensor, T: int) -> Tensor:
    """Bool ``[T, N]``: where rows have not ended."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths
