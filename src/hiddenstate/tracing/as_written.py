"""Blocks in which models run as they are written: a record needs the modules that a compiled graph has dissolved."""

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from hiddenstate.base.forks import in_forked_children

_changing = threading.Lock()
# torch's stance is one for all threads, and what ends it puts back what it found. Blocks of several threads end in any
# order: the first one sets the stance, and the last one ends it.
_stance: AbstractContextManager[None] | None = None
_open = 0


@contextmanager
def as_written() -> Iterator[None]:
    """Open a block in which nothing runs compiled: what may not break (``fullgraph=True``) can't be recorded."""
    # Without torch's compiler loaded nothing can be compiled, and loading it takes seconds.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    _begin()
    try:
        yield
    finally:
        _end()


def _begin() -> None:
    global _open, _stance
    with _changing:
        set_now = torch.compiler.set_stance("force_eager")  # refused inside of a compiled function, in every thread
        _stance = set_now if _stance is None else _stance
        _open += 1


def _end() -> None:
    global _open
    with _changing:
        _open = max(_open - 1, 0)  # of a block that began before a fork nothing is left to end
        if _open == 0:
            _put_back()


def _put_back() -> None:
    global _stance
    if _stance is not None:
        ended, _stance = _stance, None
        ended.__exit__(None, None, None)


def _begin_anew() -> None:
    """Forget, in a forked process, the blocks of the threads that it has not."""
    global _changing, _open
    _changing, _open = threading.Lock(), 0
    _put_back()


in_forked_children(_begin_anew)
