"""The whole LSTM over a sequence: layers, directions, dropout between layers, and which path computes them.

Three paths give the same numbers. On CPU the native engine computes, whatever is recorded or edited. Elsewhere a call
in which nothing is recorded, edited or reset goes to torch's own kernels where they have one. All else goes to
`reference`: readout edits, recorded pre-activations, torch's transformations.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hiddenstate import custom_op, engine, held, layers, native, reference
from hiddenstate.binding import BoundEdit
from hiddenstate.errors import ArgumentError
from hiddenstate.held import Held, holding
from hiddenstate.layers import Layers
from hiddenstate.names import GATES, PRE_ACTIVATIONS, QUANTITIES, Place
from hiddenstate.names import track as track_name
from hiddenstate.observe import Wanted, watch
from hiddenstate.reference import Weights
from hiddenstate.sizes import Sizes

Backend = Literal["auto", "reference"]
chosen_backends: Held[Backend] = ContextVar("hiddenstate_backends", default=())


@contextmanager
def backend(name: Backend) -> Iterator[None]:
    """Choose, for a block, the path that computes: ``"auto"`` (the fastest that can) or ``"reference"``.

    The choice holds in the thread (or asyncio task) that opens the block; of nested blocks the inner one rules.

    Raises:
        ArgumentError: unknown name.
    """
    if name not in ("auto", "reference"):
        raise ArgumentError(f"unknown backend {name!r}: expected 'auto' or 'reference'")
    with holding(chosen_backends, (name,)):
        yield


def uses_reference() -> bool:
    """Whether the reference path was asked for."""
    chosen = chosen_backends.get() if held.anything else ()
    return bool(chosen) and chosen[-1] == "reference"


@dataclass(frozen=True, eq=False)
class Job:
    """One call, in canonical form: time first, batched, every shape checked.

    ``x [T, N, C]``, ``h0 [L*D, N, P]``, ``c0 [L*D, N, H]``, ``lengths [N]`` and ``reset [T, N]`` or None. ``dropout``
    is the probability that holds in this call: zero outside training. Outside ``training`` little is kept for a
    gradient, which then costs a second run when it is asked for.
    """

    sizes: Sizes
    weights: Sequence[Weights]  # in the order of Sizes.tracks
    x: Tensor
    h0: Tensor
    c0: Tensor
    dropout: float = 0.0
    training: bool = False
    lengths: Tensor | None = None
    reset: Tensor | None = None
    edits: Sequence[BoundEdit] = ()
    wanted: Wanted | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What a call gives: ``out [T, N, D*P]``, ``h_n``, ``c_n``, and what was recorded.

    ``values`` maps a place, and ``carried`` a track, to ``[steps, N, units]``.
    """

    out: Tensor
    h_n: Tensor
    c_n: Tensor
    values: Mapping[str, Tensor] = field(default_factory=dict)
    carried: Mapping[str, Tensor] = field(default_factory=dict)


def run(job: Job) -> Result:
    """Compute a job by the fastest path that can."""
    if (torch.compiler.is_compiling() or torch._C._is_tracing()) and _exports_to_onnx():
        from hiddenstate.interop import onnx_symbols

        return onnx_symbols.run(job)
    asks = job.edits or job.wanted is not None or uses_reference()
    if torch.compiler.is_compiling() and not asks and not engine.transformed():
        return _run_compiled(job)
    return _run_plain(job)


def _run_plain(job: Job) -> Result:
    """As a call that is not compiled."""
    if uses_reference():
        return _run_by_track(job, natively=False)
    if _native_can(job):
        return _run_natively(job)
    if _autocasts(job):
        with torch.autocast("cpu", enabled=False):
            return _uncast(_run_natively(_cast(job)), job)
    if not _torch_can(job):
        return _run_by_track(job, natively=False)
    return _run_torch_packed(job) if job.lengths is not None else _run_torch(job)


def _exports_to_onnx() -> bool:
    # Asked through a function of our own, since Dynamo takes torch's for False, and torch.onnx.export tries Dynamo too.
    return torch.onnx.is_in_onnx_export()


# What torch.compiler.assume_constant_result does, which would import all of Dynamo, a second's work, with this module.
_exports_to_onnx._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _run_compiled(job: Job) -> Result:
    """The operator, where it can; else a break in the graph: below torch.lstm nothing compiles with gradients."""
    casts = _asks_for_bfloat16(job)
    cast = _cast(job) if casts else job
    if not _operator_can(cast) or (torch.is_autocast_enabled("cpu") and not casts):
        # torch.export knows no breaks, and needs none.
        breaks = torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()
        return torch.compiler.disable(run)(job) if breaks else _run_plain(job)
    if not casts:
        return Result(*custom_op.run(_layers(job)))
    with torch.autocast("cpu", enabled=False):
        return _uncast(Result(*custom_op.run(_layers(cast))), job)


def _operator_can(job: Job) -> bool:
    lacks_bias = any(weights.b_ih is None or weights.b_hh is None for weights in job.weights)
    alike = all(value.device.type == "cpu" and value.dtype is job.x.dtype for value in _tensors(job))
    return alike and native.serves(job.x.dtype) and not (job.sizes.bias and lacks_bias)


def _layers(job: Job) -> Layers:
    noise = _noise(job)
    return Layers(job.sizes, job.weights, job.x, job.h0, job.c0, job.lengths, job.reset, noise, keeps=job.training)


def _run_natively(job: Job) -> Result:
    if job.edits or job.wanted is not None:
        return _run_by_track(job, natively=True)
    return Result(*layers.run(_layers(job)))


def _autocasts(job: Job) -> bool:
    """Whether torch.autocast asks for bfloat16, which the native engine serves."""
    return _asks_for_bfloat16(job) and all(engine.can((value,), autocast=True) for value in _tensors(job))


def _asks_for_bfloat16(job: Job) -> bool:
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") is not torch.bfloat16:
        return False
    return all(value.dtype in (torch.float32, torch.bfloat16) for value in _tensors(job))


def _cast(job: Job) -> Job:
    """The job in bfloat16; what autocast would do before each product."""
    weights = [Weights(*[None if w is None else w.bfloat16() for w in track]) for track in job.weights]  # type: ignore[arg-type]
    return replace(job, x=job.x.bfloat16(), h0=job.h0.bfloat16(), c0=job.c0.bfloat16(), weights=weights)


def _uncast(done: Result, job: Job) -> Result:
    """As torch does, which computes a projected layer step by step and casts nothing but the products there."""
    return replace(done, c_n=done.c_n.to(job.c0.dtype)) if job.sizes.proj_size else done


def _native_can(job: Job) -> bool:
    fits = job.c0.dtype in (job.x.dtype, native.real_type(job.x.dtype)) and engine.is_plain(job.c0)
    return fits and engine.can((job.x, job.h0, *_flat(job)))


def _torch_can(job: Job) -> bool:
    plain = job.reset is None and not job.edits and job.wanted is None
    serves = torch_serves(job.x.device.type, projects=job.sizes.proj_size > 0, drops=job.dropout > 0)
    return plain and serves and not engine.transformed() and _can_pack(job.lengths)


def torch_serves(device: str, *, projects: bool, drops: bool) -> bool:
    """Whether torch's layer has a kernel for a kind of device, and a right one."""
    # On CPU it has none for projections: it warns, and loops over the steps as the reference does. On MPS it refuses
    # them, and its gradient is that of a run without the dropout (pytorch#190056).
    return not (projects and device in ("cpu", "mps")) and not (drops and device == "mps")


def _can_pack(lengths: Tensor | None) -> bool:
    """Whether every row is known to have a step, which in a packed sequence of torch's it must."""
    return lengths is None or (not lengths.is_meta and len(lengths) > 0 and int(lengths.min()) > 0)


def _run_torch(job: Job) -> Result:
    state = job.h0.contiguous(), job.c0.contiguous()  # cuDNN refuses others
    out, h_n, c_n = torch.lstm(job.x, state, _flat(job), *_options(job), False)
    return Result(out, h_n, c_n)


def _run_torch_packed(job: Job) -> Result:
    """Ragged rows as torch knows them: sorted and packed, and back."""
    assert job.lengths is not None
    packed = pack_padded_sequence(job.x, job.lengths.cpu(), enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert back is not None
    state = job.h0.index_select(1, order), job.c0.index_select(1, order)
    data, h_n, c_n = torch.lstm(packed.data, packed.batch_sizes, state, _flat(job), *_options(job))
    out, _ = pad_packed_sequence(PackedSequence(data, *packed[1:]), total_length=len(job.x))
    return Result(out, h_n.index_select(1, back), c_n.index_select(1, back))


def _flat(job: Job) -> list[Tensor]:
    return [w for weights in job.weights for w in weights if w is not None]


def _tensors(job: Job) -> list[Tensor]:
    return [job.x, job.h0, job.c0, *_flat(job)]


def _options(job: Job) -> tuple[bool, int, float, bool, bool]:
    """What torch.lstm takes in this order: has_biases, num_layers, dropout, train, bidirectional."""
    # cuDNN keeps what its backward needs only when told that it trains, and gradients are as welcome in eval mode:
    # dropout, the other thing that this switches, is already zero there.
    train = job.dropout > 0 or (job.x.is_cuda and torch.is_grad_enabled())
    return job.sizes.bias, job.sizes.num_layers, job.dropout, train, job.sizes.bidirectional


def _run_by_track(job: Job, *, natively: bool) -> Result:
    live = _live(job)
    out, tracks = layers.through(job.sizes, job.x, _noise(job), lambda k, x: _run_track(job, k, x, live, natively))
    h_n, c_n = _stacked([t.h for t in tracks]), _stacked([t.c for t in tracks])
    values = {name: value for t in tracks for name, value in t.values.items()}
    carried = {name: value for t in tracks for name, value in t.carried.items()}
    return Result(out, h_n, c_n, values, carried)


def _live(job: Job) -> Tensor | None:
    return None if job.lengths is None else engine.live_steps(job.lengths, len(job.x))


def _noise(job: Job) -> list[Tensor]:
    """What dropout multiplies the output ``[T, N, D*P]`` of each layer but the last with; nothing without dropout.

    The random draws are torch's, layer after layer; for ragged rows, those that it makes for a packed sequence (unless
    compiled: a compiler draws in ways of its own).
    """
    sizes, above = job.sizes, range(job.sizes.num_layers - 1)
    if not job.dropout or not above:
        return []
    ones = job.x.new_ones(*job.x.shape[:2], sizes.directions * sizes.output_size)
    live = None if torch.compiler.is_compiling() else _live(job)
    if live is None:
        return [dropout(ones, job.dropout) for _ in above]
    order = live.sum(0).sort(descending=True).indices
    packed = ones[live[:, order]]
    noise = []
    for _ in above:
        mask = torch.zeros_like(ones)
        mask[live[:, order]] = dropout(packed, job.dropout)
        noise.append(mask[:, order.argsort()])
    return noise


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """The parts along a new first axis; of a single one, a view, which is cheaper than a copy of it."""
    return torch.stack(list(parts)) if len(parts) > 1 else parts[0].unsqueeze(0)


class _Track(NamedTuple):
    """What one layer and direction gives: ``out [T, N, P]``, ``h [N, P]``, ``c [N, H]``, and its recorded values."""

    out: Tensor
    h: Tensor
    c: Tensor
    values: Mapping[str, Tensor]
    carried: Mapping[str, Tensor]


def _run_track(job: Job, k: int, x: Tensor, live: Tensor | None, natively: bool) -> _Track:
    layer, reverse = job.sizes.tracks[k]
    observer = watch(layer, reverse, job.edits, job.wanted)
    edits = observer.edits if observer else ()
    if natively and all(engine.can_edit(edit) for edit in edits):
        track = engine.Track(
            x, job.h0[k], job.c0[k], job.weights[k], reverse, job.lengths, job.reset, edits, lazy=not job.training
        )
        if observer is None or not observer.quantities:
            return _Track(*engine.scan(track, keep=False)[:3], {}, {})
        if job.wanted and not observer.quantities & set(PRE_ACTIVATIONS):
            return _record(track, layer, job.wanted)
    c0 = job.c0[k].to(x.dtype)
    out, h, c = reference.scan(
        x, job.h0[k], c0, job.weights[k], reverse=reverse, live=live, reset=job.reset, observer=observer
    )
    if observer is None or job.wanted is None:
        return _Track(out, h, c, {}, {})
    steps = job.wanted.steps
    seen = {q: _stack(observer.seen[q], steps, live) for q in QUANTITIES + PRE_ACTIVATIONS if q in observer.seen}
    values = {str(Place(layer, reverse, q)): v for q, v in seen.items()}
    handed_on = observer.handed_on
    carried = {track_name(layer, reverse): _stack(handed_on, steps, live)} if handed_on else {}
    return _Track(out, h, c, values, carried)


def _record(track: engine.Track, layer: int, wanted: Wanted) -> _Track:
    """Run natively and pick what is wanted of the gates and states that the scan kept."""
    done = engine.scan(track, keep=True)
    assert done.gates is not None
    assert done.c is not None
    every = dict(zip(GATES, done.gates.chunk(len(GATES), dim=-1), strict=True)) | {"c": done.c, "h": done.out}
    mine = [place.quantity for place in wanted.places if (place.layer, place.reverse) == (layer, track.reverse)]
    # Copies of what shares memory: of h, which with one direction is the output, so that neither changes with the
    # other; of gates, where not all four are wanted, so that those that are not are let go.
    shares = {"h"} if set(GATES) <= set(mine) else {"h", *GATES}
    steps = None if len(wanted.steps) == len(track.x) else list(wanted.steps)
    values = {}
    for quantity in mine:
        value = every[quantity] if steps is None else every[quantity][steps]
        values[str(Place(layer, track.reverse, quantity))] = (
            value.clone() if steps is None and quantity in shares else value
        )
    return _Track(done.out, done.h_n, done.c_n, values, {})


def _stack(by_step: Mapping[int, Tensor], steps: Sequence[int], live: Tensor | None) -> Tensor:
    """Values that were recorded step by step, as ``[steps, N, units]``; zero past a row's end."""
    values = torch.stack([by_step[t] for t in steps])
    return values if live is None else torch.where(live[list(steps), :, None], values, 0)
