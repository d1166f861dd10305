import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import IndexRangeError, RankError, ShapeError
from hiddenstate.studio.live import LiveStream
from hiddenstate.studio.messages import BeginMessage, Message, StepMessage, Subscriber, frame


def watched(**options: Any) -> tuple[hs.LSTM, LiveStream, Subscriber]:
    lstm = hs.LSTM(4, 3, num_layers=2, **options)
    stream, looker = LiveStream(lstm.stream()), Subscriber(lambda: None)
    stream.audience.join(looker)
    return lstm, stream, looker


def kinds(messages: list[Message]) -> str:
    return "".join(type(message).__name__[0] for message in messages)


def test_steps_are_told_with_the_state_after_them() -> None:
    lstm, stream, looker = watched()
    x = torch.randn(3, 4)
    outs = [stream.step(x[t], token) for t, token in enumerate("abc")]
    messages = looker.take()
    assert kinds(messages) == "BSSS"
    begin, *steps = messages
    assert isinstance(begin, BeginMessage)
    assert begin.t == 0
    assert not begin.h.any()
    out, (_, c) = lstm(x)
    for t, step in enumerate(steps):
        assert isinstance(step, StepMessage)
        assert (step.t, step.token) == (t, "abc"[t])
        assert np.array_equal(step.x, x[t].numpy())
        assert torch.allclose(torch.from_numpy(step.h[-1]), out[t], atol=1e-6)
    torch.testing.assert_close(torch.stack(outs), out)
    torch.testing.assert_close(torch.from_numpy(steps[-1].c), c)  # type: ignore[union-attr]


def test_steps_of_a_gru_have_one_state() -> None:
    gru, looker = hs.GRU(4, 3, num_layers=2), Subscriber(lambda: None)
    stream = LiveStream(gru.stream())
    stream.audience.join(looker)
    stream.step(torch.ones(4))
    begin, step = looker.take()
    assert isinstance(begin, BeginMessage)
    assert isinstance(step, StepMessage)
    assert (begin.c, step.c) == (None, None)
    torch.testing.assert_close(torch.from_numpy(step.h), gru(torch.ones(1, 4))[1])
    stream.state = stream.state
    assert stream.state.shape == (2, 1, 3)


def test_a_token_is_a_text() -> None:
    _, stream, looker = watched()
    stream.step(torch.zeros(4), np.int64(7))  # type: ignore[arg-type]
    assert b'"token": "7"' in frame(looker.take()[-1])


def test_what_is_told_stays_as_it_was() -> None:
    """The stream overwrites its state in place, and its user may overwrite x."""
    _, stream, looker = watched()
    x = torch.ones(4)
    stream.step(x)
    x.zero_()
    stream.step(x)
    _, first, second = looker.take()
    assert isinstance(first, StepMessage)
    assert isinstance(second, StepMessage)
    assert first.x.tolist() == [1, 1, 1, 1]
    assert not np.array_equal(first.h, second.h)


def test_nobody_looks() -> None:
    lstm, stream, looker = watched()
    stream.audience.leave(looker)
    x = torch.randn(3, 1, 4)
    assert torch.equal(stream.step(x[0]), lstm.stream().step(x[0]))
    assert torch.equal(stream.feed(x), stream.stream.fork().feed(x)) is False  # the state has moved on
    assert looker.take() == []


def test_one_who_comes_later_is_told_where_the_stream_stands() -> None:
    _, stream, first = watched()
    x = torch.randn(4)
    stream.step(x)
    second = Subscriber(lambda: None)
    stream.audience.join(second)
    stream.step(x)
    assert kinds(first.take()) == "BSS"
    begin, step = second.take()
    assert isinstance(begin, BeginMessage)
    assert begin.t == 1
    assert begin.h.any()
    assert isinstance(step, StepMessage)


@pytest.mark.parametrize("change", ["reset", "state", "load", "unwatched", "left"])
def test_whatever_else_changes_the_state_is_noticed(change: str, tmp_path: Path) -> None:
    _, stream, looker = watched()
    x = torch.randn(4)
    stream.step(x)
    stream.save(tmp_path / "state")
    if change == "reset":
        stream.reset(to=tuple(part[:, 0] for part in stream.state))  # all arguments are passed on
        stream.reset()
    elif change == "state":
        h, c = stream.state
        stream.state = torch.ones_like(h), torch.ones_like(c)
    elif change == "load":
        stream.load(tmp_path / "state")
    elif change == "unwatched":
        stream.stream.step(x)
    else:
        stream.audience.leave(looker)
        stream.step(x)
        stream.audience.join(looker)
    stream.step(x)
    messages = looker.take()
    assert kinds(messages) == "BSBS"
    begin = messages[2]
    assert isinstance(begin, BeginMessage)
    assert begin.t == {"reset": 0, "state": 1, "load": 1}.get(change, 2)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("array", [False, True])
def test_feed(batch_first: bool, array: bool) -> None:
    lstm, stream, looker = watched(batch_first=batch_first)
    x: Any = torch.randn((1, 5, 4) if batch_first else (5, 1, 4))
    given = x.numpy() if array else x
    out = stream.feed(given, tokens=list("abcde"))
    assert type(out) is type(given)
    torch.testing.assert_close(torch.as_tensor(out), lstm(x)[0].detach())
    messages = looker.take()
    assert kinds(messages) == "BSSSSS"
    assert [message.token for message in messages[1:]] == list("abcde")  # type: ignore[union-attr]
    assert len(stream.feed(given[:, :0] if batch_first else given[:0])[0 if batch_first else slice(None)]) == 0


def test_a_row_of_several() -> None:
    lstm = hs.LSTM(4, 3)
    stream, looker = LiveStream(lstm.stream(batch=2), row=1), Subscriber(lambda: None)
    stream.audience.join(looker)
    x = torch.randn(2, 4)
    stream.step(x)
    _, step = looker.take()
    assert isinstance(step, StepMessage)
    assert np.array_equal(step.x, x[1].numpy())
    assert step.c is not None
    assert np.array_equal(step.c, stream.state[1][:, 1].numpy())


def test_errors_are_the_streams() -> None:
    _, stream, looker = watched()
    with pytest.raises(RankError):
        stream.step(torch.zeros(1, 1, 4))
    with pytest.raises(RankError):
        stream.feed(torch.zeros(4))
    with pytest.raises(ShapeError, match="got 1 tokens for 2 steps"):
        stream.feed(torch.zeros(2, 1, 4), tokens=["a"])
    assert kinds(looker.take()) == "B"
    with pytest.raises(IndexRangeError, match="row=1 is out of range"):
        LiveStream(stream.stream, row=1)


def test_all_else_is_the_streams() -> None:
    _, stream, _ = watched()
    stream.step(torch.zeros(4))
    assert (stream.t, stream.batch) == (1, 1)
    assert isinstance(stream.fork(), hs.Stream)
    assert repr(stream) == "LiveStream(Stream(batch=1, t=1))"
    with pytest.raises(AttributeError):
        stream.nothing  # noqa: B018


def test_a_copy_goes_on_by_itself() -> None:
    _, stream, looker = watched()
    x = torch.randn(4)
    stream.step(x)
    for copied in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert torch.equal(copied.step(x), stream.stream.fork().step(x))
    assert kinds(looker.take()) == "BS"
