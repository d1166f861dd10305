"""Blocks in which models run as they are written: a record needs the modules that a compiled graph has dissolved."""

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
        if _stance is None:
            _stance = torch.compiler.set_stance("force_eager")
        _open += 1


def _end() -> None:
    global _open, _stance
    with _changing:
        _open -= 1
        if not _open and _stance is not None:
            _stance.__exit__(None, None, None)
            _stance = None
