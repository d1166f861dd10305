"""Who looks: pages that are open somewhere, each with a queue of its own that keeps the latest messages."""

from collections import deque
from collections.abc import Callable

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.studio.messages import Begin, Message, Step, ViewMessage

KEPT = 512  # messages that wait for one who looks


class Subscriber:
    """One who looks: the messages that wait for them.

    Args:
        wake: called, from whatever thread, when there is something to take: once until it is taken.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = ForkSafeLock()
        self._waiting: deque[Message] = deque()
        self.begun = False

    def put(self, message: Message) -> None:
        """Add a message; where too many wait, the older half goes."""
        with self._lock.lock:
            asleep = not self._waiting
            self._waiting.append(message)
            if len(self._waiting) > KEPT:
                self._waiting = _later_half(self._waiting)
        if asleep:
            self._wake()

    def take(self) -> list[Message]:
        """Return what waits, in its order."""
        with self._lock.lock:
            taken, self._waiting = self._waiting, deque()
        return list(taken)


class Audience:
    """All who look. Without any, telling costs nothing worth measuring."""

    def __init__(self) -> None:
        self.lookers: tuple[Subscriber, ...] = ()
        self._lock = ForkSafeLock()

    def __reduce__(self) -> tuple[type["Audience"], tuple[()]]:
        """A copy, of a stream that is watched, say, is looked at by nobody yet."""
        return Audience, ()

    def join(self, looker: Subscriber) -> None:
        """Tell this one, too, from now on."""
        with self._lock.lock:
            self.lookers = (*self.lookers, looker)

    def leave(self, looker: Subscriber) -> None:
        """Tell this one nothing more."""
        with self._lock.lock:
            self.lookers = tuple(each for each in self.lookers if each is not looker)

    def tell(self, message: Message) -> None:
        """Tell everyone."""
        for looker in self.lookers:
            looker.put(message)


def _later_half(waiting: deque[Message]) -> deque[Message]:
    """Drop the older half of the steps, and say what is looked at and from which state the stream goes on after it."""
    every = list(waiting)
    dropped, kept = every[: len(every) // 2], every[len(every) // 2 :]
    views = [message.view for message in dropped if isinstance(message, ViewMessage)]
    last = next((message for message in reversed(dropped) if not isinstance(message, ViewMessage)), None)
    if isinstance(last, Step):
        last = Begin(last.t + 1, last.h, last.c)
    view = ViewMessage({name: value for each in views for name, value in each.items()}) if views else None
    return deque([message for message in (last, view) if message is not None] + kept)
