"""Planted one-unit GRUs: a latch and a counter. `automata.py` has automata made of GRUs."""

import math

import torch
from torch import Generator, Tensor

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.plant.cells import draw_one_write, each_step
from hiddenstate.plant.planted import Plant
from hiddenstate.plant.wiring import SHARP, Wires, wired


def gru_latch(*, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a latch in a GRU: its unit stores a value on request and keeps it.

    Its input is ``(value, write)``. If write is 1, ``z = 0`` and h becomes ``tanh(value)``; if it is 0, ``z = 1`` and h
    does not change at all, because σ(40) rounds to 1.

    Raises:
        ArgumentTypeError: the dtype is not precise enough.
    """
    wires: Wires = {"l0.W_iz": {(0, 1): -2 * SHARP}, "l0.b_iz": {(0,): SHARP}, "l0.W_in": {(0, 0): 1.0}}
    return Plant(
        name="GRU latch",
        lstm=wired((2, 1, 1), wires, dtype, "GRU"),
        truth="where write is 1, h becomes tanh(value); else it stays as it is",
        roles={"l0.z[0]": "is 1, and 0 where write is 1", "l0.n[0]": "carries the value", "l0.h[0]": "holds it"},
        target="l0.h[0]",
        tolerance=1e-15,
        draw=draw_one_write,
        tell=lambda x: each_step(lambda h, t: torch.where(x[t, :, 1] > 0.5, torch.tanh(x[t, :, 0]), h), x[..., 0]),
    )


def gru_counter(keep: float = 0.9, *, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a counter in a GRU: h is ``keep`` to the power of the number of ups since the last start.

    Its input is ``(start, up)``, each 0 or 1. A GRU's state stays between -1 and 1, so it cannot count by adding, as an
    LSTM's cell state can; it counts by multiplying. The count is ``log(h) / log(keep)``. A start sets h to 1, an up
    multiplies it by ``z = keep``, and otherwise ``z = 1``.

    Args:
        keep: the factor of one up, between 0 and 1.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the factor is not between 0.01 and 0.99.
        ArgumentTypeError: the factor is not a number, or the dtype is not precise enough.
    """
    if isinstance(keep, bool) or not isinstance(keep, (int, float)):
        raise ArgumentTypeError(f"keep must be a number, got {type(keep).__name__}")
    if not 0.01 <= keep <= 0.99:
        raise ArgumentError(f"keep must be between 0.01 and 0.99, got {keep}")
    bias = math.log(keep / (1 - keep))  # the inverse of σ at keep
    wires: Wires = {
        "l0.W_iz": {(0, 0): -2 * SHARP, (0, 1): bias - SHARP},
        "l0.b_iz": {(0,): SHARP},
        "l0.W_in": {(0, 0): SHARP},
    }

    def count(h: Tensor, start: Tensor, up: Tensor) -> Tensor:
        return torch.where(start > 0.5, 1.0, torch.where(up > 0.5, keep * h, h))

    return Plant(
        name="GRU counter",
        lstm=wired((2, 1, 1), wires, dtype, "GRU"),
        truth=f"h is {keep:g} to the power of the number of ups since the last start, and 0 before the first",
        roles={
            "l0.z[0]": f"is 1, {keep:g} at an up and 0 at a start",
            "l0.n[0]": "is 1 at a start, else 0",
            "l0.h[0]": "counts by multiplying",
        },
        target="l0.h[0]",
        tolerance=1e-13,
        draw=_one_start,
        tell=lambda x: each_step(lambda h, t: count(h, x[t, :, 0], x[t, :, 1]), x[..., 0]),
    )


def _one_start(generator: Generator, T: int) -> Tensor:
    """Draw ups and nothing, with a start in the first half."""
    x = torch.zeros(T, 2, dtype=torch.float64)
    x[:, 1] = torch.randint(0, 2, (T,), generator=generator).double()
    x[int(torch.randint(0, max(1, T // 2), (1,), generator=generator))] = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return x
