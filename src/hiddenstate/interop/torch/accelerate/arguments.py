"""The arguments of torch's function beneath `torch.nn.LSTM`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class LSTMArguments(NamedTuple):
    """The arguments of torch's function, by name."""

    x: Tensor
    batch_sizes: Tensor | None
    hx: Sequence[Tensor]
    flat: Sequence[Tensor]
    bias: bool
    num_layers: int
    dropout: float
    training: bool
    bidirectional: bool
    batch_first: bool


def name_arguments(arguments: Sequence[Any]) -> LSTMArguments:
    """Name torch's arguments: a packed sequence comes as ``data, batch_sizes`` and is never batch first."""
    if isinstance(arguments[1], Tensor):
        return LSTMArguments._make([*arguments, False])
    x, *others = arguments
    return LSTMArguments._make([x, None, *others])
