"""`accelerate`: torch's own LSTMs run on the engine, in a block or until it is undone."""

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import nn

from hiddenstate.interop.torch.accelerate import served, stand_ins
from hiddenstate.interop.torch.accelerate.counts import AccelerationReport, Counts
from hiddenstate.tracing.traceable import Traceable

_VF: Any = torch._VF
_FUNCTIONS: dict[str, Callable[[Callable[..., Any], Counts], Callable[..., Any]]] = {
    "lstm": served.lstm_function,
    "lstm_cell": served.lstm_cell_function,
}


class _Patch:
    """The functions of torch's that are replaced in this process, and how many ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before: dict[str, Any] = {}
        self.counts = Counts()

    def enter(self) -> None:
        """Replace the functions for one more; the first one does it."""
        with self._lock:
            self._count += 1
            if self._count > 1:
                return
            self.counts = Counts()
            for name, make in _FUNCTIONS.items():
                self._before[name] = vars(_VF).get(name)
                ours = make(getattr(_VF, name), self.counts)
                _tell_torchscript(ours, name)
                setattr(_VF, name, ours)

    def leave(self) -> None:
        """Put the functions back for one; the last one does it."""
        with self._lock:
            self._count -= 1
            if self._count:
                return
            for name, before in self._before.items():
                if before is None:
                    delattr(_VF, name)  # torch's module finds its own below
                else:
                    setattr(_VF, name, before)

    @property
    def is_active(self) -> bool:
        """Whether anyone asks for it."""
        return self._count > 0


def _tell_torchscript(ours: Callable[..., Any], name: str) -> None:
    """Let `torch.jit.script`, while the block is open, compile a call of ours to torch's operator."""
    torch.jit._builtins._register_builtin(ours, f"aten::{name}")


_patch = _Patch()


class Acceleration:
    """What `accelerate` returns: undoes it, at the end of a ``with`` block or by `undo`, and reports."""

    def __init__(self, report: bool) -> None:
        self._prints = report
        self._is_open = True
        self._lock = threading.Lock()
        _patch.enter()
        self._counts = _patch.counts

    def undo(self) -> None:
        """Give torch its functions back, unless others still ask for the engine; a second time does nothing."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        _patch.leave()
        if self._prints:
            print(self.report(), file=sys.stderr)

    def report(self) -> AccelerationReport:
        """Return how often which path ran, and why torch computed the other calls.

        Counted in the whole process, since the outermost of nested blocks began.
        """
        return self._counts.report()

    def __enter__(self) -> "Acceleration":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()


def accelerate(*, report: bool = False) -> Acceleration:
    """Run every `torch.nn.LSTM` of this process on the engine, where it serves; the modules stay torch's.

    The functions beneath the classes are replaced (``torch._VF.lstm``, ``torch._VF.lstm_cell``), so subclasses,
    ``isinstance``, pickles and ``state_dict`` stay as they are, as do libraries that build LSTMs of their own. A call
    that the engine does not serve (on a GPU, in a type it has no kernel for, exported, scripted) is computed by torch.
    While it is active, `hiddenstate.trace` records LSTMs of torch's by module path; `hiddenstate.edit` changes them.

    It holds for all threads of the process and for processes forked from it; a spawned one begins without. Calls nest:
    torch's functions are back when the last has been undone, in any order.

    Args:
        report: print, when it is undone, how often which path ran and why others did not (to standard error).

    Returns:
        An `Acceleration`: a context manager whose block's end undoes it, as its method ``undo`` does.

    >>> lstm, x = nn.LSTM(4, 3), torch.zeros(5, 2, 4)
    >>> with accelerate() as acceleration:
    ...     out, state = lstm(x)
    >>> acceleration.report().share
    1.0
    """
    return Acceleration(report)


stand_ins.holds.append(lambda: Acceleration(report=False))


def traceable_of(module: nn.Module) -> Traceable | None:
    """Return what stands for an LSTM of torch's in traces and edits, while `accelerate` is active; else None."""
    return stand_ins.stand_in_of(module) if _patch.is_active else None
