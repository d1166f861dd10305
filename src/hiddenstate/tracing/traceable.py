"""The base class of the layers whose calls can be recorded."""

from collections.abc import Callable
from typing import ClassVar

from torch import nn

from hiddenstate.base import registry


class Traceable(nn.Module):
    """A module whose calls can be recorded: `hiddenstate.LSTM` and `hiddenstate.LSTMCell` are such."""

    # Whether a call is one time step: then successive calls that carry the state are one trace.
    _traces_steps: ClassVar[bool] = False

    def _traced_layers(self) -> tuple[int, bool]:
        """Return how many layers there are to record, and whether there is a reverse direction."""
        raise NotImplementedError


# Each returns what stands for a module of another kind whose calls can be recorded, or None. `interop`, which is above
# this room, adds the one for LSTMs of torch's.
stand_ins: list[Callable[[nn.Module], Traceable | None]] = registry.stand_ins


def find_recordable(module: nn.Module) -> Traceable | None:
    """Return what records and edits go to for a module: itself, or what stands for it; None if it can't be recorded."""
    if isinstance(module, Traceable):
        return module
    return next((found for stand_in in stand_ins if (found := stand_in(module)) is not None), None)
