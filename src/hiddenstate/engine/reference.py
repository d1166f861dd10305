"""The LSTM in plain torch: the truth that every other path of this library is held to.

Hochreiter & Schmidhuber (1997), "Long Short-Term Memory", with the forget gate of Gers, Schmidhuber & Cummins
(2000), "Learning to Forget", and optionally the projection of Sak, Senior & Beaufays (2014), in the form and with
the names that torch gives them. Any device, any floating dtype, differentiable any number of times.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.structure.names import GATES

ValueHook = Callable[[str, Tensor], Tensor]


class Weights(NamedTuple):
    """The parameters of one layer and direction; gates are stacked in the order of `names.GATES`."""

    ih: Tensor  # [4H, C]
    hh: Tensor  # [4H, P]
    b_ih: Tensor | None  # [4H]
    b_hh: Tensor | None  # [4H]
    hr: Tensor | None  # [P, H], only with a projection


class Observer(Protocol):
    """Sees each value of a scan as it is made, and may hand back another in its place."""

    def carried(self, t: int) -> ValueHook:
        """Return the function that sees the values whose c and h go on to the next step."""

    def shown(self, t: int) -> ValueHook | None:
        """Return the function for the values that only this step's output is made of, if they differ."""


def step(xg: Tensor, h: Tensor, c: Tensor, w: Weights, see: ValueHook) -> tuple[Tensor, Tensor]:
    """One time step: the six equations.

    Args:
        xg: the input's part of the four pre-activations, W_i*·x + b_i*, ``[N, 4H]``.
        h: hidden state of the step before, ``[N, P]``.
        c: cell state of the step before, ``[N, H]``.
        w: the weights.
        see: called with the name and the value of each quantity; what it returns is used.

    Returns:
        The new hidden state ``[N, P]`` and cell state ``[N, H]``.
    """
    z = xg + linear(h, w.hh, w.b_hh)
    # Contiguous, since torch rounds the sigmoid of a strided tensor otherwise, and an edit that changes nothing (but
    # the strides) must change nothing.
    pre = {gate: part.contiguous() for gate, part in zip(GATES, z.chunk(len(GATES), dim=-1), strict=True)}
    i = see("i", torch.sigmoid(see("i_pre", pre["i"])))
    f = see("f", torch.sigmoid(see("f_pre", pre["f"])))
    g = see("g", torch.tanh(see("g_pre", pre["g"])))
    o = see("o", torch.sigmoid(see("o_pre", pre["o"])))
    c = see("c", f * c + i * g)
    h = see("h", project(o * torch.tanh(c), w))
    return h, c


def project(m: Tensor, w: Weights) -> Tensor:
    """Map the cell's output ``[N, H]`` to the hidden state ``[N, P]``: the same thing without a projection."""
    return m if w.hr is None else linear(m, w.hr)


def unseen(_name: str, value: Tensor) -> Tensor:
    """Look at nothing and change nothing."""
    return value


def scan(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    w: Weights,
    *,
    reverse: bool = False,
    live: Tensor | None = None,
    reset: Tensor | None = None,
    reset_to: tuple[Tensor, Tensor] | None = None,
    observer: Observer | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one layer in one direction over a sequence.

    Args:
        x: input, ``[T, N, C]``.
        h: initial hidden state, ``[N, P]``.
        c: initial cell state, ``[N, H]``.
        w: the weights.
        reverse: read the sequence from its last step to its first.
        live: bool ``[T, N]``, False where a row has ended: its output is zero there and its state waits.
        reset: bool ``[T, N]``, True where a new sequence begins: no state crosses the border before that step.
        reset_to: what the state is behind a border, h ``[K, P]`` and c ``[K, H]``: of each row (K = N), or of each step
            and row (K = T*N); None for zero.
        observer: records or edits the values.

    Returns:
        The output ``[T, N, P]`` and the final states ``[N, P]`` and ``[N, H]``.
    """
    if live is not None:  # what lies past an end must not matter, not even a NaN's gradient
        x = torch.where(live[..., None], x, 0)
        reset = None if reset is None else reset & live
    xg = linear(x, w.ih, w.b_ih)
    out: dict[int, Tensor] = {}
    for t in _reading_order(len(x), reverse):
        h, c = _cross_border((h, c), t, reset, reset_to, reverse)
        new_h, new_c = step(xg[t], h, c, w, observer.carried(t) if observer else unseen)
        shown = observer.shown(t) if observer else None
        out[t] = new_h if shown is None else step(xg[t], h, c, w, shown)[0]
        if live is None:
            h, c = new_h, new_c
        else:
            alive = live[t, :, None]
            h, c = torch.where(alive, new_h, h), torch.where(alive, new_c, c)
            out[t] = torch.where(alive, out[t], 0)
    return torch.stack([out[t] for t in range(len(x))]), h, c


def _reading_order(T: int, reverse: bool) -> Sequence[int]:
    return range(T - 1, -1, -1) if reverse else range(T)


def _cross_border(
    state: tuple[Tensor, Tensor], t: int, reset: Tensor | None, reset_to: tuple[Tensor, Tensor] | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Put another state in place of the one that comes into step t, where a border lies before it in reading order.

    ``reset[t]`` draws the border between steps t-1 and t. Reading forward one crosses it on the way into step t;
    reading in reverse, on the way into step t-1.
    """
    border = t + 1 if reverse else t
    if reset is None or border == len(reset):
        return state
    begins = reset[border, :, None]
    h, c = state
    new_h, new_c = (0, 0) if reset_to is None else (_of_border(part, border, len(h)) for part in reset_to)
    return torch.where(begins, new_h, h), torch.where(begins, new_c, c)


def _of_border(states: Tensor, t: int, N: int) -> Tensor:
    """The states ``[N, units]`` of the borders before step t."""
    return states if states.shape[0] == N else states[t * N : (t + 1) * N]
