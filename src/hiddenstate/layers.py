"""A whole LSTM natively: all layers and directions of a call in which nothing is recorded or edited.

One native call forward, one a layer and direction backward. Differentiable any number of times, as `engine` says.
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
from hiddenstate.engine import Track, check_shapes, strided
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
    """What a gradient needs of a forward run beside its output, in the types of `native.Kernel`."""

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
        return _Layers.apply(layers, *leaves)  # type: ignore[no-any-return, no-untyped-call]
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
) -> Layers:
    """The call of such leaves."""
    x, h0, c0, *rest = leaves
    weights = [Weights._make(rest[k : k + _STEMS]) for k in range(0, len(rest), _STEMS)]
    return Layers(sizes, weights, x, h0, c0, lengths, reset, noise)  # type: ignore[arg-type]


def forward(layers: Layers, *, keep: bool) -> tuple[Outputs, Kept | None]:
    """Run forward, and ``keep`` what a gradient needs or not.

    Raises:
        ShapeError: a weight's shape is not what the others say.
    """
    kernel, sizes, x = native.kernel(layers.x.dtype), layers.sizes, strided(layers.x)
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
        *(address(h0, element), address(c0, real), address(lengths, torch.int64), address(reset, torch.bool)),
        [address(of_layer, element) for of_layer in noise],
        out.data_ptr(),
        *([value.data_ptr() for value in values] for values in kept or ((), (), ())),
        *(h_n.data_ptr(), c_n.data_ptr()),
        *(T, N, C, H, P, D, x.stride(0), x.stride(1)),
        engine.threads(T, N, C, H),
    )
    del lying  # alive until here
    return (out, h_n, c_n.to(layers.c0.dtype)), kept


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
    dout, by_track = torch.zeros_like(out) if grads[0] is None else grads[0], list[list[Tensor | None]]()
    for layer in range(layers.sizes.num_layers - 1, -1, -1):
        outputs = out if layer == layers.sizes.num_layers - 1 else kept.between[layer]
        dx, found = _layer_backward(layers, layer, outputs, kept, dout, grads[1:], needed)
        by_track = found + by_track
        if layer:
            assert dx is not None
            dout = dx if not layers.noise else dx.mul_(layers.noise[layer - 1])
    dh0, dc0 = (_stacked([track[k] for track in by_track]) for k in range(2))
    return [dx, dh0, dc0, *chain.from_iterable(track[2:] for track in by_track)]


def _layer_backward(
    layers: Layers,
    layer: int,
    outputs: Tensor,
    kept: Kept,
    dout: Tensor,
    dstates: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> tuple[Tensor | None, list[list[Tensor | None]]]:
    """The gradient of what a layer reads; and of each of its directions those of h0, c0 and the weights."""
    D, P = layers.sizes.directions, layers.sizes.output_size
    x, dx, found = _read_by(layers, layer, kept), None, []
    for k in range(layer * D, (layer + 1) * D):
        mine, dmine = (value if D == 1 else value[..., k % D * P : (k % D + 1) * P] for value in (outputs, dout))
        dx, *others = engine.gradients(
            _track(layers, k, x),
            dmine,
            [None if value is None else value[k] for value in dstates],
            engine.Kept(mine, kept.gates[k], kept.c[k]),
            (bool(layer) or needed[0], *needed[1:3], *needed[3 + k * _STEMS : 3 + (k + 1) * _STEMS]),
            dx,
        )
        found.append(others)
    return dx, found


def _read_by(layers: Layers, layer: int, kept: Kept) -> Tensor:
    """What a layer reads."""
    if layer == 0:
        return layers.x
    below = kept.between[layer - 1]
    return below if not layers.noise else below * layers.noise[layer - 1]


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.stack(there) if there else None


def refer(layers: Layers) -> Outputs:
    """The same call through the reference."""
    out, tracks = through(
        layers.sizes, layers.x, layers.noise, lambda k, x: engine.refer(_track(layers, k, x), keep=False)
    )
    _, h_n, c_n = zip(*tracks, strict=True)
    return out, torch.stack(h_n), torch.stack(c_n)


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
    """A whole LSTM with its derivative: backward natively; the derivative of that through the reference."""

    @staticmethod
    def forward(ctx: Any, layers: Layers, *leaves: Tensor | None) -> Outputs:
        outputs, kept = forward(layers, keep=layers.keeps)
        ctx.set_materialize_grads(False)
        ctx.sizes, ctx.keeps = layers.sizes, layers.keeps
        # Tensors are kept by torch, which sees to cycles and to writes in place.
        options = (layers.lengths, layers.reset, *layers.noise)
        ctx.save_for_backward(*options, outputs[0], *chain.from_iterable(kept or ()), *leaves)
        ctx.noises = len(layers.noise)
        return outputs

    @staticmethod
    @engine.uncompiled
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        saved, sizes = iter(ctx.saved_tensors), ctx.sizes
        lengths, reset = next(saved), next(saved)
        noise, out = list(islice(saved, ctx.noises)), next(saved)
        counts = (len(sizes.tracks), len(sizes.tracks), sizes.num_layers - 1)
        kept = Kept._make(list(islice(saved, count)) for count in counts) if ctx.keeps else None
        leaves, needed = list(saved), ctx.needs_input_grad[1:]
        if engine.computes_gradients(grads):
            layers = of_leaves(leaves, sizes, lengths, reset, noise)
            return None, *gradients(layers, out, kept, grads, needed)

        def run(*views: Tensor | None) -> Outputs:
            return refer(of_leaves(views, sizes, lengths, reset, noise))

        return None, *engine.differentiable_gradients(run, leaves, grads, needed)


def gradients(
    layers: Layers, out: Tensor, kept: Kept | None, grads: Sequence[Tensor | None], needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of the leaves, in their order, from those of the outputs, None for zeros; None where not needed.

    What is needed of the forward run is computed once more where it was not ``kept``.
    """
    with engine.own_types():
        if kept is None:
            _, kept = forward(layers, keep=True)
            assert kept is not None
        return _backward(layers, out, kept, grads, needed)
