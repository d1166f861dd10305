"""Python versions of the block classes of native/python/block.h, for machines without the native module.

An exception from a signal handler can strike between any two lines of this code. A block that is interrupted while it
ends stays open until it is garbage-collected.
"""

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from hiddenstate.base.forks import ForkSafeLock

B = TypeVar("B", bound="Block")
_MISSING = object()
_changing = ForkSafeLock()


class Switch:
    """Sets a value in a namespace while blocks are open."""

    def __init__(self, names: dict[Any, Any], name: Any, value: Any) -> None:
        self._names, self._name, self._value, self._before = names, name, value, _MISSING
        self.count = 0

    def change(self, by: int) -> None:
        """Count a block as it opens or closes."""
        self.count += by
        if by > 0 and self.count == 1:
            self._before = self._names.get(self._name, _MISSING)
            self._names[self._name] = self._value
        elif self.count == 0 and self._before is _MISSING:
            self._names.pop(self._name, None)
        elif self.count == 0:
            self._names[self._name] = self._before


class InForce:
    """An entry that is in force from the beginning of a block to its end."""

    def __init__(self, block: "Block") -> None:
        self.entries, self._home, self._switches, self._after = block.entries, block.home, block.switches, block._after
        self._is_open = True
        with _changing.lock:
            _set(self._home, [*_open(self._home), self])
            for switch in self._switches:
                switch.change(1)

    def close(self) -> None:
        """End the entry's block; later calls do nothing."""
        with _changing.lock:
            if not self._is_open:
                return
            self._is_open, self.entries = False, ()
            _set(self._home, [other for other in _open(self._home) if other is not self])
            for switch in self._switches:
                switch.change(-1)
        if self._after is not None:
            _call_to_the_end(self._after)


class Block:
    """A block in which something is in force."""

    _now: InForce | None = None
    _for_good = False

    def __init__(
        self,
        home: Any = None,
        entries: tuple[Any, ...] = (),
        switches: tuple[Switch, ...] = (),
        before: Callable[[], object] | None = None,
        after: Callable[[], object] | None = None,
    ) -> None:
        self.home, self.entries, self.switches, self._before, self._after = home, entries, switches, before, after

    def again(self) -> "Block":
        """Return a new block with the same parts."""
        return Block(self.home, self.entries, self.switches, self._before, self._after)

    def open_for_good(self) -> None:
        """Open the block until it is entered or closed, even if there are no references to it."""
        if self._now is not None:
            raise RuntimeError("this block is already open: make a new one for each `with`")
        self._for_good = True
        self._now = InForce(self)
        try:
            if self._before is not None:
                self._before()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the block; later calls do nothing."""
        now, self._now = self._now, None
        if now is not None:
            now.close()

    def __enter__(self: B) -> B:
        if self._now is None or not self._for_good:
            self.open_for_good()
        self._for_good = False
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._for_good:
            self.close()


def _open(home: Any) -> list[InForce]:
    blocks = home.get() if isinstance(home, ContextVar) else home or ()
    return [block for block in blocks if block._is_open]


def _set(home: Any, blocks: list[InForce]) -> None:
    if isinstance(home, ContextVar):
        home.set(tuple(blocks))
    elif home is not None:
        home[:] = blocks


def _call_to_the_end(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException:
        with suppress(BaseException):
            function()
        raise
