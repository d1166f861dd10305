"""The GRU cell: the only Python code that defines its gate order and equations.

Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", in
the form and with the names used by torch and cuDNN: the reset gate multiplies the recurrent part of the candidate after
the matrix product, so this part has its own bias.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.cells.cell import Cell, Gate, GatePart, MemorySplit, State, ValueHook, Weights


def step(xg: Tensor, states: tuple[Tensor, ...], w: Weights, see: ValueHook) -> tuple[Tensor, ...]:
    """Compute one step (see `Cell`) from ``xg [N, 3H]`` and the hidden state ``[N, H]``: the four equations."""
    (h,) = states
    # Contiguous, because torch rounds the sigmoid of a strided tensor differently, and an edit that changes nothing
    # but the strides must change no result.
    r_x, z_x, n_x = (part.contiguous() for part in xg.chunk(3, dim=-1))
    r_h, z_h, n_h = (part.contiguous() for part in linear(h, w.hh, w.b_hh).chunk(3, dim=-1))
    r = see("r", torch.sigmoid(see("r_pre", r_x + r_h)))
    z = see("z", torch.sigmoid(see("z_pre", z_x + z_h)))
    n_rh = see("n_rh", r * see("n_h", n_h))
    n = see("n", torch.tanh(see("n_pre", n_x + n_rh)))
    return (see("h", z * h + (1 - z) * n),)


def _split(v: Mapping[str, Tensor]) -> MemorySplit:
    return MemorySplit(keep=v["z"], write=1 - v["z"], show=torch.ones_like(v["z"]))


GRU = Cell(
    name="GRU",
    gates=(
        Gate("r", "reset gate", "sigmoid"),
        Gate("z", "update gate", "sigmoid"),
        Gate("n", "candidate state", "tanh", scale="r"),
    ),
    states=(State("h", "hidden state", (("z", "h_prev"), ("(1-z)", "n"))),),
    memory="h",
    candidate="n",
    step=step,
    split=_split,
    keeper="z",
    writer="n",
    is_bounded=True,
    parts=(
        GatePart("n_h", "the state's part of n, before the reset gate", "n"),
        GatePart("n_rh", "the state's part of n, after the reset gate", "n"),
    ),
    hints={
        "r": "1 lets n read the state",
        "z": "1 keeps the state",
        "n": "what can be written",
        "h": "memory and output",
    },
)
