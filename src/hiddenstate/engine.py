"""The only seam to native code: which scan runs, its arguments as addresses, and its derivative.

The native scan is the serial part of one layer and direction in float32 on CPU (native/scan.h). What is not serial in
time, the input's projection and the gradients of weights and input, are single matrix products, and torch's.
"""

import os
import platform
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.utils._python_dispatch import _get_current_dispatch_mode

from hiddenstate import reference
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from hiddenstate.names import GATES
from hiddenstate.observe import Watch
from hiddenstate.reference import Weights
from hiddenstate.sizes import Sizes

try:
    from hiddenstate import _native
except ImportError as error:  # a wheel for another machine, say: everything still works, in plain torch
    _native = None  # type: ignore[assignment]
    warnings.warn(
        f"hiddenstate's native module could not be loaded ({error}); computing goes on without it. Reinstalling "
        "hiddenstate on this machine usually mends it",
        stacklevel=2,
    )


def native_version() -> str | None:
    """Version that the native module was built as, or None when it could not be loaded."""
    return None if _native is None else _native.__version__


def cpu_features() -> list[str]:
    """Instruction sets that the CPU and the operating system support, narrowest first; empty when not known."""
    return [] if _native is None else _native.cpu_features()


def machine() -> str:
    """The processor's architecture, such as ``x86_64``."""
    return platform.machine()


def isas() -> list[str]:
    """Instruction sets that the native scan was compiled for and that this CPU runs, narrowest first."""
    return [] if _native is None else _native.isas()


def _chosen() -> int:
    forced = os.environ.get("HIDDENSTATE_ISA")
    if not forced:
        return len(isas()) - 1
    if forced not in isas():
        raise ArgumentError(
            f"HIDDENSTATE_ISA={forced}: this machine runs {' '.join(isas()) or 'none'}; choose one of them"
        )
    return isas().index(forced)


_isa = _chosen()
_NATIVE_TYPES = (torch.float32, torch.int64, torch.bool)


def isa() -> str | None:
    """The instruction set whose scan runs, or None without the native module."""
    return isas()[_isa] if _native else None


def nonlinearity(name: str, x: Tensor) -> Tensor:
    """The scan's own ``"sigmoid"`` or ``"tanh"`` of float32 numbers, for those who check it."""
    given = x.contiguous()
    out = torch.empty_like(given)
    getattr(_native, name)(_isa, given.data_ptr(), out.data_ptr(), given.numel())
    return out


@dataclass(frozen=True, eq=False)
class Track:
    """One layer and direction over one call: ``x [T, N, C]``, ``h0`` and ``c0 [N, H]``, the weights, and the options.

    ``lengths`` (int64 ``[N]``) and ``reset`` (bool ``[T, N]``) are None where there are none.
    """

    x: Tensor
    h0: Tensor
    c0: Tensor
    w: Weights
    reverse: bool
    lengths: Tensor | None
    reset: Tensor | None


class Scanned(NamedTuple):
    """What a scan gives: ``out [T, N, H]``, ``h_n`` and ``c_n [N, H]``, and what was kept.

    ``gates [T, N, 4H]`` in the order of `names.GATES` and ``c [T, N, H]``; past a row's end they mean nothing.
    """

    out: Tensor
    h_n: Tensor
    c_n: Tensor
    gates: Tensor | None
    c: Tensor | None


def can(tensors: Iterable[Tensor], *, autocast: bool = False) -> bool:
    """Whether the native scan computes with these: plain float32 on CPU, not under a transformation of torch's.

    ``autocast`` says whether torch's may be on.
    """
    return (
        _native is not None
        and all(_is_plain(value) for value in tensors)
        and not torch.compiler.is_compiling()
        and (autocast or not torch.is_autocast_enabled("cpu"))
        # a mode that watches or rewrites torch's operations would not see the native one
        and _get_current_dispatch_mode() is None
        and not torch._C._is_tracing()
        and not transformed()
    )


def transformed() -> bool:
    """Whether vmap, jvp or their kin, or forward-mode derivatives are at work, which the reference alone can serve."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _is_plain(value: Tensor) -> bool:
    return type(value) in (Tensor, Parameter) and value.dtype is torch.float32 and value.device.type == "cpu"


def scan(track: Track, *, keep: bool) -> Scanned:
    """Run the scan, and ``keep`` its gates and cell states or not; differentiable any number of times.

    Raises:
        ShapeError: a weight's or a state's shape is not what the others say.
    """
    check_shapes(track.w, track.x.shape[2], track.h0.shape[1])
    if torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in _leaves(track)):
        options = (track.reverse, track.lengths, track.reset, keep)
        out, h_n, c_n, *kept = _Scan.apply(*options, *_leaves(track))  # type: ignore[no-untyped-call]
        gates, c = kept if keep else (None, None)
        return Scanned(out, h_n, c_n, gates, c)
    return _forward(track, keep=keep)


def _leaves(track: Track) -> tuple[Tensor | None, ...]:
    """What a gradient may be asked for."""
    return (track.x, track.h0, track.c0, *track.w[:4])


def _forward(track: Track, *, keep: bool) -> Scanned:
    (T, N, _), H = track.x.shape, track.w.hh.shape[1]
    xg = _project(track.x, track.w)
    out, h_n, c_n = _new(T, N, H), _new(N, H), _new(N, H)
    c = _new(T, N, H) if keep else None
    packed = _packed(track.w.hh, "pack_forward")
    h0, c0, lengths, reset = (_flat(value) for value in (track.h0, track.c0, track.lengths, track.reset))
    _native.forward(
        _isa,
        *_addresses(xg, packed, h0, c0, lengths, reset, out, c, h_n, c_n),
        *(T, N, H, H),
        track.reverse,
        keep,
        _threads(T, N, H),
    )
    return Scanned(out, h_n, c_n, xg if keep else None, c)


def _project(x: Tensor, w: Weights) -> Tensor:
    """The input's part of the pre-activations, both biases in it: ``[T, N, 4H]``."""
    T, N, C = x.shape
    rows, ih = x.reshape(T * N, C), w.ih.t()
    if w.b_ih is None or w.b_hh is None:
        return torch.mm(rows, ih).view(T, N, len(w.ih))
    return torch.addmm(w.b_ih + w.b_hh, rows, ih).view(T, N, len(w.ih))


def _packed(w_hh: Tensor, pack: str) -> Tensor:
    """W_hh in the layout of the scan.

    Packed anew at each call: a copy that is kept goes stale unseen when weights are written through ``.data``.
    """
    H = w_hh.shape[1]
    packed, source = _new(_native.packed_size(_isa, H)), _flat(w_hh)
    source_at, packed_at = _addresses(source, packed)
    getattr(_native, pack)(_isa, source_at, H, packed_at)
    return packed


def check_shapes(w: Weights, C: int, H: int) -> None:
    """Refuse weights of other sizes than the layer's: parameters can be replaced, and native code trusts them.

    Raises:
        ShapeError: which, and what was expected.
    """
    wanted = {"weight_ih": (4 * H, C), "weight_hh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}
    for (name, shape), value in zip(wanted.items(), w[:4], strict=True):
        if value is not None and value.shape != shape:
            raise ShapeError(f"a {name} has shape {list(value.shape)}, expected {list(shape)}: was it replaced?")


def _new(*shape: int) -> Tensor:
    # Whatever torch's default type and device are.
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _flat(value: Tensor | None) -> Tensor | None:
    """The same numbers, lying one after another as they are: torch may keep a tensor negated by a mark alone."""
    return None if value is None else value.resolve_neg().contiguous()


def _addresses(*tensors: Tensor | None) -> list[int]:
    """Where they lie in memory, 0 for those that are not there. The caller keeps them alive over the call.

    Raises:
        DtypeError: one is not as native code must find it, since hooks on saved tensors changed it.
    """
    for value in tensors:
        if value is not None and not (value.dtype in _NATIVE_TYPES and value.is_cpu and value.is_contiguous()):
            raise DtypeError(
                f"the native scan was handed a tensor of {value.dtype} on {value.device}, expected float32 on cpu: "
                "hooks on saved tensors must give back what they were given"
            )
    return [0 if value is None else value.data_ptr() for value in tensors]


def _lie_in_memory(tensors: Iterable[Tensor]) -> bool:
    try:
        return all(value.data_ptr() or not value.numel() for value in tensors)
    except RuntimeError:
        return False


def _threads(T: int, N: int, H: int) -> int:
    """Threads that are worth waking: rows are shared among them, and waking one costs some microseconds."""
    return torch.get_num_threads() if T * N * H * H > 2**17 else 1


class _Scan(torch.autograd.Function):
    """The scan with its derivative: backward natively; the derivative of that through the reference."""

    @staticmethod
    def forward(ctx: Any, reverse: bool, lengths: Tensor | None, reset: Tensor | None, keep: bool, *leaves: Any) -> Any:
        x, h0, c0, ih, hh, b_ih, b_hh = leaves
        track = Track(x, h0, c0, Weights(ih, hh, b_ih, b_hh, None), reverse, lengths, reset)
        done = _forward(track, keep=True)
        ctx.reverse, ctx.keep = reverse, keep
        ctx.save_for_backward(lengths, reset, *leaves, done.out, done.gates, done.c)
        return done if keep else done[:3]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        lengths, reset, x, h0, c0, ih, hh, b_ih, b_hh, out, gates, c = ctx.saved_tensors
        track = Track(x, h0, c0, Weights(ih, hh, b_ih, b_hh, None), ctx.reverse, lengths, reset)
        needed = ctx.needs_input_grad[4:]
        # create_graph=True, or many gradients at once, which come as tensors of vmap's that lie nowhere
        if torch.is_grad_enabled() or not (can(grads, autocast=True) and _lie_in_memory(grads)):
            with torch.enable_grad():
                found = _differentiable_gradients(track, grads, ctx.keep, needed)
        else:
            with torch.autocast("cpu", enabled=False):  # the types are those of the forward run
                found = _gradients(track, grads, Scanned(out, grads[1], grads[2], gates, c), needed)
        return (None, None, None, None, *found)


def _differentiable_gradients(
    track: Track, grads: Sequence[Tensor], keep: bool, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The same gradients as a graph: the scan once more through the reference, and its derivative by torch."""
    # A view of each, so that one which depends on another, or is the same tensor, is told apart from it.
    leaves = [None if leaf is None else leaf.view_as(leaf) for leaf in _leaves(track)]
    wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need and leaf is not None]
    x, h0, c0, *weights = leaves
    track = replace(track, x=x, h0=h0, c0=c0, w=Weights(*weights, None))  # type: ignore[arg-type, call-arg]
    T = len(track.x)
    live = None if track.lengths is None else live_steps(track.lengths, T)
    recorder = Watch((), frozenset((*GATES, "c")), frozenset(range(T)))
    outputs = reference.scan(
        track.x, track.h0, track.c0, track.w, reverse=track.reverse, live=live, reset=track.reset, observer=recorder
    )
    seen = {name: torch.stack([values[t] for t in range(T)]) for name, values in recorder.seen.items()}
    kept = (torch.cat([seen[gate] for gate in GATES], dim=-1), seen["c"]) if keep else ()
    found = iter(torch.autograd.grad((*outputs, *kept), wanted, grads, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]


def _gradients(track: Track, grads: Sequence[Tensor], done: Scanned, needed: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of x, h0, c0, W_ih, W_hh, b_ih, b_hh, in this order; None where not needed."""
    dg, dh0, dc0 = _backward(track, grads, done)
    T, N, G = dg.shape
    rows = dg.view(T * N, G)
    x, h0, c0, ih, hh, b_ih, b_hh = needed
    bias = rows.sum(0) if b_ih or b_hh else None
    return [
        torch.mm(rows, track.w.ih).view_as(track.x) if x else None,
        dh0 if h0 else None,
        dc0 if c0 else None,
        torch.mm(rows.t(), track.x.reshape(T * N, -1)) if ih else None,
        _recurrent_gradient(track, dg, done.out) if hh else None,
        bias if b_ih else None,
        bias.clone() if b_hh and bias is not None else None,
    ]


def _backward(track: Track, grads: Sequence[Tensor], done: Scanned) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the pre-activations ``[T, N, 4H]`` (zero past a row's end) and of the initial state."""
    T, N, H = done.out.shape
    dout, dh_n, dc_n, *more = (_flat(grad) for grad in grads)
    dgates, dc = more or (None, None)
    dg, dh0, dc0 = _new(T, N, 4 * H), _new(N, H), _new(N, H)
    packed = _packed(track.w.hh, "pack_backward")
    c0, lengths, reset = (_flat(value) for value in (track.c0, track.lengths, track.reset))
    gates, c = _flat(done.gates), _flat(done.c)
    _native.backward(
        _isa,
        *_addresses(dout, dh_n, dc_n, dgates, dc, gates, c, c0, packed, lengths, reset, dg, dh0, dc0),
        *(T, N, H, H),
        track.reverse,
        _threads(T, N, H),
    )
    return dg, dh0, dc0


def _recurrent_gradient(track: Track, dg: Tensor, out: Tensor) -> Tensor:
    """Gradient of W_hh: each step's dg times the hidden state that came into the step.

    That is the output of the step read before, which past an end is zero, as it should be; the initial state where a
    row is entered; and zero behind a border.
    """
    T, _, H = out.shape
    if track.reset is not None:
        dg = dg.masked_fill(_cuts(track)[..., None], 0)
    entry = _entries(track, dg)
    later, before = (dg[:-1], out[1:]) if track.reverse else (dg[1:], out[:-1])
    # Where nothing comes in (an empty row, a border), the initial state must not matter, not even a NaN.
    h0 = torch.where((entry != 0).any(dim=1, keepdim=True), track.h0, 0)
    gradient = torch.mm(entry.t(), h0)
    return gradient.addmm_(later.reshape(-1, 4 * H).t(), before.reshape(-1, H)) if T > 1 else gradient


def _entries(track: Track, dg: Tensor) -> Tensor:
    """``dg`` of the step at which each row is entered, ``[N, 4H]`` (zero for an empty row)."""
    if not track.reverse or track.lengths is None:
        return dg[-1 if track.reverse else 0]
    last = (track.lengths - 1).clamp_min(0)
    return dg[last, torch.arange(len(last), device=last.device)]


def _cuts(track: Track) -> Tensor:
    """Bool ``[T, N]``: steps into which no state comes."""
    assert track.reset is not None
    T = len(track.reset)
    cuts = track.reset
    if track.lengths is not None:
        cuts = cuts & live_steps(track.lengths, T)
    return torch.cat([cuts[1:], torch.zeros_like(cuts[:1])]) if track.reverse else cuts


class Stepper:
    """An LSTM packed for single steps: weights of all layers, input and recurrent side by side.

    It is a copy, of the weights as they were; who holds it sees to it that they still are.
    """

    def __init__(self, sizes: Sizes, weights: Sequence[Weights]) -> None:
        H, widths = sizes.hidden_size, [sizes.layer_input_size(layer) for layer in range(sizes.num_layers)]
        self._C, self._H, self._L = sizes.input_size, H, sizes.num_layers
        self._isa = _isa
        layers = [_new(_native.layer_size(_isa, K, H)) for K in widths]
        biases = [_new(_native.bias_size(_isa, H)) for _ in widths]
        for K, w, packed, bias in zip(widths, weights, layers, biases, strict=True):
            check_shapes(w, K, H)
            given = [_flat(value) for value in w[:4]]
            _native.pack_layer(_isa, *_addresses(*given), K, H, *_addresses(packed, bias))
        self._w, self._bias = torch.cat(layers), torch.cat(biases)
        self._at = (self._w.data_ptr(), self._bias.data_ptr())

    def run(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Read ``[T, N, C]``, write the states ``h`` and ``c [L, N, H]`` in place, give ``out [T, N, H]``."""
        T, N, _ = x.shape
        return self._steps(x, h, c, _new(T, N, self._H), T, N)

    def single(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor | None:
        """Read ``[N, C]`` or, where N is 1, ``[C]``; give ``[N, H]`` or ``[H]``, or None for anything else."""
        N = h.shape[1]
        shape = x.shape if type(x) is Tensor else None
        if shape != (N, self._C) and not (N == 1 and shape == (self._C,)):
            return None
        # The states' type is asked too: they may have been made before the weights were converted.
        if not (x.dtype is c.dtype is torch.float32 and x.is_cpu and c.is_cpu):
            return None
        out = _new(self._H) if len(shape) == 1 else _new(N, self._H)
        return self._steps(x, h, c, out, 1, N)

    def _steps(self, x: Tensor, h: Tensor, c: Tensor, out: Tensor, T: int, N: int) -> Tensor:
        given = x if x.is_contiguous() and not x.is_neg() else x.resolve_neg().contiguous()
        spare = _new(N, self._H)  # of its own: several streams, and threads, may share the packed weights
        addresses = (h.data_ptr(), c.data_ptr(), spare.data_ptr(), out.data_ptr())
        _native.steps(self._isa, given.data_ptr(), *self._at, *addresses, T, N, self._C, self._H, self._L)
        return out


def live_steps(lengths: Tensor, T: int) -> Tensor:
    """Bool ``[T, N]``: where rows have not ended."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths
