"""Raises KeyboardInterrupt in a piece of work, like Ctrl-C: at each line in turn, or when a timer ends."""

import contextlib
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import hiddenstate

PACKAGE = str(Path(hiddenstate.__file__).parent)
INTERRUPTED = (PACKAGE, contextlib.__file__)  # where code is interrupted


class Interrupter:
    """Interrupts a call of a function at the k-th line that it executes.

    Each line counts once in each frame, so that loops do not make the count endless.
    """

    def __init__(self, k: int, inside: tuple[str, ...] = INTERRUPTED) -> None:
        self._left = k
        self._inside = inside
        self._seen: set[tuple[Any, int]] = set()
        self.is_raised = False

    @property
    def count(self) -> int:
        """The number of lines seen."""
        return len(self._seen)

    def run(self, work: Callable[[], Any]) -> BaseException | None:
        """Do the work; return the exception, whose traceback keeps every frame alive."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            work()
        except BaseException as error:
            return error
        finally:
            sys.settrace(before)
        return None

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._inside) else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        place = frame.f_code, frame.f_lineno
        if event == "line" and place not in self._seen and not self.is_raised:
            self._seen.add(place)
            self._left -= 1
            if self._left < 0:
                self.is_raised = True
                raise KeyboardInterrupt
        return self._line


def interrupted_everywhere(
    work: Callable[[], Any], check: Callable[[Any], None], least: int, *, may_return: bool = False
) -> int:
    """Repeat the work, interrupted at each line in turn, and check the result each time; return the number of lines.

    Args:
        work: the work to interrupt. check: called with the exception, which keeps the work's frames alive. least: the
        minimum number of lines, so that a test that interrupts nothing fails. may_return: whether interrupted work may
        return what it has done.
    """
    for k in range(10_000):
        interrupter = Interrupter(k)
        error = interrupter.run(work)
        if not interrupter.is_raised:
            assert error is None, error
            assert k >= least, f"only {k} lines were interrupted"
            return k
        assert isinstance(error, KeyboardInterrupt) or (may_return and error is None), error
        check(error)
    raise AssertionError("the work has no end")


def interrupted_by_a_timer(works: Sequence[Callable[[], Any]], numbers: range, check: Callable[[], None]) -> int:
    """Do one piece of work after another, each repeated until a signal strikes; return how many were raised.

    Signals also strike inside lines, where tracing can't. Python drops an exception in a destructor.
    """
    raised, is_struck = 0, False
    kept = deque[BaseException](maxlen=100)  # like a notebook, which keeps the last one

    def strike(number: int, frame: FrameType | None) -> None:
        nonlocal is_struck
        is_struck = True
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGALRM, strike)
    try:
        for k in numbers:
            is_struck = False
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + (k * 7919 % 400) * 1e-6)
                while not is_struck:
                    works[k % len(works)]()
            except KeyboardInterrupt as error:
                kept.append(error)
                raised += 1
            check()
    finally:
        signal.signal(signal.SIGALRM, before)
    return raised
