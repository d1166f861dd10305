"""The audience: open pages, each with its own queue of the latest messages."""

from collections import deque
from collections.abc import Callable

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.studio.messages import Begin, Message, Step, ViewMessage

KEPT = 512  # messages in a viewer's queue


class Subscriber:
    """A viewer: its queue of messages.

    Args:
        wake: called from any thread when there are messages to take, but only once until they are taken.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = ForkSafeLock()
        self._waiting: deque[Message] = deque()
        self.begun = False

    def put(self, message: Message) -> None:
        """Add a message; if the queue is full, its older half is dropped."""
        with self._lock.lock:
            asleep = not self._waiting
            self._waiting.append(message)
            if len(self._waiting) > KEPT:
                self._waiting = _later_half(self._waiting)
        if asleep:
            self._wake()

    def take(self) -> list[Message]:
        """Return the queued messages in order, and empty the queue."""
        with self._lock.lock:
            taken, self._waiting = self._waiting, deque()
        return list(taken)


class Audience:
    """All viewers. If there are none, sending a message costs almost nothing."""

    def __init__(self) -> None:
        self.lookers: tuple[Subscriber, ...] = ()
        self._lock = ForkSafeLock()

    def __reduce__(self) -> tuple[type["Audience"], tuple[()]]:
        """A copy, such as one of a watched stream, starts without viewers."""
        return Audience, ()

    def join(self, looker: Subscriber) -> None:
        """Add a viewer."""
        with self._lock.lock:
            self.lookers = (*self.lookers, looker)

    def leave(self, looker: Subscriber) -> None:
        """Remove a viewer."""
        with self._lock.lock:
            self.lookers = tuple(each for each in self.lookers if each is not looker)

    def tell(self, message: Message) -> None:
        """Send a message to every viewer."""
        for looker in self.lookers:
            looker.put(message)


def _later_half(waiting: deque[Message]) -> deque[Message]:
    """Drop the older half of the steps, but keep the view and the state from which the stream continues in front."""
    every = list(waiting)
    dropped, kept = every[: len(every) // 2], every[len(every) // 2 :]
    views = [message.view for message in dropped if isinstance(message, ViewMessage)]
    last = next((message for message in reversed(dropped) if not isinstance(message, ViewMessage)), None)
    if isinstance(last, Step):
        last = Begin(last.t + 1, last.h, last.c)
    view = ViewMessage({name: value for each in views for name, value in each.items()}) if views else None
    return deque([message for message in (last, view) if message is not None] + kept)
