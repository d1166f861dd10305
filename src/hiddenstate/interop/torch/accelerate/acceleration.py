"""`accelerate`: runs torch's own recurrent layers on the engine, in a block or until it is undone."""

import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.native_module import Switch
from hiddenstate.base.scoped import Block
from hiddenstate.cells.kinds import CELLS
from hiddenstate.interop.torch.accelerate import keras_layers, replacements, stand_ins
from hiddenstate.interop.torch.accelerate.replacements import AccelerationReport, Counts
from hiddenstate.tracing.traceable import Traceable

_VF: Any = torch._VF
_FUNCTIONS: dict[str, Callable[[Callable[..., Any], Counts], Callable[..., Any]]] = {
    **{cell.lower(): partial(replacements.layer_function, cell) for cell in CELLS},
    **{f"{cell.lower()}_cell": partial(replacements.cell_function, cell) for cell in CELLS},
}
_counts = Counts()
_beginning = ForkSafeLock()
# The replacements of torch's functions while any block is open, and those of Keras' functions.
_switches: Sequence[Switch] = ()
_keras_switches: Sequence[Switch] = ()
_open: set[object] = set()  # a mark of each open `Acceleration`
_keras_block: Block | None = None


@cache  # kept forever: TorchScript identifies a function by its address
def _function(name: str, torchs: Callable[..., Any]) -> Callable[..., Any]:
    ours = _FUNCTIONS[name](torchs, _counts)
    # Lets `torch.jit.script` compile calls of our function to torch's operator while the block is open.
    torch.jit._builtins._register_builtin(ours, f"aten::{name}")
    return ours


def _are_active(switches: Sequence[Switch]) -> bool:
    return any(switch.count for switch in switches)


class _KerasWatcher:
    """An entry of `sys.meta_path` that finds no module, but replaces Keras' functions once they are loaded."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Find nothing, and replace Keras' functions if they are loaded."""
        if name.startswith("keras."):
            _reach_keras()


def _reach_keras() -> None:
    """Keep Keras' functions replaced while an `Acceleration` is open; wait for Keras if it is not loaded."""
    global _keras_switches, _keras_block
    with _beginning.lock:
        backend = keras_layers.torch_backend()
        if _open and backend is not None and _keras_block is None:
            if not _are_active(_keras_switches):
                _keras_switches = keras_layers.switches(backend, _counts)
            _keras_block = Block(switches=tuple(_keras_switches))
            _keras_block.open_for_good()
        elif not _open and _keras_block is not None:
            _keras_block.close()
            _keras_block = None
        waits = bool(_open) and _keras_block is None
        if waits and _KerasWatcher not in sys.meta_path:
            sys.meta_path.insert(0, _KerasWatcher)
        elif not waits and _KerasWatcher in sys.meta_path:
            sys.meta_path.remove(_KerasWatcher)


def _begin(mark: object) -> None:
    _open.add(mark)
    _reach_keras()


def _end(mark: object, counted: AccelerationReport, report: bool) -> None:
    _open.discard(mark)
    _reach_keras()
    if report:
        print(_copy(counted), file=sys.stderr)


def _copy(counted: AccelerationReport) -> AccelerationReport:
    return AccelerationReport(dict(counted.served), dict(counted.left), dict(counted.reference))


def _renew() -> None:
    """Look up torch's current functions, and reset the counts."""
    global _switches
    # A kind of cell that torch lacks has no function to replace.
    names = [name for name in _FUNCTIONS if hasattr(_VF, name)]
    _switches = tuple(Switch(vars(_VF), name, _function(name, getattr(_VF, name))) for name in names)
    _counts.begin()


class Acceleration(Block):
    """The result of `accelerate`: undoes it at the end of a ``with`` block or by `undo`, and reports."""

    def __init__(self, report: bool) -> None:
        try:
            with _beginning.lock:
                if not _are_active(_switches):
                    _renew()
                counted, mark = _counts.now, object()
                begin, end = partial(_begin, mark), partial(_end, mark, counted, report)
                super().__init__(switches=tuple(_switches), before=begin, after=end)
                self._counted = counted
                self.open_for_good()
        except BaseException:  # such as KeyboardInterrupt, after which nobody would have this object to undo the change
            if hasattr(self, "_counted"):
                self.close()
            raise

    def undo(self) -> None:
        """Restore torch's functions, unless other blocks are still open; later calls do nothing."""
        self.close()

    def report(self) -> AccelerationReport:
        """Return how often each path ran, and why torch computed the other calls.

        Counts all calls in the process since the outermost block was opened.
        """
        return _copy(self._counted)


def accelerate(*, report: bool = False) -> Acceleration:
    """Run torch's LSTMs, GRUs and RNNs in this process, and their cells, on the engine; the modules stay torch's.

    The functions beneath the classes are replaced (``torch._VF.lstm``, ``torch._VF.gru_cell``, ...), so subclasses,
    ``isinstance``, pickles and ``state_dict`` are unaffected, and libraries that build their own LSTMs work, too. Calls
    that the engine does not support (on a GPU, of a type without a kernel, exported, scripted) are computed by torch.
    While it is active, `hiddenstate.trace` records all of torch's recurrent layers and cells by module path, and
    `hiddenstate.edit` edits them.

    The functions beneath Keras 3's recurrent layers on its torch backend are replaced too, once Keras is imported,
    which this function does not do. Calls that the engine does not support run Keras' own code.

    It applies to all threads of the process and to forked processes, but not to spawned ones. Calls nest: torch's
    functions are restored when the last one has been undone, in any order.

    Args:
        report: print to standard error, when it is undone, how often each path ran and why torch computed other calls.

    Returns:
        An `Acceleration`: a context manager that undoes it at the end of the block; its ``undo`` method does so too.

    >>> lstm, x = nn.LSTM(4, 3), torch.zeros(5, 2, 4)
    >>> with accelerate() as acceleration:
    ...     out, state = lstm(x)
    >>> acceleration.report().share
    1.0
    """
    return Acceleration(report)


stand_ins.holds.append(lambda: [*_switches, *_keras_switches])


def find_traceable(module: nn.Module) -> Traceable | None:
    """Return the stand-in for one of torch's or Keras' layers; None if `accelerate` is not active."""
    stand_in = stand_ins.find_stand_in(module) if _are_active(_switches) else None
    if stand_in is None and _are_active(_keras_switches):
        return keras_layers.find_stand_in(module)
    return stand_in
