"""Makes copies of torch's layers as ours; `hiddenstate.convert` converts the modules themselves."""

from typing import overload

from torch import nn

from hiddenstate.base.messages import readable_name
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.interop.torch.class_swap import TO_OURS
from hiddenstate.nn.cell import GRUCell, LSTMCell, RNNCell
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import RNN
from hiddenstate.nn.torch_modules import rebuild


@overload
def from_torch(module: nn.LSTM) -> LSTM: ...
@overload
def from_torch(module: nn.LSTMCell) -> LSTMCell: ...
@overload
def from_torch(module: nn.GRU) -> GRU: ...
@overload
def from_torch(module: nn.GRUCell) -> GRUCell: ...
@overload
def from_torch(module: nn.RNN) -> RNN: ...
@overload
def from_torch(module: nn.RNNCell) -> RNNCell: ...


def from_torch(module: nn.Module) -> nn.Module:
    """Make our layer from torch's, with copies of its values, and its options, dtype, device, mode and attributes.

    Raises:
        ArgumentTypeError: the module is not a `torch.nn.LSTM`, `GRU`, `RNN` or cell of these.
        ArgumentError: the module has something that a copy would lose, such as parametrizations or hooks.
    """
    for route in TO_OURS:
        if isinstance(module, route.old):
            return rebuild(module, route.new, route.options)
    known = ", ".join(readable_name(route.old) for route in TO_OURS)
    raise ArgumentTypeError(f"from_torch takes one of {known}, got {readable_name(type(module))}")
