"""Context-local values that are active inside a `with` block, in the thread (or asyncio task) that opens it."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Scoped = ContextVar[tuple[T, ...]]

# Whether any block is open, in any thread: torch.compile cannot look into a ContextVar, but compiles anew where such a
# plain truth has changed.
any_open = False
_open = 0
_counting = threading.Lock()


@contextmanager
def scope(variable: Scoped[T], entries: Sequence[T]) -> Iterator[None]:
    """Activate entries for a block.

    Blocks may end in any order, as those of generators do: each takes away its own entries and no others.
    """
    mine = tuple(entries)
    variable.set(variable.get() + mine)
    _count(1)
    try:
        yield
    finally:
        _count(-1)
        variable.set(_without(variable.get(), mine))


def _count(change: int) -> None:
    global _open, any_open
    with _counting:
        _open += change
        any_open = _open > 0


def _without(held: tuple[T, ...], mine: tuple[T, ...]) -> tuple[T, ...]:
    """Leave out the last occurrence of each of mine, told apart by identity."""
    gone = Counter(map(id, mine))
    left = []
    for entry in reversed(held):
        if gone[id(entry)]:
            gone[id(entry)] -= 1
        else:
            left.append(entry)
    return tuple(reversed(left))
