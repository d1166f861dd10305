"""The layer `RNN`, a drop-in replacement for torch's that you can see into; and each cell's layer class."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.errors import ArgumentError
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import WeightType
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.torch_modules import TORCH_RNN_CLASS
from hiddenstate.structure.sizes import Sizes, refuse_projection

MODES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}


class RNN(Recurrent[Tensor, nn.RNN]):
    r"""A multi-layer plain recurrent network, with tanh or relu: a `torch.nn.RNN` that you can see into.

    Each layer and direction computes, at every time step t::

        h = tanh(W_ih·x + b_ih + W_hh·h + b_hh)       hidden state: the memory and the output

    Arguments, parameters, initial values and results equal those of `torch.nn.RNN`, and either class loads the other's
    ``state_dict``. The state ``hx`` is one tensor. Everything else works as in `hiddenstate.LSTM`: ``lengths=``,
    ``reset=``, traces, edits, streams.

    Its arguments and errors are those of `hiddenstate.LSTM`, and ``nonlinearity``, which is ``"tanh"`` or ``"relu"``.
    ``proj_size`` is refused (an `ArgumentError`), as torch does: only an LSTM has a projection.

    >>> rnn = RNN(input_size=4, hidden_size=3, nonlinearity="relu")
    >>> out, h_n = rnn(torch.zeros(5, 2, 4))
    >>> out.shape, h_n.shape
    (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]))
    """

    _torch = TORCH_RNN_CLASS
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        weights: WeightType = "float",
        *,
        proj_size: None = None,
    ) -> None:
        refuse_projection(proj_size)
        mode = rnn_mode(nonlinearity)
        sizes = Sizes(input_size, hidden_size, num_layers, bias, bidirectional, cell=mode)
        super().__init__(sizes, batch_first, dropout, device, dtype, weights)
        self.nonlinearity = nonlinearity


def rnn_mode(nonlinearity: object) -> str:
    """Return the kind of cell with this nonlinearity; raise ArgumentError unless it is tanh or relu."""
    mode = MODES.get(nonlinearity) if isinstance(nonlinearity, str) else None
    if mode is None:
        raise ArgumentError(f"Unknown nonlinearity {nonlinearity!r:.50}. Select from 'tanh' or 'relu'.")
    return mode


Layer = LSTM | GRU | RNN

LAYERS: dict[str, type[Layer]] = {"LSTM": LSTM, "GRU": GRU, **dict.fromkeys(MODES.values(), RNN)}


def new_layer(sizes: Sizes, **options: Any) -> Any:
    """Make an `LSTM`, a `GRU` or an `RNN` with these sizes, and other arguments of its class."""
    arguments = asdict(sizes)
    cell = arguments.pop("cell")
    if not sizes.proj_size:
        del arguments["proj_size"]  # an option that only an LSTM has
    for nonlinearity, mode in MODES.items():
        if cell == mode:
            arguments["nonlinearity"] = nonlinearity
    return LAYERS[cell](**arguments, **options)
