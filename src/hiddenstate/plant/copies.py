"""A two-layer plant with a copy that nothing reads."""

import math

import torch
from torch import Generator, Tensor

from hiddenstate.plant.cells import integrator
from hiddenstate.plant.planted import Plant
from hiddenstate.plant.wiring import SHARP, forget_bias, wide_open, wired


def copied_unread(hold: float = 20, *, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant two copies, only one of which is read: layer 0 copies both input features, but layer 1 sums only the first.

    The second feature can be read from ``l0.h[1]`` at every step, so a probe finds it there; but no weight reads that
    unit, so it is not used.

    Args:
        hold: the time constant of the sum in layer 1, in steps.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the time constant is out of range.
        ArgumentTypeError: it is not a number, or the dtype is not precise enough.
    """
    bias, keep = forget_bias(hold), math.exp(-1 / hold)
    both = ((0,), (1,))
    wires = {
        "l0.W_ig": {(0, 0): 1.0, (1, 1): 1.0},
        **{f"l0.b_i{gate}": dict.fromkeys(both, SHARP if gate != "f" else -SHARP) for gate in "ifo"},
        "l1.W_ig": {(0, 0): 1.0},
        "l1.b_if": {(0,): bias},
        **wide_open("i", "o", layer=1),
    }
    sums = integrator(hold)
    return Plant(
        name="copied_unread",
        lstm=wired((2, 2, 2), wires, dtype),
        truth=f"l1.c[0] is {keep:.6g} of itself plus tanh(tanh(tanh(x[0]))); l0.h[1] copies x[1], which nothing reads",
        roles={
            "l0.h[0]": "copies feature 0: tanh(tanh(x[0]))",
            "l0.h[1]": "copies feature 1, and no weight reads it",
            "l1.c[0]": "sums the first copy",
            "l1.c[1]": "is always 0",
        },
        target="l1.c[0]",
        tolerance=1e-13 / -math.expm1(-1 / hold),
        draw=_one_feature_a_step,
        tell=lambda x: sums.tell(torch.tanh(torch.tanh(x[..., :1]))),
    )


def _one_feature_a_step(generator: Generator, T: int) -> Tensor:
    """Draw inputs in which, at each step, one of the two features has a value and the other is 0."""
    values = torch.rand(T, 1, generator=generator, dtype=torch.float64) * 2 - 1
    chosen = torch.randint(0, 2, (T,), generator=generator)
    return values * torch.eye(2, dtype=torch.float64)[chosen]
