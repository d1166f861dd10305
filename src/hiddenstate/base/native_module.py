"""Imports the native module (None if it can't be loaded) and its block classes, or their versions in Python.

The versions in Python are for machines without the native module. An exception from a signal handler can strike
between any two lines of them; a block that is interrupted while it ends stays open until it is garbage-collected.
"""

import importlib.util
import warnings
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from hiddenstate.base.forks import ForkSafeLock

absence = "could not be loaded"  # for messages about a missing native module

try:
    from hiddenstate import _native as _native
except ImportError as error:  # torch is used instead
    _native = None  # type: ignore[assignment]
    if importlib.util.find_spec("hiddenstate._native") is None:
        absence = "could not be loaded: it was not built at installation, which needs GCC 12 or later, or Clang"
        remedy = "Reinstall hiddenstate with one of these compilers to get the native speed"
    else:  # for example, built for a different machine
        absence = f"could not be loaded ({error})"
        remedy = "Reinstalling hiddenstate on this machine usually fixes this"
    warnings.warn(f"hiddenstate's native module {absence}. Everything runs in plain torch. {remedy}", stacklevel=2)

B = TypeVar("B", bound="PlainBlock")
_MISSING = object()
_changing = ForkSafeLock()


class PlainSwitch:
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


class PlainInForce:
    """An entry that is in force from the beginning of a block to its end."""

    def __init__(self, block: "PlainBlock") -> None:
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
            try:
                self._after()
            except BaseException:
                with suppress(BaseException):
                    self._after()
                raise


class PlainBlock:
    """A block in which something is in force."""

    _now: PlainInForce | None = None
    _for_good = False

    def __init__(
        self,
        home: Any = None,
        entries: tuple[Any, ...] = (),
        switches: tuple[PlainSwitch, ...] = (),
        before: Callable[[], object] | None = None,
        after: Callable[[], object] | None = None,
    ) -> None:
        self.home, self.entries, self.switches, self._before, self._after = home, entries, switches, before, after

    def again(self) -> "PlainBlock":
        """Return a new block with the same parts."""
        return PlainBlock(self.home, self.entries, self.switches, self._before, self._after)

    def open_for_good(self) -> None:
        """Open the block until it is entered or closed, even if there are no references to it."""
        if self._now is not None:
            raise RuntimeError("this block is already open: make a new one for each `with`")
        self._for_good = True
        self._now = PlainInForce(self)
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


def _open(home: Any) -> list[PlainInForce]:
    blocks = home.get() if isinstance(home, ContextVar) else home or ()
    return [block for block in blocks if block._is_open]


def _set(home: Any, blocks: list[PlainInForce]) -> None:
    if isinstance(home, ContextVar):
        home.set(tuple(blocks))
    elif home is not None:
        home[:] = blocks


if TYPE_CHECKING:  # other files import these types from here, the only file that imports the native module
    from hiddenstate._native import Block as Block
    from hiddenstate._native import InForce as InForce
    from hiddenstate._native import StreamStep as StreamStep
    from hiddenstate._native import Switch as Switch
elif _native is None:
    Block, InForce, Switch = PlainBlock, PlainInForce, PlainSwitch
else:
    Block, InForce, Switch = _native.Block, _native.InForce, _native.Switch
