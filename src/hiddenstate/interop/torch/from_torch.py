"""Makes copies of torch's layers as ours; `hiddenstate.convert` converts the modules themselves."""

from typing import overload

from torch import nn

from hiddenstate.errors import ArgumentTypeError
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.torch_modules import CELL_OPTIONS, LSTM_OPTIONS, TORCH_CELL, TORCH_LSTM, rebuild


@overload
def from_torch(module: nn.LSTM) -> LSTM: ...


@overload
def from_torch(module: nn.LSTMCell) -> LSTMCell: ...


def from_torch(module: nn.LSTM | nn.LSTMCell) -> LSTM | LSTMCell:
    """Make our layer from torch's: same options, values, dtype, device and mode. Values are copied.

    Raises:
        ArgumentTypeError: the module is neither a `torch.nn.LSTM` nor a `torch.nn.LSTMCell`.
        ArgumentError: the module has parametrizations, which would be lost.
    """
    if isinstance(module, TORCH_LSTM):
        return rebuild(module, LSTM, LSTM_OPTIONS)
    if isinstance(module, TORCH_CELL):
        return rebuild(module, LSTMCell, CELL_OPTIONS)
    raise ArgumentTypeError(f"from_torch takes a torch.nn.LSTM or torch.nn.LSTMCell, got {type(module).__name__}")
