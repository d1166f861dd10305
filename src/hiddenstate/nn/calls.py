"""Runs the calls of a layer: on the fast path if possible, otherwise on the general one; traced if requested."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _hooks
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hiddenstate.base import scoped
from hiddenstate.base.messages import shorten
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import check_memory
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import Span, edits_in_force, resolve_edits
from hiddenstate.engine import dispatch, inputs
from hiddenstate.engine.call import Call
from hiddenstate.engine.inputs import Arguments, Form
from hiddenstate.engine.interception import is_plain
from hiddenstate.engine.paths import fast, int8_path, native_path
from hiddenstate.engine.paths.packed import PackedLSTM
from hiddenstate.engine.paths.path import PathReport
from hiddenstate.errors import ArgumentError
from hiddenstate.nn import constant_weights
from hiddenstate.nn.packed_weights import packed_int8, weights_for_call
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

MANY_ROW_STEPS = 2**24  # smaller calls have no large initial states
# The original functions, kept to detect monkey-patching.
_MODULE_CALLS = nn.Module.__call__, nn.Module._call_impl
# Older versions of Dynamo trace pad_packed_sequence with fake tensors, which it cannot read.
_DYNAMO_FAILS_AT_PADDING = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)


def run_fast(lstm: RecurrentParameters, x: object, hx: object, lengths: object) -> tuple[Tensor, Any] | None:
    """Run a call on the fast path; return None, without side effects, if it needs the general path."""
    if _why_not_plain(lstm) is not None:
        return None
    done = _run_fast(lstm, (x, hx, lengths), record=False)
    if done is None or not lstm.batch_first or done[0].dim() == 2:
        return done  # type: ignore[no-any-return]
    return done[0].transpose(0, 1), done[1]


def _run_fast(lstm: RecurrentParameters, given: tuple[Any, Any, Any], *, record: bool) -> Any:
    run = fast.run_differentiable if torch.is_grad_enabled() else fast.run
    packed = _packed_weights(lstm)
    if lstm.weight_format == "int8" and int8_path.why_not_fast(packed, [*lstm._buffers.values()]) is not None:
        return None
    options = fast.Options(lstm.batch_first, lstm.training, record, packed)
    sizes, names = lstm._parameter_names()
    return run(given, lstm._parameters, names, sizes, options)


def _packed_weights(lstm: RecurrentParameters) -> PackedLSTM | None:
    """Return the packed weights that calls share, or None."""
    if lstm.weight_format == "int8":
        return packed_int8(lstm).stepper()
    return constant_weights.packed_in_block(lstm) if constant_weights.any_open else None


def _why_not_plain(lstm: RecurrentParameters) -> str | None:
    dropout = lstm.dropout if lstm.training else 0.0
    return fast.why_not_plain(lstm.mode, dropout, lstm.recompute_gates)


Receiver = Callable[[dispatch.ComputedBy], None]


class Options(NamedTuple):
    """The options of an LSTM that a call uses."""

    batch_first: bool
    dropout: float
    training: bool


def run(
    lstm: RecurrentParameters, given: Arguments, options: Options | None = None, receive: Receiver | None = None
) -> tuple[Tensor | PackedSequence, Any]:
    """Run a call on the general path and pass its record to the active recorders.

    Args:
        lstm: the layer.
        given: the arguments.
        options: the layer's, by default those of the module.
        receive: called with what computes the call.

    Raises:
        RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError, IndexRangeError: an argument
            does not fit.
    """
    # Two things are not compiled: whatever is in force in a block, because it would become part of the compiled code,
    # and padding, because its shape depends on values.
    uncompiled = torch.compiler.is_compiling() and (scoped.any_open or isinstance(given.input, PackedSequence))
    return (torch.compiler.disable(_run_uncompiled) if uncompiled else _run)(lstm, given, options, receive)


def _run_uncompiled(
    lstm: RecurrentParameters, given: Arguments, options: Options | None, receive: Receiver | None
) -> tuple[Tensor | PackedSequence, Any]:
    """Run a call uncompiled, inside a function that torch.compile otherwise compiles."""
    if _DYNAMO_FAILS_AT_PADDING and isinstance(given.input, PackedSequence):
        _break_at_padding()
    return _run(lstm, given, options, receive)


@cache
def _break_at_padding() -> None:
    """Break compiled graphs at pad_packed_sequence, which often follows an LSTM, as newer versions of torch do."""
    rules, variables = torch._dynamo.trace_rules, torch._dynamo.variables
    rules.get_torch_obj_rule_map()[pad_packed_sequence] = variables.SkipFunctionVariable


def _run(
    lstm: RecurrentParameters, given: Arguments, options: Options | None, receive: Receiver | None
) -> tuple[Tensor | PackedSequence, Any]:
    requests = requested(lstm)
    call, form, recordings = _read(lstm, given, options, requests)
    result = dispatch.run(call, receive)
    out, state = form.give_out(result.out), form.give_state(result.h_n, result.c_n)
    if call.record is not None:
        for request, recording in zip(requests, recordings, strict=True):
            request.recorder.receive(lstm, build_trace(recording, call.record, call, form, result, out, state))
    return out, state


def _read(
    lstm: RecurrentParameters, given: Arguments, options: Options | None, requests: Sequence[Requested]
) -> tuple[Call, Form, list[Recording]]:
    """Check a call, its edits in force and its requested recordings."""
    edits = edits_in_force(lstm)
    options = options or Options(lstm.batch_first, lstm.dropout, lstm.training)
    if requests:
        _refuse_large_records(lstm, given.input, options.batch_first, requests, edits)
    weights = weights_for_call(lstm)
    call, form = inputs.read(
        *(given, lstm.sizes, weights),
        batch_first=options.batch_first,
        dropout=options.dropout if options.training else 0.0,
        training=options.training,
        recompute_gates=lstm.recompute_gates,
    )
    if not edits and not requests:
        return call, form, []
    itemsize = lstm._like().element_size()
    recordings = [prepare(request.asked, call, edits, itemsize) for request in requests]
    bound = resolve_edits(edits, lstm.sizes, call.x, Span(len(call.x))) if edits else ()
    return replace(call, edits=bound, record=union([one.record for one in recordings])), form, recordings


def _refuse_large_records(
    lstm: RecurrentParameters, x: object, batch_first: bool, requests: Sequence[Requested], edits: Sequence[Edit]
) -> None:
    """Reject records over their limit before the call is read, which allocates initial states for all rows."""
    if not isinstance(x, Tensor) or x.is_nested or x.dim() != 3 or x.shape[0] * x.shape[1] < MANY_ROW_STEPS:
        return
    T, N = x.shape[1::-1] if batch_first else x.shape[:2]
    for request in requests:
        check_wanted(request.asked, lstm.sizes, (T, N), edits, x.element_size())


def path_report(lstm: RecurrentParameters, given: Arguments) -> PathReport:
    """Report the path of a call, and the reasons against the faster ones.

    Raises:
        RankError, ShapeError, DtypeError, DeviceError, ArgumentError, ArgumentTypeError, IndexRangeError: an argument
            does not fit.
    """
    call = _read(lstm, given, None, would_be_requested(lstm))[0]
    report = dispatch.path_report(call, _why_not_fast(lstm, given, call))
    if report.name not in ("fast", "native") or lstm.weight_format == "int8":
        return report
    return replace(report, plan=native_path.plan(call))


def _why_not_fast(lstm: RecurrentParameters, given: Arguments, call: Call) -> str | None:
    """Return why `run_fast` would not compute a call, or None."""
    if given.reset is not None:
        return "reset= is given"
    why = _why_not_plain(lstm)
    if why is fast.OPEN_BLOCK and (call.edits or call.record is not None):
        return dispatch.OBSERVED
    packed = _packed_weights(lstm)
    if why is None and lstm.weight_format == "int8":
        why = int8_path.why_not_fast(packed, [call.x, *call.initial, *lstm._buffers.values()])
    if why is not None:
        return why
    options = fast.Options(lstm.batch_first, lstm.training, False, packed)
    sizes, names = lstm._parameter_names()
    return fast.why_not(given[:3], lstm._parameters, names, sizes, options)


def trace(lstm: RecurrentParameters, given: Arguments, options: TraceOptions, own_forward: Any) -> Trace:
    """Run a call and record it; ``own_forward`` is the original ``forward``, used to detect a replacement.

    Raises:
        TraceTooLargeError, NameUnknownError: the requested trace is not possible; also the errors of `run`.
    """
    everything = options.keep is None and options.steps is None and not options.pre
    # The record of a fast call has the form of an LSTM's.
    if everything and given.reset is None and given.reset_to is None and lstm.mode == "LSTM":
        found = trace_fast(lstm, given, options, own_forward)
        if found is not None:
            return found
    recorder = SingleCallRecorder(lstm, options)
    with requesting(recorder):
        # An ordinary call, so that hooks (such as those of pruning or weight norm) run as usual.
        out, state = lstm(given.input, given.hx, **_named(given))
    found = recorder.trace
    assert found is not None
    hooked = out is not found.out or state is not found.state
    return replace(found, out=out, state=state) if hooked else found


def _named(given: Arguments) -> dict[str, Any]:
    """Return the keyword arguments; ``reset_to`` only if set, because a replaced forward may not accept it."""
    options = {"lengths": given.lengths, "reset": given.reset}
    return options if given.reset_to is None else {**options, "reset_to": given.reset_to}


def trace_fast(lstm: RecurrentParameters, given: Arguments, options: TraceOptions, own_forward: Any) -> Trace | None:
    """Record all of a call on the fast path; return None, without side effects, if it needs `run`."""
    x, hx, lengths = given.input, given.hx, given.lengths  # older versions of the compiler can't trace a slice
    compiling = torch.compiler.is_compiling()
    if type(x) is not Tensor or compiling or _why_not_plain(lstm) or not _is_called_plainly(lstm, own_forward):
        return None
    if not (lengths is None or isinstance(lengths, Tensor)) or x.dim() not in (2, 3):
        return None
    sizes = lstm.sizes
    if options.limit is not None and nbytes_of_all(sizes, x) > options.limit:
        return None
    words = None
    if options.tokens is not None:  # invalid tokens are rejected before anything is computed
        given_tensors = [x] if lengths is None else [x, lengths]
        if any(value.is_nested or value.layout is not torch.strided or not is_plain(value) for value in given_tensors):
            return None
        T, N = (len(x), 1) if x.dim() == 2 else x.shape[1::-1] if lstm.batch_first else x.shape[:2]
        if lengths is not None:
            if lengths.shape != (N,):
                return None
            check_memory(lengths, "lengths")
        words = resolve_tokens(options.tokens, T, N, lengths)
    done = _run_fast(lstm, (x, hx, lengths), record=True)
    return None if done is None else trace_of_all(sizes, lstm.batch_first, hx, lengths, words, *done)


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
        or _hooks._has_any_global_hook()
        or lstm._compiled_call_impl
    )


def trace_nbytes(lstm: RecurrentParameters, T: int, N: int, options: TraceOptions) -> int:
    """Return the size in bytes of the record of such a trace.

    Raises:
        NameUnknownError, ArgumentError, ArgumentTypeError, IndexRangeError: an argument does not fit.
    """
    T, N = check_int("T", T), check_int("N", N)
    if T < 1 or N < 0:
        raise ArgumentError(f"T must be at least 1 and N at least 0, got T={shorten(T)} and N={shorten(N)}")
    record = make_record_spec(lstm.sizes, T, options.keep, options.steps, options.pre)
    nbytes = record_nbytes(lstm.sizes, record, edits_in_force(lstm), N, lstm._like().element_size())
    if nbytes >= 2**63:
        raise ArgumentError(
            f"a trace of T={shorten(T)} steps of N={shorten(N)} rows would take more than 2^63 bytes, more than any "
            "machine has: reduce T or N"
        )
    return nbytes
