"""The base class of the layers whose calls can be recorded."""

from typing import ClassVar

from torch import nn


class Traceable(nn.Module):
    """A module whose calls can be recorded: `hiddenstate.LSTM` and `hiddenstate.LSTMCell` are such."""

    # Whether a call is one time step: then successive calls that carry the state are one trace.
    _traces_steps: ClassVar[bool] = False

    def _traced_layers(self) -> tuple[int, bool]:
        """Return how many layers there are to record, and whether there is a reverse direction."""
        raise NotImplementedError
