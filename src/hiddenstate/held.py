"""What holds inside a block: in this thread (or asyncio task) alone, and gone with the block."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Held = ContextVar[tuple[T, ...]]


@contextmanager
def holding(variable: Held[T], entries: Sequence[T]) -> Iterator[None]:
    """Add entries to those that hold, for a block.

    Blocks may end in any order, as those of generators do: each takes away its own entries and no others.
    """
    mine = tuple(entries)
    variable.set(variable.get() + mine)
    try:
        yield
    finally:
        variable.set(_without(variable.get(), mine))


def _without(held: tuple[T, ...], mine: tuple[T, ...]) -> tuple[T, ...]:
    """Leave out the last occurrence of each of mine, told apart by identity."""
    left = list(held)
    for entry in reversed(mine):
        found = [k for k, other in enumerate(left) if other is entry]
        if found:
            del left[found[-1]]
    return tuple(left)
