"""Sets the weights of a layer by hand."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes

# The slope of a decision. σ(SHARP) is 1 in float64, σ(±SHARP / 2) is 2e-9 from 0 or 1.
SHARP = 40.0
LEAK = 1 / (1 + math.exp(SHARP / 2))

Wires = Mapping[str, Mapping[Any, float] | Tensor]


def wired(sizes: tuple[int, int, int], wires: Wires, dtype: torch.dtype, cell: str = "LSTM") -> Any:
    """Make an LSTM or a GRU of these sizes, whose weights are given by the wires and are zero elsewhere.

    Args:
        sizes: input size, hidden size, layers.
        wires: maps a weight's name, such as ``"l0.W_ig"``, to its whole value, or to a mapping from indices to values.
        dtype: the data type of the parameters.
        cell: the kind of cell.

    Raises:
        ArgumentTypeError: the dtype is not precise enough for the plant.
    """
    if dtype not in (torch.float32, torch.float64):
        raise ArgumentTypeError(f"plants are made in torch.float32 or torch.float64, got {dtype}")
    lstm = new_layer(Sizes(*sizes, cell=cell), dtype=dtype)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        for name, entries in wires.items():
            weight = lstm.weight(name)
            if isinstance(entries, Tensor):
                weight.copy_(entries)
            else:
                for index, value in entries.items():
                    weight[index] = value
    return lstm


def forget_bias(time_constant: float) -> float:
    """Return the bias of a forget gate that keeps the fraction ``exp(-1 / time_constant)`` at each step.

    It is ``-log(exp(1 / T) - 1)``, since ``σ(b) = 1 / (1 + exp(-b))`` is then ``exp(-1 / T)``.

    Raises:
        ArgumentError: the time constant is not between 0.01 and 1e15 steps.
        ArgumentTypeError: it is not a number.

    >>> round(1 / (1 + math.exp(-forget_bias(50))), 6) == round(math.exp(-1 / 50), 6)
    True
    """
    if isinstance(time_constant, bool) or not isinstance(time_constant, (int, float)):
        raise ArgumentTypeError(f"a time constant must be a number of steps, got {type(time_constant).__name__}")
    if not 0.01 <= time_constant <= 1e15:
        raise ArgumentError(f"a time constant must be between 0.01 and 1e15 steps, got {time_constant}")
    return -math.log(math.expm1(1 / time_constant))


def wide_open(*gates: str, layer: int = 0) -> Wires:
    """Return biases that keep gates of unit 0 at 1."""
    return {f"l{layer}.b_i{gate}": {(0,): SHARP} for gate in gates}
