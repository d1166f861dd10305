"""One unit at one step: the numbers, the previous state, and the equations as text."""

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError


def test_text() -> None:
    torch.manual_seed(2)
    lstm = hs.LSTM(4, 3)
    trace = lstm.trace(torch.randn(3, 4), tokens=["Giraffes", "in", "a"], pre=True)
    moment = trace.at(t=2, unit=1)
    lines = str(moment).splitlines()
    assert lines[0] == "l0, step 2 'a', unit 1, row 0"
    assert lines[1] == f"  i = σ({moment['i_pre']:.4f}) = {moment['i']:.4f}   input gate"
    assert lines[3] == f"  g = tanh({moment['g_pre']:.4f}) = {moment['g']:.4f}   cell candidate"
    assert lines[5].startswith("  c = f·c_prev + i·g = ")
    assert lines[5].endswith(f" = {moment['c']:.4f}")
    assert lines[6] == f"  h = o·tanh(c) = {moment['o']:.4f}·tanh({moment['c']:.4f}) = {moment['h']:.4f}"
    assert len(lines) == 7


def test_negative_factors_stand_in_parentheses_and_sums_have_one_sign() -> None:
    lstm = hs.LSTM(1, 1, bias=False)
    for parameter in lstm.parameters():
        torch.nn.init.constant_(parameter, -1.0)
    state = torch.zeros(1, 1), torch.full((1, 1), -1.0)
    text = str(lstm.trace(torch.ones(1, 1), state).at(0, 0))
    assert "c = f·c_prev + i·g = 0.2689·(-1.0000) + 0.2689·(-0.7616) = -0.2689 - 0.2048 = -0.4738" in text


@given(st.booleans(), st.integers(0, 2), st.lists(st.booleans(), min_size=4, max_size=4), st.integers(1, 4))
def test_c_prev_is_what_the_equation_needs(reverse: bool, unit: int, begins: list[bool], length: int) -> None:
    """At every step, for any direction, resets and row length."""
    lstm = hs.LSTM(2, 3, bidirectional=True, dtype=torch.float64)
    x, reset = torch.randn(4, 2, 2, dtype=torch.float64), torch.tensor([begins, [False] * 4]).T
    state = torch.randn(2, 2, 3, dtype=torch.float64), torch.randn(2, 2, 3, dtype=torch.float64)
    trace = lstm.trace(x, state, reset=reset, lengths=[length, 4])
    for t in range(length):
        m = trace.at(t, unit, reverse=reverse)
        assert m["c"] == pytest.approx(m["f"] * m["c_prev"] + m["i"] * m["g"], abs=1e-12)
        assert m["h"] == pytest.approx(m["o"] * math.tanh(m["c"]), abs=1e-12)
        assert "edited" not in str(m)


def test_is_a_mapping() -> None:
    moment = hs.LSTM(4, 3, 2).trace(torch.randn(3, 2, 4)).at(-1, -1, layer=1, row=1)
    assert set(moment) == {"i", "f", "g", "o", "c_prev", "c", "h"}
    assert len(moment) == 7
    assert (moment.t, moment.unit, moment.layer, moment.row) == (2, 2, 1, 1)
    assert dict(moment)["f"] == moment["f"]


def test_an_edited_value_is_said_to_be() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 4)
    with lstm.edit(hs.set("l0.c", to=1.0, unit=1, t=1)):
        trace = lstm.trace(x)
    assert str(trace.at(1, 1)).count("edited: the run has 1.0000") == 1
    assert trace.at(2, 1)["c_prev"] == 1.0
    assert "edited" not in str(trace.at(2, 1)) + str(trace.at(1, 0))


def test_an_edited_gate_is_said_to_be() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 4)
    with lstm.edit(hs.zero("l0.f", t=1)):
        moment = lstm.trace(x, pre=True).at(1, 1)
    line = str(moment).splitlines()[2]
    assert line.startswith(f"  f = σ({moment['f_pre']:.4f}) = ")
    assert line.endswith("forget gate   (edited: the run has 0.0000)")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_rounding_is_no_edit(dtype: torch.dtype) -> None:
    lstm = hs.LSTM(4, 8, dtype=dtype)
    trace = lstm.trace(torch.randn(20, 4, dtype=dtype), pre=True)
    assert not any("edited" in str(trace.at(t, unit)) for t in range(20) for unit in range(8))


def test_after_a_readout_edit_c_prev_is_what_was_handed_on() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 4)
    plain = lstm.trace(x)
    with lstm.edit(hs.set("l0.c", to=1.0, t=1, scope="readout")):
        trace = lstm.trace(x)
    assert trace.at(1, 0)["c"] == 1.0
    assert trace.at(2, 0)["c_prev"] == pytest.approx(plain.at(1, 0)["c"])
    assert "edited" not in str(trace.at(2, 0))


def test_with_a_projection_the_unit_puts_out_m() -> None:
    moment = hs.LSTM(4, 3, proj_size=2).trace(torch.randn(3, 4)).at(1, 2)
    assert "h" not in moment
    assert moment["m"] == pytest.approx(moment["o"] * math.tanh(moment["c"]))
    assert "m = o·tanh(c)" in str(moment)


def test_what_was_not_kept_is_absent() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(3, 4)
    only = lstm.trace(x, keep=["l0.c"], steps=[2]).at(2, 0)
    assert set(only) == {"c"}
    assert str(only).splitlines()[1] == f"  c = {only['c']:.4f}"
    assert "c_prev" not in lstm.trace(x, steps=[2]).at(2, 0)
    pre = lstm.trace(x, keep=["l0.i_pre"]).at(0, 0)
    assert str(pre).splitlines()[1].startswith(f"  i = σ({pre['i_pre']:.4f}) = ")
    hidden = lstm.trace(x, keep=["l0.h"]).at(0, 0)
    assert str(hidden).splitlines()[1:] == [f"  h = {hidden['h']:.4f}"]


def test_of_a_trace_with_a_gradient() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hs.LSTM(4, 3).trace(torch.randn(2, 4, requires_grad=True)).at(0, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"t": 3, "unit": 0}, IndexRangeError, r"t=3 is out of range: there are 3, so it must be in 0..2"),
        ({"t": 2, "unit": 0, "row": 1}, IndexRangeError, "t=2 is out of range: there are 2"),
        ({"t": 0, "unit": 3}, IndexRangeError, "unit=3 is out of range"),
        ({"t": 0, "unit": 0, "row": 2}, IndexRangeError, "row=2 is out of range"),
        ({"t": [0, 1], "unit": 0}, ArgumentTypeError, r"t must be one int, got \[0, 1\]"),
        ({"t": 0, "unit": None}, ArgumentTypeError, "unit must be one int, got None"),
        ({"t": 0, "unit": 0, "layer": 1}, NameUnknownError, "no place 'l1.c'"),
        ({"t": 0, "unit": 0, "reverse": True}, NameUnknownError, "no place 'l0r.c'"),
    ],
)
def test_bad_arguments_fail(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(3, 2, 4), lengths=[3, 2])
    with pytest.raises(error, match=message):
        trace.at(**arguments)


def test_of_an_unrecorded_step_fails() -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(9, 4), steps=[1, 2, 3, 7])
    with pytest.raises(IndexRangeError, match="step 5 was not recorded; the recorded steps are 1-3, 7. Trace again"):
        trace.at(5, 0)


def test_of_an_empty_row_fails() -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(2, 2, 4), lengths=[2, 0])
    with pytest.raises(IndexRangeError, match="there are 0, so nothing can be chosen"):
        trace.at(0, 0, row=1)
    with pytest.raises(ArgumentError, match="repeats a position"):
        trace.pick("l0.f", t=(1, -1))
