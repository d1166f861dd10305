"""The layer `LSTM`, a drop-in replacement for torch's that you can see into."""

import torch
from torch import nn

from hiddenstate.base.validation import State
from hiddenstate.nn.quantised import WeightType
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.torch_modules import TORCH_LSTM_CLASS
from hiddenstate.structure.sizes import Sizes


class LSTM(Recurrent[State, nn.LSTM]):
    r"""A multi-layer long short-term memory network: a `torch.nn.LSTM` that you can see into.

    Each layer and direction computes, at every time step t::

        i = σ(W_ii·x + b_ii + W_hi·h + b_hi)      input gate: what is written
        f = σ(W_if·x + b_if + W_hf·h + b_hf)      forget gate: what is kept
        g = tanh(W_ig·x + b_ig + W_hg·h + b_hg)   cell candidate: what would be written
        o = σ(W_io·x + b_io + W_ho·h + b_ho)      output gate: what is output
        c = f ∘ c + i ∘ g                         cell state, the long-term memory
        h = o ∘ tanh(c)                           hidden state, the short-term memory and the output

    Arguments, parameters, initial values and results equal those of `torch.nn.LSTM`, and either class loads the other's
    ``state_dict``.

    Args:
        input_size: number of input features, C.
        hidden_size: number of units, H.
        num_layers: number of layers, L; each reads the outputs of the one below.
        bias: whether to use bias vectors.
        batch_first: input and output are ``[N, T, ...]`` instead of ``[T, N, ...]`` (states are not).
        dropout: the probability of zeroing each output of every layer except the last, in training.
        bidirectional: whether each layer also reads the sequence in reverse.
        proj_size: size P of the projected hidden state (Sak et al., 2014); 0 for no projection.
        device: the device of the parameters.
        dtype: the data type of the parameters.
        weights: how matrices are stored: ``"float"``, or ``"int8"`` with one scale per row, for inference. See
            `quantize`.

    Attributes:
        recompute_gates: whether the backward pass recomputes the gates instead of storing them in the forward pass,
            which takes less memory and more time. False by default.

    Raises:
        ArgumentError: a size or the dropout is out of range (a `ValueError`).
        ArgumentTypeError: an argument has a wrong type (a `TypeError`).

    >>> lstm = LSTM(input_size=4, hidden_size=3)
    >>> out, (h_n, c_n) = lstm(torch.zeros(5, 2, 4))
    >>> out.shape, h_n.shape, c_n.shape
    (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]), torch.Size([1, 2, 3]))
    """

    _torch = TORCH_LSTM_CLASS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        weights: WeightType = "float",
    ) -> None:
        sizes = Sizes(input_size, hidden_size, num_layers, bias, bidirectional, proj_size)
        super().__init__(sizes, batch_first, dropout, device, dtype, weights)
