"""Runs the calls of a layer: on the fast path if possible, or on the general one; packs constant weights once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base import scoped
from hiddenstate.base.messages import readable_name, shorten
from hiddenstate.base.native_module import InForce, Switch
from hiddenstate.base.scalars import check_int
from hiddenstate.base.scoped import Block
from hiddenstate.base.torch_internals import break_graphs_at_padding, has_any_global_hook, is_plain
from hiddenstate.base.validation import check_memory
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import StepSpan, edits_in_force, resolve_edits
from hiddenstate.engine import dispatch, inputs, kernels
from hiddenstate.engine.call import Call, PathReport, wants_gradient
from hiddenstate.engine.inputs import Arguments, CallOptions, Form
from hiddenstate.engine.paths import fast, native_path
from hiddenstate.engine.paths.packed import PackedLSTM
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.packed_weights import packed_int8, shared_weights, weights_for_call
from hiddenstate.nn.recurrent_parameters import RecurrentParameters
from hiddenstate.tracing.record_spec import (
    Recording,
    TraceOptions,
    build_trace,
    check_wanted,
    make_record_spec,
    nbytes_of_all,
    prepare,
    record_nbytes,
    resolve_tokens,
    trace_of_all,
    union,
)
from hiddenstate.tracing.recorders import Requested, SingleCallRecorder, requested, requesting, would_be_requested
from hiddenstate.tracing.trace import Trace
from hiddenstate.tracing.traceable import refuse_keras

MANY_ROW_STEPS = 2**24  # smaller calls have no large initial states
# The original functions, kept to detect monkey-patching.
_MODULE_CALLS = nn.Module.__call__, nn.Module._call_impl
# Older versions of Dynamo trace pad_packed_sequence with fake tensors, which it cannot read.
_DYNAMO_FAILS_AT_PADDING = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)

Receiver = Callable[[dispatch.ComputedBy], None]


def options_of(lstm: RecurrentParameters) -> CallOptions:
    """Return the options of a layer that its calls use."""
    training = lstm.training
    return CallOptions(lstm.batch_first, lstm.dropout if training else 0.0, training, lstm.recompute_gates)


def run_fast(lstm: RecurrentParameters, x: object, hx: object, lengths: object) -> tuple[Tensor, Any] | None:
    """Run a call on the fast path; return None, without side effects, if it needs the general path."""
    options = options_of(lstm)
    if fast.why_not_plain(lstm.mode, options) is not None:
        return None
    result = _run_fast(lstm, (x, hx, lengths), options, False)
    if result is None or not options.batch_first or result[0].dim() == 2:
        return result
    return result[0].transpose(0, 1), result[1]


def _run_fast(lstm: RecurrentParameters, arguments: fast.Plain, options: CallOptions, record: bool) -> Any:
    run = fast.run_differentiable if torch.is_grad_enabled() else fast.run
    packed = _packed_weights(lstm)
    if lstm.weight_format == "int8" and (packed is None or wants_gradient([*lstm._buffers.values()])):
        return None
    sizes, names = lstm._parameter_names()
    if record and fast.records_wider(arguments[0], sizes.cell):
        return None
    return run(arguments, lstm._parameters, names, sizes, options, packed, record)


def _packed_weights(lstm: RecurrentParameters) -> PackedLSTM | None:
    """Return the packed weights that calls share, or None."""
    if lstm.weight_format == "int8":
        return packed_int8(lstm).stepper()
    return packed_in_block(lstm) if any_open else None


def run(
    lstm: RecurrentParameters, arguments: Arguments, options: CallOptions | None = None, receive: Receiver | None = None
) -> tuple[Tensor | PackedSequence, Any]:
    """Run a call on the general path; recorders get its record, and ``receive`` what computes it."""
    # Two things are not compiled: whatever is active in a block, because it would become part of the compiled code,
    # and padding, because its shape depends on values.
    uncompiled = torch.compiler.is_compiling() and (scoped.any_open or isinstance(arguments.input, PackedSequence))
    run = torch.compiler.disable(_run_uncompiled) if uncompiled else _run
    return run(lstm, arguments, options or options_of(lstm), receive)


def _run_uncompiled(
    lstm: RecurrentParameters, arguments: Arguments, options: CallOptions, receive: Receiver | None
) -> tuple[Tensor | PackedSequence, Any]:
    """Run a call uncompiled, inside a function that torch.compile otherwise compiles."""
    if _DYNAMO_FAILS_AT_PADDING and isinstance(arguments.input, PackedSequence):
        _break_at_padding()
    return _run(lstm, arguments, options, receive)


_break_at_padding = cache(break_graphs_at_padding)


def _run(
    lstm: RecurrentParameters, arguments: Arguments, options: CallOptions, receive: Receiver | None
) -> tuple[Tensor | PackedSequence, Any]:
    requests = requested(lstm)
    call, form, recordings = _read(lstm, arguments, options, requests)
    result = dispatch.run(call, receive)
    out, state = form.give_out(result.out), form.give_state(result.h_n, result.c_n)
    if call.record is not None:
        for request, recording in zip(requests, recordings, strict=True):
            request.recorder.receive(lstm, build_trace(recording, call.record, call, form, result, out, state))
    return out, state


def _read(
    lstm: RecurrentParameters, arguments: Arguments, options: CallOptions, requests: Sequence[Requested]
) -> tuple[Call, Form, list[Recording]]:
    """Check a call, its active edits and its requested recordings."""
    edits = edits_in_force(lstm)
    if requests:
        _refuse_large_records(lstm, arguments.input, options.batch_first, requests, edits)
    call, form = inputs.read(arguments, lstm.sizes, weights_for_call(lstm), options)
    recordings: list[Recording] = []
    if requests:
        itemsize = lstm._like().element_size()
        recordings = [prepare(request.asked, call, edits, itemsize, arguments.order) for request in requests]
        call.record = union([recording.record for recording in recordings])
    if edits:
        T, N = call.x.shape[:2]
        call.edits = resolve_edits(edits, lstm.sizes, StepSpan(T, N), call.x.device)
    return call, form, recordings


def _refuse_large_records(
    lstm: RecurrentParameters, x: object, batch_first: bool, requests: Sequence[Requested], edits: Sequence[Edit]
) -> None:
    """Reject records over their limit before the call is read, which allocates initial states for all rows."""
    if not isinstance(x, Tensor) or x.is_nested or x.dim() != 3 or x.shape[0] * x.shape[1] < MANY_ROW_STEPS:
        return
    T, N = x.shape[1::-1] if batch_first else x.shape[:2]
    for request in requests:
        check_wanted(request.asked, lstm.sizes, (T, N), edits, x.element_size())


def path_report(lstm: RecurrentParameters, arguments: Arguments) -> PathReport:
    """Report the path of a call, and the reasons against the faster ones."""
    options = options_of(lstm)
    call = _read(lstm, arguments, options, would_be_requested(lstm))[0]
    is_int8, packed = lstm.weight_format == "int8", _packed_weights(lstm)
    sizes, names = lstm._parameter_names()
    against = "reset= is given" if arguments.reset is not None else fast.why_not_plain(lstm.mode, options)
    if against is fast.OPEN_BLOCK and call.is_observed:
        against = dispatch.OBSERVED
    elif against is None and is_int8 and packed is None:
        against = native_path.NOT_PACKED
    elif against is None and is_int8 and wants_gradient([call.x, *call.initial, *lstm._buffers.values()]):
        against = native_path.DEQUANTISED
    elif against is None:
        against = fast.why_not(arguments[:3], lstm._parameters, names, sizes, options, packed)
    report = dispatch.path_report(call, against)
    return report if is_int8 or report.name not in ("fast", "native") else replace(report, plan=native_path.plan(call))


def trace(lstm: RecurrentParameters, arguments: Arguments, wanted: TraceOptions, own_forward: Any) -> Trace:
    """Run a call and record it; ``own_forward`` is the original ``forward``, used to detect a replacement."""
    everything = wanted.keep is None and wanted.steps is None and not wanted.pre
    # The record of a fast call has the form of an LSTM's.
    if everything and arguments.reset is None and arguments.reset_to is None and lstm.mode == "LSTM":
        trace = trace_fast(lstm, arguments, wanted, own_forward)
        if trace is not None:
            return trace
    recorder = SingleCallRecorder(lstm, wanted)
    named = {"lengths": arguments.lengths, "reset": arguments.reset}
    if arguments.reset_to is not None:  # a replaced forward may not accept it
        named["reset_to"] = arguments.reset_to
    with requesting(recorder):
        # An ordinary call, so that hooks (such as those of pruning or weight norm) run as usual.
        out, state = lstm(arguments.input, arguments.hx, **named)
    trace = recorder.trace
    assert trace is not None
    hooked = out is not trace.out or state is not trace.state
    return replace(trace, out=out, state=state) if hooked else trace


def trace_fast(lstm: RecurrentParameters, arguments: Arguments, wanted: TraceOptions, own_forward: Any) -> Trace | None:
    """Record all of a call on the fast path; return None, without side effects, if it needs `run`."""
    x, hx, lengths = arguments.input, arguments.hx, arguments.lengths  # older compilers can't trace a slice
    if type(x) is not Tensor or torch.compiler.is_compiling():
        return None
    options = options_of(lstm)
    if fast.why_not_plain(lstm.mode, options) is not None or not _is_called_plainly(lstm, own_forward):
        return None
    if not (lengths is None or isinstance(lengths, Tensor)) or x.dim() not in (2, 3):
        return None
    sizes = lstm.sizes
    if wanted.limit is not None and nbytes_of_all(sizes, x) > wanted.limit:
        return None
    words = None
    if wanted.tokens is not None:  # invalid tokens are rejected before anything is computed
        tensors = [x] if lengths is None else [x, lengths]
        if any(value.is_nested or value.layout is not torch.strided or not is_plain(value) for value in tensors):
            return None
        T, N = (len(x), 1) if x.dim() == 2 else x.shape[1::-1] if options.batch_first else x.shape[:2]
        if lengths is not None:
            if lengths.shape != (N,):
                return None
            check_memory(lengths, "lengths")
        words = resolve_tokens(wanted.tokens, T, N, lengths)
    result = _run_fast(lstm, (x, hx, lengths), options, True)
    return None if result is None else trace_of_all(sizes, options.batch_first, hx, lengths, words, *result)


def _is_called_plainly(lstm: RecurrentParameters, own_forward: Any) -> bool:
    """Whether calling this module just runs our own `forward`."""
    kind, forward = type(lstm), lstm.forward
    called = getattr(forward, "__self__", None), kind.__call__, kind._call_impl
    ours = getattr(forward, "__func__", None) is own_forward and called == (lstm, *_MODULE_CALLS)
    return ours and not (
        lstm._forward_pre_hooks
        or lstm._forward_hooks
        or lstm._backward_pre_hooks
        or lstm._backward_hooks
        or has_any_global_hook()
        or lstm._compiled_call_impl
    )


def trace_nbytes(lstm: RecurrentParameters, T: int, N: int, wanted: TraceOptions) -> int:
    """Return the size in bytes of the record of such a trace."""
    T, N = check_int("T", T), check_int("N", N)
    if T < 1 or N < 0:
        raise ArgumentError(f"T must be at least 1 and N at least 0, got T={shorten(T)} and N={shorten(N)}")
    record = make_record_spec(lstm.sizes, T, wanted.keep, wanted.steps, wanted.pre)
    nbytes = record_nbytes(lstm.sizes, record, edits_in_force(lstm), N, lstm._like().element_size())
    if nbytes >= 2**63:
        raise ArgumentError(
            f"a trace of T={shorten(T)} steps of N={shorten(N)} rows would take more than 2^63 bytes, more than any "
            "machine has: reduce T or N"
        )
    return nbytes


# The number of weights above which packing them takes longer than checking whether they changed.
WORTH_PACKING = 1 << 14
# Whether a block is open in any thread.
any_open = False
_opening = Switch(globals(), "any_open", True)


class _ConstantLayer:
    """The packed weights of an LSTM."""

    def __init__(self, lstm: RecurrentParameters) -> None:
        self.lstm = lstm  # keeps it alive, so that its id is not reused
        self.sizes = lstm.sizes
        self.packed = shared_weights(lstm)
        self.packed.check_again()
        self.is_worth_it = sum(value.numel() for value in lstm._stored().values() if value is not None) >= WORTH_PACKING


# The open blocks of all threads; LSTMs are stored by id, since a module class may define its own equality.
_blocks: "list[InForce[dict[int, _ConstantLayer]]]" = []


def constant_weights(module: nn.Module) -> Block:
    """Return a context manager in which calls of the `hiddenstate` layers in a module share packed weights.

    A call packs its weights into the engine's memory order, which takes as long as several steps of one row. In the
    block they are packed once, for plain calls without gradients, projection and ``reset=``, and for whole traces in
    float32 or float64 of such calls. All other calls run as usual, and so do layers with fewer than 16,384 weights, for
    which packing is cheaper than checking for changes. Results are identical, bit for bit.

    Weights that change within the block, through ``torch.optim``, ``load_state_dict``, ``copy_`` or a new parameter,
    are repacked. After a write that torch's version counters miss, such as one through ``.data`` or a NumPy array, call
    `hiddenstate.repack`. Blocks may be nested, and affect all threads.

    Args:
        module: a layer, or a module with layers inside.

    Raises:
        ArgumentTypeError: the argument is not a module.
        ArgumentError: there is no `hiddenstate.LSTM`, `GRU` or `RNN` in it.

    >>> import hiddenstate as hs, torch
    >>> lstm = hs.LSTM(4, 3).eval()
    >>> with torch.no_grad(), hs.constant_weights(lstm):
    ...     outs = [lstm(torch.zeros(5, 1, 4))[0] for _ in range(3)]
    >>> len(outs)
    3
    """
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"constant_weights takes a torch.nn.Module, got {type(module).__name__}")
    layers = [part for part in module.modules() if isinstance(part, RecurrentParameters)]
    if not layers:
        refuse_keras(module)
        kinds = sorted({readable_name(type(part)) for part in module.modules()})
        raise ArgumentError(
            f"there is no hiddenstate.LSTM, GRU or RNN in the module, which has {shorten(kinds)}: "
            "hiddenstate.convert(model) replaces torch's"
        )
    layers_by_id = {id(layer): _ConstantLayer(layer) for layer in layers if layer.mode in kernels.CELLS}  # may raise
    return Block(_blocks, (layers_by_id,), (_opening,))


def packed_in_block(lstm: RecurrentParameters) -> PackedLSTM | None:
    """Return the current packed weights of an LSTM in a block, or None outside of one."""
    for block in [*_blocks]:  # a copy: other threads may open and close blocks
        for layers_by_id in block.entries:
            layer = layers_by_id.get(id(lstm))
            # Assigning a size replaces the sizes.
            if layer is not None and layer.is_worth_it and layer.sizes is lstm.sizes:
                return layer.packed.stepper()
    return None
