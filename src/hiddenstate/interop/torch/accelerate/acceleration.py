"""`accelerate`: torch's own LSTMs run on the engine, in a block or until it is undone."""

import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block
from hiddenstate.interop.torch.accelerate import served, stand_ins
from hiddenstate.interop.torch.accelerate.counts import AccelerationReport, Counts, Tally
from hiddenstate.tracing.traceable import Traceable

_VF: Any = torch._VF
_FUNCTIONS: dict[str, Callable[[Callable[..., Any], Counts], Callable[..., Any]]] = {
    "lstm": served.lstm_function,
    "lstm_cell": served.lstm_cell_function,
}
_counts = Counts()
_beginning = ForkSafeLock()
# What replaces torch's functions while any block is open.
_switches: Sequence[Switch] = ()


@cache  # kept for good: TorchScript knows a function by its address
def _function(name: str, torchs: Callable[..., Any]) -> Callable[..., Any]:
    ours = _FUNCTIONS[name](torchs, _counts)
    # Lets `torch.jit.script`, while the block is open, compile a call of ours to torch's operator.
    torch.jit._builtins._register_builtin(ours, f"aten::{name}")
    return ours


def _is_active() -> bool:
    return any(switch.count for switch in _switches)


def _renew() -> None:
    """Take torch's functions as they are now, and count from zero."""
    global _switches
    _switches = tuple(Switch(vars(_VF), name, _function(name, getattr(_VF, name))) for name in _FUNCTIONS)
    _counts.begin()


class Acceleration(Block):
    """What `accelerate` returns: undoes it, at the end of a ``with`` block or by `undo`, and reports."""

    def __init__(self, report: bool) -> None:
        try:
            with _beginning.lock:
                if not _is_active():
                    _renew()
                tally = _counts.now
                super().__init__(switches=tuple(_switches), after=partial(_print, tally) if report else None)
                self._tally = tally
                self.open_for_good()
        except BaseException:  # KeyboardInterrupt, say: nobody would get this object, and so undo it
            if hasattr(self, "_tally"):
                self.close()
            raise

    def undo(self) -> None:
        """Give torch its functions back, unless others still ask for the engine; a second time does nothing."""
        self.close()

    def report(self) -> AccelerationReport:
        """Return how often which path ran, and why torch computed the other calls.

        Counted in the whole process, since the outermost of nested blocks began.
        """
        return self._tally.report()


def _print(tally: Tally) -> None:
    print(tally.report(), file=sys.stderr)


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


stand_ins.holds.append(lambda: _switches)


def find_traceable(module: nn.Module) -> Traceable | None:
    """Return what stands for an LSTM of torch's in traces and edits, while `accelerate` is active; else None."""
    return stand_ins.find_stand_in(module) if _is_active() else None
