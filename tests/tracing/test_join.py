"""Joined traces of consecutive calls equal the trace of the whole sequence."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, IndexRangeError, ShapeError
from hiddenstate.tracing.model_recorder import chained, goes_on, joined, narrowed
from support import assert_all_close, assert_close, gradients, random_input, random_state


def pieces(lstm: hs.LSTM, x: torch.Tensor, state: Any, sizes: list[int], **given: Any) -> list[hs.Trace]:
    """Traces of a sequence read piece by piece, carrying the state."""
    traces = []
    for piece in x.split(sizes, dim=1 if lstm.batch_first and x.dim() == 3 else 0):
        traces.append(lstm.trace(piece, state, **given))
        state = traces[-1].state
    return traces


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.integers(1, 2),
    st.sampled_from(["TN", "NT", "T"]),
    st.booleans(),
    st.integers(0, 1),
)
def test_pieces_joined_are_the_whole(sizes: list[int], layers: int, layout: str, pre: bool, proj_size: int) -> None:
    lstm = hs.LSTM(4, 3, layers, batch_first=layout == "NT", proj_size=proj_size, dtype=torch.float64)
    x, state = random_input(lstm, sum(sizes), 2), random_state(lstm, 2, grad=True)
    if layout == "T":
        x, state = x[:, 0], (state[0][:, 0], state[1][:, 0])
    whole = lstm.trace(x, state, pre=pre)
    (got,) = chained(pieces(lstm, x, state, sizes, pre=pre))
    assert (got.names, got.steps, got.length, got.layout) == (whole.names, whole.steps, whole.length, layout)
    assert isinstance(got.out, torch.Tensor)
    assert isinstance(whole.out, torch.Tensor)
    everything = [(trace.out, *trace.state, *trace.initial, *trace.values.values()) for trace in (got, whole)]
    assert_all_close(*everything)  # type: ignore[arg-type]
    leaves = [*state, *lstm.parameters()]
    assert_all_close(*(gradients(values, leaves) for values in everything))  # type: ignore[arg-type]
    assert_close(got.cell_before(layer=layers - 1), whole.cell_before(layer=layers - 1))


def test_steps_resets_readouts_and_words_of_pieces() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(6, 2, 4)
    starts = torch.tensor([[False, False], [True, False], [False, True]])
    with lstm.edit(hs.scale("l0.c", by=0.5, scope="readout")):
        first = lstm.trace(x[:3], reset=starts, steps=[0, 2], tokens=[list("abc"), list("ABC")])
        second = lstm.trace(x[3:5], first.state, steps=[1], tokens=[list("de"), list("DE")])
        third = lstm.trace(x[5:], second.state, tokens=[["f"], ["F"]])
        wordless = lstm.trace(x[5:], second.state)
        whole = lstm.trace(x, reset=torch.cat([starts, torch.zeros(3, 2, dtype=torch.bool)]))
    trace = joined([first, second, third])
    assert trace.steps == (0, 2, 4, 5)
    assert trace.words(1) == tuple("ABCDEF")
    assert_close(trace["l0.c"], whole["l0.c"][[0, 2, 4, 5]])
    assert_close(trace.carried["l0"], whole.carried["l0"][[0, 2, 4, 5]])
    assert trace.reset is not None
    assert torch.equal(trace.reset, whole.reset)  # type: ignore[arg-type]
    assert torch.equal(trace.cell_before()[3], whole.cell_before()[5])
    assert joined([first, second, wordless]).tokens is None


def test_what_is_no_continuation_begins_a_trace_of_its_own() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 2, 4)
    first = lstm.trace(x)
    h, c = first.state
    assert goes_on(first, lstm.trace(x, (h.detach().clone(), c)))
    with lstm.edit(hs.zero("l0.c", t=0, scope="readout")):
        edited = lstm.trace(x, first.state)
    ragged = lstm.trace(x, first.state, lengths=[3, 2])
    nothing = (torch.full_like(h, torch.nan), c)
    for other in (
        lstm.trace(x),  # from zero
        lstm.trace(x, (h, c * 2)),
        lstm.trace(x, (-h, c)),
        lstm.trace(x, nothing),
        lstm.trace(x[:, :1], (h[:, :1], c[:, :1])),  # another batch
        lstm.trace(x[:, 0], (h[:, 0], c[:, 0])),  # another form
        lstm.trace(x, first.state, keep=["l0.c"]),  # another record
        ragged,
        edited,
    ):
        assert not goes_on(first, other)
    assert not goes_on(ragged, lstm.trace(x, ragged.state))
    spoilt = lstm.trace(x, nothing)
    assert goes_on(spoilt, lstm.trace(x, spoilt.state))  # NaN is carried too
    assert [len(trace.steps) for trace in chained([first, lstm.trace(x, first.state), lstm.trace(x)])] == [6, 3]


def test_both_directions_and_packed_rows_never_go_on() -> None:
    both, x = hs.LSTM(4, 3, bidirectional=True), torch.randn(3, 2, 4)
    first = both.trace(x)
    assert not goes_on(first, both.trace(x, first.state))
    one = hs.LSTM(4, 3)
    packed = one.trace(pack_sequence([x[:, 0], x[:2, 1]]))
    assert not goes_on(packed, one.trace(x, packed.state))


def test_narrowing() -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(5, 1, 4))
    few = narrowed(trace, slice(-2, None), list("abcde"))
    assert few.steps == (3, 4)
    assert few.words() == tuple("abcde")
    assert torch.equal(few["l0.f"], trace["l0.f"][3:])
    assert torch.equal(narrowed(trace, None, None)["l0.f"], trace["l0.f"])
    assert narrowed(trace, (4, 0), None).steps == (0, 4)


def test_narrowing_to_what_is_not_there_fails() -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(5, 1, 4))
    with pytest.raises(IndexRangeError, match="steps=5 is out of range"):
        narrowed(trace, 5, None)
    with pytest.raises(ArgumentError, match="nothing to record: 0 of 5 steps"):
        narrowed(trace, slice(9, None), None)
    with pytest.raises(ShapeError, match="row 0 has 5 time steps and 2 tokens"):
        narrowed(trace, None, ["a", "b"])
