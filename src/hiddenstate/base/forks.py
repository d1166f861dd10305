"""Functions that a forked process must run first, because its parent's other threads do not exist there."""

import os
import sys
import threading
from collections.abc import Callable
from weakref import WeakSet


def in_forked_children(function: Callable[[], None]) -> None:
    """Run a function in every process that is forked from now on, if the system has fork."""
    if hasattr(os, "fork"):
        os.register_at_fork(after_in_child=function)


# Whether this process was forked from one that had loaded torch. The threads of torch's pool do not exist here, so a
# call that used them would wait for ever. The package imports this file first, so that no later fork is missed.
lacks_torchs_threads = False


def _note_torch() -> None:
    global lacks_torchs_threads
    lacks_torchs_threads = "torch" in sys.modules


in_forked_children(_note_torch)


class ForkSafeLock:
    """A lock that Ctrl-C can't leave locked; forked processes, where its holder may be absent, get a new one."""

    def __init__(self) -> None:
        self.renew()
        locks.add(self)

    def renew(self) -> None:
        """Create a free lock. It is reentrant, because the garbage collector may need it at any time."""
        self.lock = threading.RLock()


locks: "WeakSet[ForkSafeLock]" = WeakSet()


def _renew_all() -> None:
    for lock in list(locks):
        lock.renew()


in_forked_children(_renew_all)
