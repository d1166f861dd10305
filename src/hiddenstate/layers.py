"""A whole LSTM natively: all layers and directions of a call in which nothing is edited, nor more recorded than all.

One native call forward, and one backward. Differentiable any number of times, as `engine` says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter

from hiddenstate import engine, native
from hiddenstate.checks import State
from hiddenstate.engine import Track, check_shapes, strided
from hiddenstate.errors import ShapeError
from hiddenstate.names import GATES
from hiddenstate.native import Kernel, address, flat, new
from hiddenstate.parameters import PARAMETER_STEMS, ParameterNames
from hiddenstate.reference import Weights
from hiddenstate.sizes import Sizes

if TYPE_CHECKING:
    from hiddenstate import _native

_STEMS = len(PARAMETER_STEMS)
R = TypeVar("R", bound=tuple[Any, ...])  # what running one layer and direction gives


@dataclass(frozen=True, eq=False)
class Layers:
    """One call: ``x [T, N, C]``, ``h0 [L*D, N, P]``, ``c0 [L*D, N, H]``, the weights in the order of `Sizes.tracks`.

    ``lengths`` (int64 ``[N]``) and ``reset`` (bool ``[T, N]``) are None where there are none. ``noise``, if any, has
    for each layer but the last what its output ``[T, N, D*P]`` is multiplied with on its way to the next: dropout.
    Types are as `engine.Track` says. Where it ``keeps`` nothing for a gradient, what one needs is computed once more
    when it is asked for.
    """

    sizes: Sizes
    weights: Sequence[Weights]
    x: Tensor
    h0: Tensor
    c0: Tensor
    lengths: Tensor | None
    reset: Tensor | None
    noise: Sequence[Tensor] = ()
    keeps: bool = False


class Kept(NamedTuple):
    """What a gradient needs, and a trace shows, of a forward run beside its output; in the types of `native.Kernel`."""

    gates: Sequence[Tensor]  # of each layer and direction [T, N, 4H]
    c: Sequence[Tensor]  # of each layer and direction [T, N, H]
    between: Sequence[Tensor]  # of each layer but the last its output [T, N, D*P]


Outputs = tuple[Tensor, Tensor, Tensor]  # out [T, N, D*P], h_n [L*D, N, P], c_n [L*D, N, H]


def run(layers: Layers) -> Outputs:
    """Run a whole LSTM; give ``out [T, N, D*P]``, ``h_n [L*D, N, P]`` and ``c_n [L*D, N, H]``.

    Raises:
        ShapeError: a weight's shape is not what the others say.
    """
    leaves = leaves_of(layers)
    if engine.wants_gradient(leaves):
        done: Outputs = engine.apply(_Layers, layers, None, False, *leaves)
        return done
    return forward(layers, keep=False)[0]


def run_plain(
    x: object,
    hx: object,
    lengths: object,
    parameters: dict[str, Any],
    names: ParameterNames,
    sizes: Sizes,
    batch_first: bool,
    *,
    keep: bool = False,
) -> Any:
    """Run a call of nothing but these, that asks for no gradient and no dropout, at the least cost.

    ``names`` are those of each layer and direction's ``parameters``. Gives what a call of the module does, but time
    first: ``out`` and ``(h_n, c_n)``; with ``keep`` also the three of `Kept`, in which unbatched runs have N = 1. None,
    with nothing done, where anything is not quite as the native code reads it, right or wrong: the long way sees to it.
    """
    kernel = native.plain_kernel(x) if engine.is_undisturbed() else None
    if kernel is None:
        return None
    return _plain_call(kernel).run(
        *(x, hx, lengths, parameters, names, sizes.input_size, sizes.hidden_size),
        *(sizes.output_size, sizes.directions, bool(batch_first), keep),
    )


def run_differentiable(
    x: Any,
    hx: object,
    lengths: object,
    parameters: dict[str, Any],
    names: ParameterNames,
    sizes: Sizes,
    batch_first: bool,
    *,
    training: bool,
    keep: bool = False,
) -> Any:
    """Run such a call where torch may keep a graph of what is made of these; what it gives, `Kept` too, is part of it.

    In ``training`` what a gradient needs is kept, if one may be asked for, else computed once more. None also for
    ``keep`` where there are several layers or directions: the values of one are to have nothing to do with the others.
    """
    weights = [None if name is None else parameters.get(name) for of_track in names for name in of_track]
    given: list[Any] = [x, *hx] if isinstance(hx, tuple) else [x]
    if not all(isinstance(value, Tensor) for value in given):
        return None
    if not engine.wants_gradient((*given, *weights)):
        return run_plain(x, hx, lengths, parameters, names, sizes, batch_first, keep=keep)
    if (keep and len(sizes.tracks) > 1) or not engine.is_undisturbed():
        return None
    axes = {value.dim() for value in given}
    single = axes == {2}
    if native.plain_kernel(x) is None or len(given) != (1 if hx is None else 3) or not (single or axes == {3}):
        return None
    if single:
        if lengths is not None:
            return None
        given = [value.unsqueeze(1) for value in given]
    elif batch_first:
        given[0] = given[0].transpose(0, 1)
    x, *states = given
    leaves = (x, *(states or zero_state(x, sizes)), *weights)
    done = run_plain(x, leaves[1:3], lengths, parameters, names, sizes, batch_first=False, keep=training or keep)
    if done is None:
        return None
    out, state, *kept = done
    layers = of_leaves(leaves, sizes, lengths, None, (), keeps=training or keep)  # type: ignore[arg-type]
    ran = (out, *state), Kept(*kept[0]) if kept else None
    found = engine.apply(_Layers, layers, ran, keep, *leaves)
    out, *state = (value.squeeze(1) for value in found[:3]) if single else found[:3]
    return (out, tuple(state), Kept(found[3:4], found[4:], ())) if keep else (out, tuple(state))


def zero_state(x: Tensor, sizes: Sizes) -> State:
    """The state that a run over ``x [T, N, ...]`` begins with where none is given: ``[L*D, N, P]``, ``[L*D, N, H]``."""
    tracks, N = len(sizes.tracks), x.shape[1]
    return x.new_zeros(tracks, N, sizes.output_size), x.new_zeros(tracks, N, sizes.hidden_size)


@cache  # there is one for each type of numbers and instruction set
def _plain_call(kernel: Kernel) -> "_native.PlainCall":
    return kernel.scan.plain_call(Tensor, Parameter, torch.empty, kernel.element, torch.device("cpu"), engine.threads)


def leaves_of(layers: Layers) -> tuple[Tensor | None, ...]:
    """What a gradient may be asked for: x, h0, c0, and the weights of one layer and direction after another."""
    return (layers.x, layers.h0, layers.c0, *chain.from_iterable(layers.weights))


def of_leaves(
    leaves: Sequence[Tensor | None],
    sizes: Sizes,
    lengths: Tensor | None,
    reset: Tensor | None,
    noise: Sequence[Tensor],
    *,
    keeps: bool = False,
) -> Layers:
    """The call of such leaves."""
    x, h0, c0, *rest = leaves
    weights = [Weights._make(rest[k : k + _STEMS]) for k in range(0, len(rest), _STEMS)]
    return Layers(sizes, weights, x, h0, c0, lengths, reset, noise, keeps)  # type: ignore[arg-type]


def forward(layers: Layers, *, keep: bool) -> tuple[Outputs, Kept | None]:
    """Run forward, and ``keep`` what a gradient needs or not.

    Raises:
        ShapeError: a weight's shape is not what the others say.
    """
    kernel, sizes, x = native.kernel(layers.x.dtype), layers.sizes, _input(layers)
    element, real = kernel.element, kernel.real
    (T, N, C), H, P, D = x.shape, sizes.hidden_size, sizes.output_size, sizes.directions
    K, above = len(sizes.tracks), range(sizes.num_layers - 1)
    out, h_n, c_n = new(element, T, N, D * P), new(element, K, N, P), new(real, K, N, H)
    kept = (
        Kept(
            [new(real, T, N, len(GATES) * H) for _ in range(K)],
            [new(real, T, N, H) for _ in range(K)],
            [new(element, T, N, D * P) for _ in above],
        )
        if keep
        else None
    )
    lying, weights = _addresses(layers, element, real)
    h0, c0, lengths, reset = flat(layers.h0), flat(layers.c0, real), flat(layers.lengths), flat(layers.reset)
    noise = [flat(of_layer) for of_layer in layers.noise]
    kernel.scan.layers(
        address(x, element, strided=True),
        weights,
        *(address(h0, element, (K, N, P)), address(c0, real, (K, N, H))),
        *(address(lengths, torch.int64, (N,)), address(reset, torch.bool, (T, N))),
        [address(of_layer, element, (T, N, D * P)) for of_layer in noise],
        out.data_ptr(),
        *([value.data_ptr() for value in values] for values in kept or ((), (), ())),
        *(h_n.data_ptr(), c_n.data_ptr()),
        *(T, N, C, H, P, D, x.stride(0), x.stride(1)),
        engine.threads(T, N, C, H),
    )
    del lying  # alive until here
    return (out, h_n, c_n.to(layers.c0.dtype)), kept


def _input(layers: Layers) -> Tensor:
    """What the first layer reads, as native code may trust it.

    Raises:
        ShapeError: it was replaced since it was checked, as an input can be until the gradient is asked for.
    """
    x = layers.x
    if x.dim() != 3 or x.shape[2] != layers.sizes.input_size:
        expected = f"[T, N, {layers.sizes.input_size}]"
        raise ShapeError(f"the input has shape {list(x.shape)}, expected {expected}: was it replaced?")
    return strided(x)


def _addresses(layers: Layers, element: torch.dtype, real: torch.dtype) -> tuple[list[Tensor | None], list[int]]:
    """The weights as they must lie, and where they do."""
    sizes, types = layers.sizes, Weights(element, element, real, real, element)  # type: ignore[arg-type]
    lying, addresses = [], []
    for (layer, _), w in zip(sizes.tracks, layers.weights, strict=True):
        check_shapes(w, sizes.layer_input_size(layer), sizes.hidden_size, sizes.output_size)
        for value, dtype in zip(w, types, strict=True):
            there = flat(value, dtype)  # type: ignore[arg-type]
            lying.append(there)
            addresses.append(address(there, dtype))  # type: ignore[arg-type]
    return lying, addresses


def _backward(
    layers: Layers, out: Tensor, kept: Kept, grads: Sequence[Tensor | None], needed: Sequence[bool]
) -> list[Tensor | None]:
    kernel, sizes, x = native.kernel(layers.x.dtype), layers.sizes, _input(layers)
    element, real = kernel.element, kernel.real
    (T, N, C), H, P, D = x.shape, sizes.hidden_size, sizes.output_size, sizes.directions
    K, width = len(sizes.tracks), D * P
    dx = new(element, T, N, C) if needed[0] else None
    dh0, dc0 = new(real, K, N, P), new(real, K, N, H)
    asked = [_asked(layers, k, needed[3 + k * _STEMS : 3 + (k + 1) * _STEMS], element) for k in range(K)]
    lying, weights = _addresses(layers, element, real)
    h0, c0, lengths, reset = flat(layers.h0), flat(layers.c0, real), flat(layers.lengths), flat(layers.reset)
    noise = [flat(of_layer) for of_layer in layers.noise]
    # Flat once more, as hooks on saved tensors may have changed how they lie.
    out, gates, c, between = flat(out), *([flat(value) for value in values] for values in kept)  # type: ignore[assignment]
    dout, dh_n, dc_n = (flat(grad, dtype) for grad, dtype in zip(grads[:3], (None, real, real), strict=True))
    if dout is None:
        dout = torch.zeros_like(out)
    of_kept = [flat(grad) for grad in grads[3:]]
    dgates, dc = of_kept[:K], of_kept[K:]
    kernel.scan.layers_backward(
        address(x, element, strided=True),
        weights,
        *(address(h0, element, (K, N, P)), address(c0, real, (K, N, H))),
        *(address(lengths, torch.int64, (N,)), address(reset, torch.bool, (T, N))),
        [address(of_layer, element, (T, N, width)) for of_layer in noise],
        address(out, element, (T, N, width)),
        [address(value, real, (T, N, len(GATES) * H)) for value in gates],
        [address(value, real, (T, N, H)) for value in c],
        [address(value, element, (T, N, width)) for value in between],
        address(dout, element, (T, N, width)),
        *(address(dh_n, real, (K, N, P)), address(dc_n, real, (K, N, H))),
        [address(value, real, (T, N, len(GATES) * H)) for value in dgates],
        [address(value, real, (T, N, H)) for value in dc],
        address(dx, element),
        [address(value, element) for of_track in asked for value in of_track],
        *(dh0.data_ptr(), dc0.data_ptr()),
        *(T, N, C, H, P, D, x.stride(0), x.stride(1)),
        engine.threads(T, N, C, H),
    )
    del lying  # alive until here
    found = [dx, dh0.to(element) if needed[1] else None, dc0.to(layers.c0.dtype) if needed[2] else None]
    for k, (ih, hh, b, hr) in enumerate(asked):
        b_ih, b_hh = needed[5 + k * _STEMS : 7 + k * _STEMS]
        found += [ih, hh, b if b_ih else None, b.clone() if b_hh and b is not None else None, hr]
    return found


def _asked(layers: Layers, k: int, needed: Sequence[bool], element: torch.dtype) -> list[Tensor | None]:
    """Where the gradients of ih, hh, either bias and hr of one layer and direction go; None where it is not needed."""
    sizes, (ih, hh, b_ih, b_hh, hr) = layers.sizes, needed
    G, P = len(GATES) * sizes.hidden_size, sizes.output_size
    return [
        new(element, G, sizes.layer_input_size(sizes.tracks[k][0])) if ih else None,
        new(element, G, P) if hh else None,
        new(element, G) if b_ih or b_hh else None,
        new(element, P, sizes.hidden_size) if hr else None,
    ]


def refer(layers: Layers, *, keep: bool = False) -> tuple[Tensor, ...]:
    """The same call through the reference; with ``keep`` the gates and cell states come after the outputs."""
    out, tracks = through(
        layers.sizes, layers.x, layers.noise, lambda k, x: engine.refer(_track(layers, k, x), keep=keep)
    )
    _, h_n, c_n, *kept = zip(*tracks, strict=True)
    return out, torch.stack(h_n), torch.stack(c_n), *chain.from_iterable(kept)


def through(
    sizes: Sizes, x: Tensor, noise: Sequence[Tensor], run_track: Callable[[int, Tensor], R]
) -> tuple[Tensor, list[R]]:
    """Go through all layers and directions, each by ``run_track``, which takes its number and what it reads.

    Gives the last layer's output, and what ``run_track`` gave, of which the first is the output of that track.
    """
    tracks: list[R] = []
    for layer in range(sizes.num_layers):
        if layer and noise:
            x = x * noise[layer - 1]
        new = [run_track(layer * sizes.directions + k, x) for k in range(sizes.directions)]
        x = torch.cat([track[0] for track in new], dim=-1) if len(new) > 1 else new[0][0]
        tracks += new
    return x, tracks


def _track(layers: Layers, k: int, x: Tensor) -> Track:
    """One layer and direction, which reads ``x``."""
    reverse = layers.sizes.tracks[k][1]
    return Track(x, layers.h0[k], layers.c0[k], layers.weights[k], reverse, layers.lengths, layers.reset)


class _Layers(torch.autograd.Function):
    """A whole LSTM with its derivative: backward natively; the derivative of that through the reference.

    ``ran`` is what `forward` gives, of a run that `run_plain` made already, or None. Where it is ``shown``, what a run
    of one layer and direction kept is given too, after the outputs.
    """

    @staticmethod
    def forward(
        ctx: Any, layers: Layers, ran: tuple[Outputs, Kept | None] | None, shown: bool, *leaves: Tensor | None
    ) -> tuple[Tensor, ...]:
        outputs, kept = ran or forward(layers, keep=layers.keeps)
        ctx.set_materialize_grads(False)
        ctx.sizes, ctx.keeps, ctx.plain, ctx.shown = layers.sizes, layers.keeps, ran is not None, shown
        # Tensors are kept by torch, which sees to cycles and to writes in place.
        options = () if ctx.plain else (layers.reset, *layers.noise)
        of_run = list(chain.from_iterable(kept or ()))
        ctx.save_for_backward(layers.lengths, outputs[0], *of_run, *leaves, *options)
        return (*outputs, *of_run) if shown else outputs

    @staticmethod
    @engine.uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        saved, sizes, needed = ctx.saved_tensors, ctx.sizes, ctx.needs_input_grad[3:]
        natively = engine.computes_gradients(grads)
        if natively and ctx.plain and ctx.keeps and all(grad is None for grad in grads[3:]):
            found = _plain_gradients(sizes, saved, grads[:3], needed)
            if found is not None:
                return None, None, None, *found
        K = len(sizes.tracks)
        counts = [1, 1, *((K, K, sizes.num_layers - 1) if ctx.keeps else (0, 0, 0)), len(needed)]
        (lengths,), (out,), gates, c, between, leaves, options = _parts(saved, counts)
        reset, *noise = options or (None,)
        if natively:
            kept = Kept(gates, c, between) if ctx.keeps else None  # type: ignore[arg-type]
            found = gradients(of_leaves(leaves, sizes, lengths, reset, noise), out, kept, grads, needed)  # type: ignore[arg-type]
            return None, None, None, *found

        def run(*views: Tensor | None) -> tuple[Tensor, ...]:
            return refer(of_leaves(views, sizes, lengths, reset, noise), keep=ctx.shown)  # type: ignore[arg-type]

        return None, None, None, *engine.differentiable_gradients(run, leaves, grads, needed)


def _parts(values: Sequence[Tensor | None], counts: Sequence[int]) -> list[list[Tensor | None]]:
    """So many of the values after one another, and a last part with those that are left."""
    left = iter(values)
    return [list(islice(left, count)) for count in counts] + [list(left)]


def _plain_gradients(
    sizes: Sizes, saved: tuple[Tensor | None, ...], grads: Sequence[Tensor | None], needed: tuple[bool, ...]
) -> list[Tensor | None] | None:
    """Gradients of the leaves of a plain run, at the least cost; None where something has changed since."""
    kernel = native.plain_kernel(saved[1])
    if kernel is None or grads[0] is None:
        return None
    found: list[Tensor | None] | None = _plain_call(kernel).gradients(
        *(saved, tuple(None if grad is None else grad.contiguous() for grad in grads), needed, len(sizes.tracks)),
        *(sizes.input_size, sizes.hidden_size, sizes.output_size, sizes.directions),
    )
    return found


def gradients(
    layers: Layers, out: Tensor, kept: Kept | None, grads: Sequence[Tensor | None], needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of the leaves, in their order, from those of the outputs, None for zeros; None where not needed.

    After those of the outputs may come those of the gates and the cell states that were kept, where these are shown.

    What is needed of the forward run is computed once more where it was not ``kept``.
    """
    with engine.own_types():
        if kept is None:
            _, kept = forward(layers, keep=True)
            assert kept is not None
        return _backward(layers, out, kept, grads, needed)
