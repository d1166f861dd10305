"""Rows of a stream that come and go."""

import copy
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
from hiddenstate.engine import kernels
from hiddenstate.errors import ArgumentError, ConcurrentUseError, ShapeError

TYPES = (torch.float32, torch.float64, torch.bfloat16)


def alone(lstm: hs.LSTM, xs: list[Tensor]) -> Tensor:
    """The results of a one-row stream for these steps."""
    stream = lstm.stream()
    return torch.stack([stream.step(x) for x in xs])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("projects", [False, True])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_rows_that_come_and_go_give_what_streams_of_their_own_give(
    dtype: torch.dtype, projects: bool, data: st.DataObject
) -> None:
    lstm = hs.LSTM(3, 5, 2, proj_size=2 if projects else 0).to(dtype)
    stream = lstm.stream(batch=2)
    read: dict[int, tuple[list[Tensor], list[Tensor]]] = {0: ([], []), 1: ([], [])}
    done: list[tuple[list[Tensor], list[Tensor]]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        what = data.draw(st.sampled_from(("step", "step", "step", "join", "leave")))
        if what == "join":
            row = stream.join()
            assert row not in read
            read[row] = [], []
        elif what == "leave" and read:
            row = data.draw(st.sampled_from(sorted(read)))
            stream.leave(row)
            done.append(read.pop(row))
        elif read:
            rows = data.draw(st.lists(st.sampled_from(sorted(read)), unique=True, min_size=1))
            x = torch.randn(len(rows), 3).to(dtype)
            out = stream.step(x, rows=rows)
            for row, given_step, got in zip(rows, x, out, strict=True):
                read[row][0].append(given_step)
                read[row][1].append(got)
        assert stream.rows == tuple(sorted(read))
    for xs, outs in [*done, *read.values()]:
        if xs:
            assert torch.equal(torch.stack(outs), alone(lstm, xs))


@pytest.mark.parametrize("dtype", TYPES)
def test_steps_of_rows_and_of_all_follow_one_another(dtype: torch.dtype) -> None:
    lstm, x = hs.LSTM(4, 3).to(dtype), torch.randn(6, 5, 4).to(dtype)
    stream, whole = lstm.stream(batch=5), lstm.stream(batch=5)
    for k, value in enumerate(x):
        want = whole.step(value)
        if k % 2:
            got = stream.step(value)
        else:
            order = torch.randperm(5)
            got = torch.empty_like(want)
            got[order] = torch.cat([stream.step(value[part], rows=part) for part in (order[:2], order[2:])])
        assert torch.equal(got, want)
    assert all(map(torch.equal, stream.state, whole.state))


def test_rows_of_every_form_and_arrays() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 4)
    want = lstm.stream(batch=3).step(x, rows=[2, 0])
    forms: list[Any] = [(2, 0), torch.tensor([2, 0]), np.array([2, 0]), np.array([2, 0], dtype=np.uint8)]
    for rows in forms:
        assert torch.equal(lstm.stream(batch=3).step(x, rows=rows), want)
    out = np.empty((2, 3), dtype=np.float32)
    assert lstm.stream(batch=3).step(x.numpy(), rows=[2, 0], out=out) is out
    assert torch.equal(torch.from_numpy(out), want)
    assert lstm.stream(batch=3).step(x[:0], rows=[]).shape == (0, 3)
    assert torch.equal(lstm.stream(batch=3).step(x[:1], rows=1), alone(lstm, [x[:1]])[0])


def test_states_of_rows_go_in_and_out() -> None:
    lstm, x = hs.LSTM(4, 3, 2), torch.randn(3, 1, 4)
    stream = lstm.stream(batch=1)
    stream.step(x[0])
    state = stream.state_of(0)
    assert [part.shape for part in state] == [(2, 3), (2, 3)]
    other = lstm.stream(batch=2)
    row = other.join(state)
    assert torch.equal(other.step(x[1], rows=row), stream.step(x[1]))
    h, c = other.state_of([row, 0])
    assert h.shape == c.shape == (2, 2, 3)
    assert not c[:, 1].any()


def test_a_stream_grows_by_doubling_and_keeps_its_rows() -> None:
    lstm = hs.LSTM(4, 3)
    stream = lstm.stream(batch=2)
    x = torch.randn(2, 4)
    stream.step(x)
    before = stream.state_of([0, 1])
    assert [stream.join() for _ in range(3)] == [2, 3, 4]
    assert stream.batch == 8
    assert stream.rows == (0, 1, 2, 3, 4)
    assert all(map(torch.equal, stream.state_of([0, 1]), before))
    stream.leave([1, 3])
    assert list(stream.rows) == [0, 2, 4]
    assert [stream.join(), stream.join(), stream.join()] == [1, 3, 5]
    assert not any(part.any() for part in stream.state_of([1, 3, 5]))


def test_edits_are_for_rows_of_the_whole_stream() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 4)
    stream = lstm.stream(batch=3)
    with lstm.edit(hs.zero("l0.o", row=2)):
        out = stream.step(x, rows=[2, 1])
    assert not out[0].any()
    assert torch.equal(out[1], alone(lstm, [x[1:]])[0, 0])
    assert not any(part.any() for part in stream.state_of(0))


def test_the_reference_serves_too() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 4)
    with hs.backend("reference"):
        got = lstm.stream(batch=3).step(x, rows=[2, 0])
    assert torch.allclose(got, lstm.stream(batch=3).step(x, rows=[2, 0]), atol=1e-6)


def test_weights_that_change_are_followed() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 4)
    stream = lstm.stream(batch=3)
    stream.step(x, rows=[2, 0])
    stream.reset()
    with torch.no_grad():
        lstm.get_parameter("weight_ih_l0").mul_(2)
    assert torch.equal(stream.step(x, rows=[2, 0]), lstm.stream(batch=3).step(x, rows=[2, 0]))


def test_copies_are_apart() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 4)
    stream = lstm.stream(batch=3)
    stream.step(x, rows=[2, 0])
    others: list[Any] = [stream.fork(), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    for other in others:
        want = stream.state_of([0, 1, 2])
        other.step(x, rows=[2, 0])
        other.leave(1)
        assert all(map(torch.equal, stream.state_of([0, 1, 2]), want))
        assert list(stream.rows) == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        ([0, 3], IndexError, "rows 0 to 2"),
        ([-1, 0], IndexError, "rows 0 to 2"),
        ([1, 1], ArgumentError, "row 1 twice"),
        ([0.5, 1], TypeError, "integers, got float"),
        ([True, 0], TypeError, "integers, got bool"),
        ("01", TypeError, "list of integers, got str"),
        (torch.tensor([0.0, 1.0]), TypeError, "torch.float32"),
        (torch.tensor([True, False]), TypeError, "torch.bool"),
        (torch.tensor([[0, 1]]), TypeError, "one-dimensional"),
        (np.array(["a", "b"]), TypeError, "integers"),
        (None, TypeError, "list of integers, got NoneType"),
        ([2**70, 0], IndexError, "rows 0 to 2"),
    ],
)
def test_rows_that_there_are_not_are_refused(rows: Any, error: type[Exception], match: str) -> None:
    stream = hs.LSTM(4, 3).stream(batch=3)
    calls: list[Callable[[], Any]] = [lambda: stream.leave(rows), lambda: stream.state_of(rows)]
    if rows is not None:
        calls.append(lambda: stream.step(torch.zeros(2, 4), rows=rows))
    for call in calls:
        with pytest.raises(error, match=match):
            call()
    assert not any(part.any() for part in stream.state)


def test_other_mistakes_are_refused() -> None:
    stream = hs.LSTM(4, 3).stream(batch=3)
    with pytest.raises(ShapeError, match=r"\[n, C\] = \[2, 4\] for 2 rows"):
        stream.step(torch.zeros(3, 4), rows=[0, 1])
    with pytest.raises(ShapeError, match=r"\[L, units\] = \[1, 3\]"):
        stream.join((torch.zeros(1, 1, 3), torch.zeros(1, 1, 3)))
    assert list(stream.rows) == [0, 1, 2]
    stream.leave(1)
    calls: list[Callable[[], Any]] = [lambda: stream.leave([1]), lambda: stream.state_of([0, 1])]
    calls.append(lambda: stream.step(torch.zeros(2, 4), rows=[0, 1]))
    for call in calls:
        with pytest.raises(ArgumentError, match="row 1 is not in use"):
            call()


def test_a_second_thread_is_refused() -> None:
    stream = hs.LSTM(4, 3).stream(batch=3)
    with stream._alone():
        calls: list[Callable[[], Any]] = [stream.join, lambda: stream.leave(0)]
        calls.append(lambda: stream.step(torch.zeros(1, 4), rows=[0]))
        for call in calls:
            with pytest.raises(ConcurrentUseError):
                call()


@pytest.mark.parametrize("proj_size", [0, 2])
def test_rows_go_in_and_out_of_inference_mode(proj_size: int) -> None:
    lstm = hs.LSTM(4, 3, proj_size=proj_size)
    x = torch.randn(4, 1, 4)
    with torch.inference_mode():
        stream, other = lstm.stream(batch=2), lstm.stream()
        got = [stream.step(x[0], rows=[0])]
    got.append(stream.step(x[1], rows=[0]))
    stream.leave(1)
    assert stream.join() == 1
    with torch.inference_mode():
        got.append(stream.step(x[2], rows=[0]))
    got.append(stream.step(x[3], rows=[0]))
    assert torch.equal(torch.stack(got), torch.stack([other.step(step) for step in x]))


def test_rows_may_be_numpys_integers_and_not_on_the_meta_device() -> None:
    stream, x = hs.LSTM(4, 3).stream(batch=3), torch.randn(2, 4)
    fork = stream.fork()
    assert torch.equal(stream.step(x, rows=list(np.flatnonzero([1, 0, 1]))), fork.step(x, rows=[0, 2]))
    for rows in (torch.tensor([0, 1], device="meta"), torch.tensor([0, 1]).to_sparse()):
        with pytest.raises(hs.HiddenStateError, match="rows"):
            stream.step(x, rows=rows)


def test_a_row_is_not_lost_when_join_is_refused() -> None:
    stream = hs.LSTM(3, 2).stream(batch=2)
    stream.step(torch.zeros(2, 3))
    stream.leave(1)
    with stream._alone(), pytest.raises(ConcurrentUseError):
        stream.join()
    assert list(stream.rows) == [0]
    assert stream.join() == 1
    with stream._alone(), pytest.raises(ConcurrentUseError):
        stream.join()
    assert list(stream.rows) == [0, 1]
    assert stream.join() == 2
    assert list(stream.rows) == [0, 1, 2]
    assert stream.batch == 4
    assert stream.state_of(np.int64(2))[0].shape == (1, 1, 2)


@pytest.mark.parametrize("form", [list, tuple, lambda rows: torch.tensor(rows, dtype=torch.int32), np.uint8, iter])
def test_rows_of_every_form_go_the_quick_way(form: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stream, x = hs.LSTM(4, 3).stream(batch=3), torch.randn(2, 4)
    monkeypatch.setattr(stream, "_feed", mock.Mock(side_effect=ZeroDivisionError))
    fast = kernels.isa() is not None
    for k in range(2):
        with nullcontext() if fast else pytest.raises(ZeroDivisionError):
            stream.step(x, rows=np.array([2, 0], dtype=np.uint8) if form is np.uint8 else form([2, 0]))
            assert stream.t == k + 1


def test_a_step_of_no_rows_runs_nothing() -> None:
    stream = hs.LSTM(4, 3).stream(batch=3)
    with mock.patch.object(stream, "_compute", side_effect=ZeroDivisionError):
        assert stream.step(torch.zeros(0, 4), rows=[]).shape == (0, 3)
    assert stream.t == 1
