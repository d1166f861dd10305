"""The plain RNN cells, with tanh or relu: Elman (1990), "Finding Structure in Time", in torch's form and names."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import linear

from hiddenstate.cells.cell import Cell, Gate, MemorySplit, State, ValueHook, Weights


def step(gate: Gate, xg: Tensor, states: tuple[Tensor, ...], w: Weights, see: ValueHook) -> tuple[Tensor, ...]:
    """Compute one step (see `Cell`); the new hidden state is the gate, with its nonlinearity."""
    return (see("h", gate(see("h_pre", xg + linear(states[0], w.hh, w.b_hh)))),)


def _split(v: Mapping[str, Tensor]) -> MemorySplit:
    ones = torch.ones_like(v["h"])
    return MemorySplit(keep=0 * ones, write=ones, show=ones)


def _cell(gate: Gate, name: str) -> Cell:
    return Cell(
        name=name,
        gates=(gate,),
        states=(State("h", gate.meaning, ()),),
        memory="h",
        candidate="h",
        step=partial(step, gate),
        split=_split,
        is_additive=False,
        is_bounded=gate.bounds is not None,
        hints={"h": "memory and output"},
    )


RNN_TANH = _cell(Gate("h", "hidden state", "tanh"), "RNN_TANH")
RNN_RELU = _cell(Gate("h", "hidden state", "relu"), "RNN_RELU")
