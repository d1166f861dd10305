"""The arguments of torch's function beneath `torch.nn.LSTM`, `GRU` or `RNN`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from hiddenstate.engine.inputs import CallOptions


class TorchArguments(NamedTuple):
    """The arguments of torch's function, by name, and the kind of cell that it computes."""

    cell: str
    x: Tensor
    batch_sizes: Tensor | None
    hx: Sequence[Tensor]  # the states, even if there is only one
    flat: Sequence[Tensor]
    bias: bool
    num_layers: int
    dropout: float
    training: bool
    bidirectional: bool
    batch_first: bool

    @property
    def options(self) -> CallOptions:
        """The options of the call."""
        return CallOptions(self.batch_first, self.dropout if self.training else 0.0, self.training)


def name_arguments(cell: str, arguments: Sequence[Any]) -> TorchArguments:
    """Name torch's arguments: a packed sequence comes as ``data, batch_sizes`` and is never batch first."""
    if isinstance(arguments[2 if cell == "LSTM" else 3], (tuple, list)) and isinstance(arguments[1], Tensor):
        x, batch_sizes, hx, *others = [*arguments, False]
    else:
        x, hx, *others = arguments
        batch_sizes = None
    return TorchArguments._make([cell, x, batch_sizes, (hx,) if isinstance(hx, Tensor) else hx, *others])
