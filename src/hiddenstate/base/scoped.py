"""Settings in force inside a `with` block, such as edits, a trace or the choice of a path.

Entries of a context variable are in force in the thread (or asyncio task) that opens the block; entries of a list, in
the whole process. A block ends with its `with` statement, however that ends (an exception, Ctrl-C, the end of a
generator in another task or thread), or when it is garbage-collected. See `native/python/block.h` for the mechanism.
"""

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from hiddenstate.base import native_module
from hiddenstate.base.native_module import InForce, Switch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
if TYPE_CHECKING:
    Scoped = ContextVar[tuple[InForce[T], ...]]
else:  # the native class is generic for type checkers only
    Scoped = ContextVar

# Whether any block is open, in any thread: torch.compile cannot read a ContextVar, but recompiles when such a plain
# bool changes.
any_open = False
_opening = Switch(globals(), "any_open", True)


class Block(native_module.Block):
    """A context manager that can be entered again after it has ended, and used as a decorator."""

    __slots__ = ()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that runs each call of the given function inside the block."""

        @wraps(function)
        def within(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.again():
                return function(*args, **kwargs)

        return within


def scope(variable: Scoped[T], entries: Sequence[T], switches: Iterable[Switch] = ()) -> Block:
    """Return a context manager in which the entries are in force; blocks may end in any order, as with generators."""
    return Block(variable, tuple(entries), (_opening, *switches))


def in_force(variable: Scoped[T]) -> list[T]:
    """Return the entries in force in this context, with those of inner blocks last."""
    return [entry for block in variable.get() for entry in block.entries]


def joined(blocks: Sequence[Block]) -> Block:
    """Merge several unopened blocks with the same home into one with all their entries and switches."""
    switches = dict.fromkeys(switch for block in blocks for switch in block.switches)
    return Block(
        blocks[0].home if blocks else None, tuple(entry for block in blocks for entry in block.entries), tuple(switches)
    )


def lasting(begin: Callable[[], object], end: Callable[[], object]) -> Block:
    """Return a block that calls ``begin``, then ``end``; after an interrupt, it may call ``end`` twice."""
    return Block(before=begin, after=end)


def to_the_end(function: Callable[[], object]) -> None:
    """Run a function to completion: if KeyboardInterrupt interrupts it, it is run again before that is raised."""
    with Block(after=function):
        pass
