import copy
import pickle

import numpy as np

from hiddenstate.studio.messages import KEPT, Audience, BeginMessage, Message, StepMessage, Subscriber, ViewMessage


def step(t: int) -> StepMessage:
    number = np.full((1, 1), t, dtype=np.float32)
    return StepMessage(t, None, number[0], number, number)


def times(messages: list[Message]) -> list[int]:
    return [message.t for message in messages if isinstance(message, BeginMessage | StepMessage)]


def test_what_waits_is_taken_in_order_and_wakes_once() -> None:
    woken: list[None] = []
    looker = Subscriber(lambda: woken.append(None))
    for t in range(3):
        looker.put(step(t))
    assert len(woken) == 1
    assert times(looker.take()) == [0, 1, 2]
    assert looker.take() == []
    looker.put(step(3))
    assert len(woken) == 2


def test_too_many_leave_the_latest_and_a_beginning() -> None:
    looker, states = Subscriber(lambda: None), 3 * KEPT + 5
    looker.put(BeginMessage(0, np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)))
    for t in range(states):
        looker.put(step(t))
    taken = looker.take()
    assert KEPT // 2 <= len(taken) <= KEPT + 1
    first, *rest = taken
    assert isinstance(first, BeginMessage)
    assert times(rest) == list(range(first.t, states))  # no gap after the beginning
    assert first.h.item() == first.t - 1  # the state after the last step that was dropped
    assert times(rest)[-1] == states - 1


def test_too_many_views() -> None:
    looker = Subscriber(lambda: None)
    for k in range(2 * KEPT):
        looker.put(ViewMessage({"step": k}))
    taken = looker.take()
    assert len(taken) <= KEPT + 1
    assert isinstance(taken[-1], ViewMessage)
    assert taken[-1].view == {"step": 2 * KEPT - 1}


def test_join_and_leave() -> None:
    audience, first, second = Audience(), Subscriber(lambda: None), Subscriber(lambda: None)
    audience.tell(step(0))
    audience.join(first)
    audience.tell(step(1))
    audience.join(second)
    audience.leave(first)
    audience.leave(first)
    audience.tell(step(2))
    assert times(first.take()) == [1]
    assert times(second.take()) == [2]


def test_what_is_looked_at_is_told_though_many_steps_follow() -> None:
    looker = Subscriber(lambda: None)
    looker.put(ViewMessage({"step": 2, "unit": 5}))
    looker.put(ViewMessage({"step": 3}))
    for t in range(3 * KEPT):
        looker.put(step(t))
    taken = looker.take()
    (told,) = (message.view for message in taken if isinstance(message, ViewMessage))
    assert told == {"step": 3, "unit": 5}
    assert isinstance(taken[0], BeginMessage)
    assert len(taken) <= KEPT + 1


def test_a_copy_is_looked_at_by_nobody() -> None:
    audience = Audience()
    audience.join(Subscriber(lambda: None))
    for copied in (copy.deepcopy(audience), pickle.loads(pickle.dumps(audience))):
        assert copied.lookers == ()
        copied.join(Subscriber(lambda: None))
    assert len(audience.lookers) == 1
