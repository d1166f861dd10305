"""Blocks in which models run as they are written: a record needs the modules that a compiled graph has dissolved."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

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
    global _open, _stance
    with _changing:
        _open -= 1
        if _open > 0 or _stance is None:
            return
        ended, _stance = _stance, None
        ended.__exit__(None, None, None)


def _begin_anew() -> None:
    """Forget, in a forked process, the blocks of the threads that it has not."""
    global _changing, _open, _stance
    _changing, _open = threading.Lock(), 0
    if _stance is not None:
        ended, _stance = _stance, None
        ended.__exit__(None, None, None)


os.register_at_fork(after_in_child=_begin_anew)
