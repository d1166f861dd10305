"""Which recorders receive a call: the innermost trace of a single call, and every other recorder."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.tracing.record_spec import TraceOptions
from hiddenstate.tracing.recorders import SingleCallRecorder, requested, requesting
from hiddenstate.tracing.trace import Trace
from support import assert_close

EVERYTHING = TraceOptions(None, None, False, None, None)


@dataclass
class Everything:
    """Requests the same record of every call of every module."""

    asked: TraceOptions
    heard: list[Trace] = field(default_factory=list)

    def asks(self, module: nn.Module) -> TraceOptions:
        return self.asked

    def receive(self, module: nn.Module, trace: Trace) -> None:
        self.heard.append(trace)


def test_nothing_is_asked_outside_a_block() -> None:
    lstm = hs.LSTM(4, 3)
    assert not requested(lstm)
    with requesting(SingleCallRecorder(lstm, EVERYTHING)):
        assert not requested(hs.LSTM(4, 3))
        assert len(requested(lstm)) == 1
        assert not requested(lstm)  # its one call has begun
    assert not requested(lstm)


def test_requests_for_one_call_get_each_what_it_asks() -> None:
    lstm, x = hs.LSTM(4, 3, 2, bidirectional=True), torch.randn(5, 2, 4)
    few, other = (
        Everything(TraceOptions(["l1.f", "l0r.c"], [0, 2], False, None, None)),
        Everything(TraceOptions(["l0.i", "l1.f"], slice(1, 4), True, [list("abcde")] * 2, None)),
    )
    with requesting(few), requesting(other), lstm.edit(hs.zero("l1.f", scope="readout"), hs.zero("l0.o", t=1)):
        trace = lstm.trace(x, steps=[-1], keep=["l1.f"])
        alone = lstm.trace(x, pre=True)
    for request, names in ((few, ("l1.f", "l0r.c")), (other, ("l0.i", "l1.f", "l0.i_pre", "l1.f_pre"))):
        assert len(request.heard) == 2
        for heard in request.heard:
            assert heard.names == names
            for name in names:
                assert_close(heard[name], alone[name][list(heard.steps)])
    assert (few.heard[0].steps, other.heard[0].steps, trace.steps) == ((0, 2), (1, 2, 3), (4,))
    assert (few.heard[0].words(), other.heard[0].words()) == (None, tuple("abcde"))
    assert set(few.heard[0].carried) == {"l1"}
    assert_close(few.heard[0].carried["l1"], alone.carried["l1"][[0, 2]])
    assert few.heard[0].nbytes == lstm_bytes(lstm, few.asked)


def lstm_bytes(lstm: hs.LSTM, asked: TraceOptions) -> int:
    with lstm.edit(hs.zero("l1.f", scope="readout")):
        return lstm.trace_nbytes(5, 2, keep=asked.keep, steps=asked.steps)


def test_a_trace_made_before_anothers_call_begins_takes_nothing_from_it() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    inner: list[Trace] = []

    def before(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if not inner and len(inputs[0]) == 5:
            inner.append(lstm.trace(inputs[0][:2]))

    lstm.register_forward_pre_hook(before)
    trace = lstm.trace(x)
    assert (trace.length, inner[0].length) == (5, 2)


def test_what_is_asked_of_a_call_that_it_cannot_give_fails() -> None:
    lstm = hs.LSTM(4, 3)
    request = Everything(TraceOptions(None, 7, False, None, None, name="'encoder'"))
    with requesting(request), pytest.raises(hs.errors.IndexRangeError, match="^'encoder': steps=7 is out of range"):
        lstm(torch.randn(5, 2, 4))
    assert request.heard == []
