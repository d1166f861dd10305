"""A step summarised in a few numbers."""

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import IndexRangeError, NameUnknownError
from hiddenstate.tracing.views import summaries_of
from support import assert_close


@pytest.mark.parametrize("reverse", [False, True])
def test_numbers_are_the_traces(reverse: bool) -> None:
    lstm = hs.LSTM(4, 5, 2, bidirectional=True)
    trace = lstm.trace(torch.randn(4, 2, 4), lengths=[2, 4], tokens=[["a", "b"], ["c", "d", "e", "f"]])
    at = "l1r" if reverse else "l1"
    (steps,) = summaries_of(trace, [1], layer=1, reverse=reverse, most=2)
    assert [step.word for step in steps] == ["c", "d", "e", "f"]
    for step in steps:
        assert step.gates["f"] == pytest.approx(trace[f"{at}.f"][step.t, 1].mean().item(), rel=1e-6)
        assert step.gates["g"] == pytest.approx(trace[f"{at}.g"][step.t, 1].abs().mean().item(), rel=1e-6)
        assert step.c_norm == pytest.approx(trace[f"{at}.c"][step.t, 1].norm().item(), rel=1e-6)
        assert step.h_norm == pytest.approx(trace[f"{at}.h"][step.t, 1].norm().item(), rel=1e-6)
    states = trace[f"{at}.c"][:, 1].flip(0) if reverse else trace[f"{at}.c"][:, 1]
    changes = torch.diff(states, dim=0, prepend=torch.zeros(1, 5))
    if reverse:
        changes = changes.flip(0)
    for step, change in zip(steps, changes, strict=True):
        unit, value = step.changed[0]
        assert unit == change.abs().argmax()
        assert value == pytest.approx(change[unit].item(), abs=1e-6)
        assert len(step.changed) == 2


def test_an_ended_row_has_no_steps_beyond() -> None:
    trace = hs.LSTM(4, 5).trace(torch.randn(4, 3, 4), lengths=[2, 4, 0])
    assert [len(steps) for steps in summaries_of(trace, range(3))] == [2, 4, 0]


def test_a_step_whose_predecessor_was_not_recorded_names_no_units() -> None:
    trace = hs.LSTM(4, 5).trace(torch.randn(4, 4), steps=[0, 2, 3])
    assert [len(step.changed) for step in summaries_of(trace, [0])[0]] == [3, 0, 3]
    assert trace.cell_before()[1].isnan().all()
    assert_close(trace.cell_before()[2], trace["l0.c"][1])


def test_what_is_not_there_fails() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(3, 4)
    with pytest.raises(NameUnknownError, match="no place 'l1.i'"):
        summaries_of(lstm.trace(x), [0], layer=1)
    with pytest.raises(NameUnknownError, match="'l0.g' was not recorded"):
        summaries_of(lstm.trace(x, keep=["l0.i", "l0.f", "l0.c"]), [0])
    with pytest.raises(IndexRangeError, match="row=1 is out of range"):
        summaries_of(lstm.trace(x), [1])
