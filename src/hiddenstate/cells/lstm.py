"""The LSTM cell: the only Python code that defines its gate order and equations.

Hochreiter & Schmidhuber (1997), "Long Short-Term Memory", with the forget gate of Gers, Schmidhuber & Cummins (2000),
"Learning to Forget", and optionally the projection of Sak, Senior & Beaufays (2014), in the form and with the names
used by torch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.cells.cell import Cell, Gate, MemorySplit, State, ValueHook, Weights, project, secant


def step(xg: Tensor, states: tuple[Tensor, ...], w: Weights, see: ValueHook) -> tuple[Tensor, ...]:
    """Compute one step (see `Cell`) from ``xg [N, 4H]``, h ``[N, P]`` and c ``[N, H]``: the six equations."""
    h, c = states
    z = xg + linear(h, w.hh, w.b_hh)
    # Contiguous, because torch rounds the sigmoid of a strided tensor differently, and an edit that changes nothing
    # but the strides must change no result.
    i_pre, f_pre, g_pre, o_pre = (part.contiguous() for part in z.chunk(4, dim=-1))
    i = see("i", torch.sigmoid(see("i_pre", i_pre)))
    f = see("f", torch.sigmoid(see("f_pre", f_pre)))
    g = see("g", torch.tanh(see("g_pre", g_pre)))
    o = see("o", torch.sigmoid(see("o_pre", o_pre)))
    c = see("c", f * c + i * g)
    h = see("h", project(o * torch.tanh(c), w))
    return h, c


def _split(v: Mapping[str, Tensor]) -> MemorySplit:
    return MemorySplit(keep=v["f"], write=v["i"], show=v["o"] * secant(v["c"]))


LSTM = Cell(
    name="LSTM",
    gates=(
        Gate("i", "input gate", "sigmoid"),
        Gate("f", "forget gate", "sigmoid"),
        Gate("g", "cell candidate", "tanh"),
        Gate("o", "output gate", "sigmoid"),
    ),
    states=(
        State("c", "cell state", (("f", "c_prev"), ("i", "g"))),
        State("h", "hidden state", (("o", "tanh(c)"),)),
    ),
    memory="c",
    candidate="g",
    step=step,
    split=_split,
    carried=("h", "c"),
    keeper="f",
    writer="i",
    hints={
        "i": "1 writes g into the cell",
        "f": "1 keeps the cell",
        "g": "what can be written",
        "o": "1 shows the cell",
        "c": "long-term memory",
        "h": "short-term memory",
    },
)
