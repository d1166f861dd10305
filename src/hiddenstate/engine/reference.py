"""Runs a cell over a sequence in plain torch: the reference against which every other path is tested.

The cell's step is in `cells`. It works on any device, with any floating dtype, and is differentiable any number of
times.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.cells.cell import Cell, ValueHook, Weights, ignore
from hiddenstate.cells.lstm import LSTM
from hiddenstate.structure.layer_direction import reading_order


class Observer(Protocol):
    """Receives each value of a scan when it is computed, and may return a replacement."""

    def carried(self, t: int) -> ValueHook:
        """Return the hook for the values whose states are passed on to the next step."""

    def shown(self, t: int) -> ValueHook | None:
        """Return the hook for the values of this step's output, if they differ."""


def scan(
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    w: Weights,
    *,
    cell: Cell = LSTM,
    reverse: bool = False,
    live: Tensor | None = None,
    reset: Tensor | None = None,
    reset_to: tuple[Tensor, ...] | None = None,
    observer: Observer | None = None,
) -> tuple[Tensor, ...]:
    """Run one layer in one direction over a sequence.

    Args:
        x: input, ``[T, N, C]``.
        h: initial hidden state, ``[N, P]``.
        c: initial cell state, ``[N, H]``; None if the cell has none.
        w: the weights.
        cell: the kind of cell.
        reverse: read the sequence from its last step to its first.
        live: bool ``[T, N]``, False where a row has ended: its output is zero there and its state does not change.
        reset: bool ``[T, N]``, True where a new sequence begins: no state crosses the border before that step.
        reset_to: the state after a border, h ``[K, P]`` and c ``[K, H]``: for each row (K = N), or for each step and
            row (K = T*N); None for zero.
        observer: records or edits the values.

    Returns:
        The output ``[T, N, P]`` and the final states ``[N, P]`` and, if there is a cell state, ``[N, H]``.
    """
    if live is not None:  # values past a row's end must have no effect, not even through the gradient of a NaN
        x = torch.where(live[..., None], x, 0)
        reset = None if reset is None else reset & live
    xg = linear(x, w.ih, w.b_ih)
    out: dict[int, Tensor] = {}
    state: tuple[Tensor, ...] = (h,) if c is None else (h, c)
    for t in reading_order(len(x), reverse):
        state = _cross_border(state, t, reset, reset_to, reverse)
        new = cell.step(xg[t], state, w, observer.carried(t) if observer else ignore)
        shown = observer.shown(t) if observer else None
        out[t] = (new if shown is None else cell.step(xg[t], state, w, shown))[0]
        if live is None:
            state = new
        else:
            alive = live[t, :, None]
            state = tuple(torch.where(alive, after, before) for after, before in zip(new, state, strict=True))
            out[t] = torch.where(alive, out[t], 0)
    return torch.stack([out[t] for t in range(len(x))]), *state


def _cross_border(
    state: tuple[Tensor, ...], t: int, reset: Tensor | None, reset_to: tuple[Tensor, ...] | None, reverse: bool
) -> tuple[Tensor, ...]:
    """Replace the state before step t in rows that have a border there, in reading order.

    ``reset[t]`` marks the border between steps t-1 and t. The forward direction crosses it before step t, the reverse
    direction before step t-1.
    """
    border = t + 1 if reverse else t
    if reset is None or border == len(reset):
        return state
    begins = reset[border, :, None]
    if reset_to is None:
        return tuple(torch.where(begins, 0, before) for before in state)
    N = len(state[0])  # there is one state for each row, or one for each step and row
    new = [part if part.shape[0] == N else part[border * N : (border + 1) * N] for part in reset_to]
    return tuple(torch.where(begins, after, before) for after, before in zip(new, state, strict=True))
