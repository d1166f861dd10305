"""Stops a run on request after the current batch, with everything saved."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hiddenstate.base.scoped import lasting

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds after which a second Ctrl-C counts, because torchrun forwards the first one to processes that already received
# it.
AGAIN = 1.0


class Stop:
    """Whether a run has been asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Stop the run after this batch; a second Ctrl-C stops at once (losing the work since the last checkpoint)."""
        if not self.asked:
            self.asked, self._since = True, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since >= AGAIN:
            raise KeyboardInterrupt


@contextmanager
def stopping() -> Iterator[Stop]:
    """Return a context manager that treats Ctrl-C and the system's termination signal as a request to stop.

    Only the main thread of a program receives signals; in other threads nothing changes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    with lasting(lambda: _handle(dict.fromkeys(_SIGNALS, stop.ask)), lambda: _handle(before)):
        yield stop


def _handle(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
