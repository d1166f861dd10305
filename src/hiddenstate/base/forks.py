"""Functions that a forked process must run first, because its parent's other threads do not exist there."""

import os
import threading
from collections.abc import Callable
from weakref import WeakSet


def in_forked_children(function: Callable[[], None]) -> None:
    """Run a function in every process that is forked from now on, if the system has fork."""
    if hasattr(os, "fork"):
        os.register_at_fork(after_in_child=function)


class ForkSafeLock:
    """A lock that is replaced in forked processes, because its holder may not exist there.

    All locks of this package are made here. The attribute ``lock`` is the lock itself; Ctrl-C can't leave it locked.
    """

    def __init__(self) -> None:
        self.renew()
        locks.add(self)

    def renew(self) -> None:
        """Create a free lock. It is reentrant, because the garbage collector may need it at any time."""
        self.lock = threading.RLock()


locks: "WeakSet[ForkSafeLock]" = WeakSet()


def _renew_all() -> None:
    for each in list(locks):
        each.renew()


in_forked_children(_renew_all)
