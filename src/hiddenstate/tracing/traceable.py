"""The base class of the layers whose calls can be recorded."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from torch import nn

from hiddenstate.base import later
from hiddenstate.structure.names import Layers


class Traceable(nn.Module):
    """A module whose calls can be recorded: `hiddenstate.LSTM` and `hiddenstate.LSTMCell` are examples."""

    # Whether a call is one time step, so that successive calls that carry the state form one trace.
    _traces_steps: ClassVar[bool] = False

    def _traced_layers(self) -> Layers:
        """Return the properties that determine the places."""
        raise NotImplementedError


# Each function returns a stand-in for a foreign module whose calls can be recorded, or None. `interop`, a higher-level
# package, adds the one for torch's LSTMs.
stand_ins: list[Callable[[nn.Module], Traceable | None]] = later.stand_ins


# Each returns a context manager in which torch's own layers have such stand-ins; `interop` adds `accelerate`.
accelerators: list[Callable[[], AbstractContextManager[object]]] = later.accelerators


def torchs_layers_recordable() -> AbstractContextManager[object]:
    """Return a context manager in which torch's own layers can be recorded and edited, too."""
    return accelerators[-1]() if accelerators else nullcontext()


def find_recordable(module: nn.Module) -> Traceable | None:
    """Return the target of a module's records and edits: itself, or its stand-in; None if it can't be recorded."""
    if isinstance(module, Traceable):
        return module
    return next((layer for stand_in in stand_ins if (layer := stand_in(module)) is not None), None)
