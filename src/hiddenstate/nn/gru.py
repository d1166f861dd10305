"""The layer `GRU`, a drop-in replacement for torch's that you can see into."""

import torch
from torch import Tensor, nn

from hiddenstate.nn.quantised import WeightType
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.torch_modules import TORCH_GRU_CLASS
from hiddenstate.structure.sizes import Sizes, refuse_projection


class GRU(Recurrent[Tensor, nn.GRU]):
    r"""A multi-layer gated recurrent unit network: a `torch.nn.GRU` that you can see into.

    Each layer and direction computes, at every time step t::

        r = σ(W_ir·x + b_ir + W_hr·h + b_hr)          reset gate: the part of the state that n reads
        z = σ(W_iz·x + b_iz + W_hz·h + b_hz)          update gate: what is kept
        n = tanh(W_in·x + b_in + r ∘ (W_hn·h + b_hn)) candidate state: what would be written
        h = z ∘ h + (1 - z) ∘ n                       hidden state: the memory and the output

    Arguments, parameters, initial values and results equal those of `torch.nn.GRU`, and either class loads the other's
    ``state_dict``. The state ``hx`` is one tensor. Everything else works as in `hiddenstate.LSTM`: ``lengths=``,
    ``reset=``, traces, edits, streams.

    Its arguments and errors are those of `hiddenstate.LSTM`; ``proj_size`` is refused (an `ArgumentError`), as torch
    does: only an LSTM has a projection.

    >>> gru = GRU(input_size=4, hidden_size=3)
    >>> out, h_n = gru(torch.zeros(5, 2, 4))
    >>> out.shape, h_n.shape
    (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]))
    """

    _torch = TORCH_GRU_CLASS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
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
        sizes = Sizes(input_size, hidden_size, num_layers, bias, bidirectional, cell="GRU")
        super().__init__(sizes, batch_first, dropout, device, dtype, weights)
