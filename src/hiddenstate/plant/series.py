"""Plants that read series of several features: one feature at one lag, a sum of one feature, and a gate."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError
from hiddenstate.plant.cells import fading_sums
from hiddenstate.plant.planted import LEAK, SHARP, Plant, Wires, forget_bias, wide_open, wired

MOST_LAGS = 50  # the signal fades with each lag
MOST_FEATURES = 1024


def delay(lag: int = 5, feature: int = 2, features: int = 4, *, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a delay line: the answer depends on one feature at one lag, and on nothing else.

    Unit 0 reads the feature, and each unit copies what the unit before it had one step earlier, so the last one holds
    the value of ``lag`` steps ago, under two tanh for each unit.

    Args:
        lag: how many steps before the last one the feature is read, at most 50.
        feature: the feature that is read.
        features: the number of features.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the lag or the number of features is out of range.
        IndexRangeError: there is no such feature.
        ArgumentTypeError: an argument has the wrong type, or the dtype is not precise enough.
    """
    feature, features = _checked(feature, features)
    lag = check_int("lag", lag)
    if not 0 <= lag <= MOST_LAGS:
        raise ArgumentError(f"lag must be in 0..{MOST_LAGS}, got {lag}")
    units = range(lag + 1)
    wires: Wires = {
        "l0.W_ig": {(0, feature): 1.0},
        "l0.W_hg": {(unit, unit - 1): 1.0 for unit in units[1:]},
        **{f"l0.b_i{gate}": {(unit,): SHARP if gate != "f" else -SHARP for unit in units} for gate in "ifo"},
    }

    def tell(x: Tensor) -> Tensor:
        value = torch.cat([torch.zeros_like(x[:lag, :, feature]), x[: max(0, len(x) - lag), :, feature]])[: len(x)]
        for _ in range(2 * (lag + 1)):
            value = torch.tanh(value)
        return value

    return Plant(
        name="delay",
        lstm=wired((features, lag + 1, 1), wires, dtype),
        truth=f"h[{lag}] is feature {feature} of {lag} steps ago, under {2 * (lag + 1)} tanh",
        roles={f"l0.h[{unit}]": f"holds feature {feature} of {unit} steps ago" for unit in units},
        target=f"l0.h[{lag}]",
        tolerance=1e-12,
        draw=_values(features),
        tell=tell,
    )


def accumulator(feature: int = 1, features: int = 4, *, hold: float = 50, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a sum of one feature over all steps: ``c = exp(-1 / hold)·c + tanh(x[feature])``.

    Args:
        feature: the feature that is summed.
        features: the number of features.
        hold: the number of steps after which 1/e of an added value is left.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the number of features or the time constant is out of range.
        IndexRangeError: there is no such feature.
        ArgumentTypeError: an argument has the wrong type, or the dtype is not precise enough.
    """
    feature, features = _checked(feature, features)
    bias, keep = forget_bias(hold), math.exp(-1 / hold)
    wires: Wires = {"l0.b_if": {(0,): bias}, "l0.W_ig": {(0, feature): 1.0}, **wide_open("i", "o")}
    return Plant(
        name="accumulator",
        lstm=wired((features, 1, 1), wires, dtype),
        truth=f"c is {keep:.6g} of itself plus tanh of feature {feature}",
        roles={"l0.g[0]": f"is tanh of feature {feature}", "l0.c[0]": "holds the fading sum"},
        target="l0.c[0]",
        tolerance=1e-13 / -math.expm1(-1 / hold),
        draw=_values(features),
        tell=lambda x: fading_sums(torch.tanh(x[..., feature]), keep),
    )


def opened(
    gate: int = 3, feature: int = 0, features: int = 4, *, hold: float = 50, dtype: torch.dtype = torch.float64
) -> Plant:
    """Plant a gate that one feature opens for another: a sum of one feature over the steps where the other is 1.

    Args:
        gate: the feature that opens the input gate, 0 or 1 at each step.
        feature: the feature that is summed while the gate is open.
        features: the number of features.
        hold: the number of steps after which 1/e of an added value is left.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: both features are the same, or the number of features or the time constant is out of range.
        IndexRangeError: there is no such feature.
        ArgumentTypeError: an argument has the wrong type, or the dtype is not precise enough.
    """
    feature, features = _checked(feature, features)
    gate = resolve_one(gate, features, "feature")
    if gate == feature:
        raise ArgumentError(f"gate and feature are both {gate}: give two different features")
    bias, keep = forget_bias(hold), math.exp(-1 / hold)
    wires: Wires = {
        "l0.W_ii": {(0, gate): SHARP},
        "l0.b_ii": {(0,): -SHARP / 2},
        "l0.b_if": {(0,): bias},
        "l0.W_ig": {(0, feature): 1.0},
        **wide_open("o"),
    }

    def draw(generator: Generator, T: int) -> Tensor:
        x = _values(features)(generator, T)
        x[:, gate] = (torch.rand(T, generator=generator, dtype=torch.float64) < 0.5).double()
        x[int(torch.randint(0, T, (1,), generator=generator)), gate] = 1  # open at least once
        return x

    def tell(x: Tensor) -> Tensor:
        return fading_sums((x[..., gate] > 0.5) * torch.tanh(x[..., feature]), keep)

    return Plant(
        name="opened",
        lstm=wired((features, 1, 1), wires, dtype),
        truth=f"c is {keep:.6g} of itself, plus tanh of feature {feature} where feature {gate} is 1",
        roles={
            "l0.i[0]": f"opens where feature {gate} is 1",
            "l0.g[0]": f"is tanh of feature {feature}",
            "l0.c[0]": "holds the fading sum of what was let in",
        },
        target="l0.c[0]",
        tolerance=2 * LEAK * (1 + 1 / -math.expm1(-1 / hold)),
        draw=draw,
        tell=tell,
    )


def _checked(feature: int, features: int) -> tuple[int, int]:
    features = check_int("features", features)
    if not 1 <= features <= MOST_FEATURES:
        raise ArgumentError(f"features must be in 1..{MOST_FEATURES}, got {features}")
    return resolve_one(feature, features, "feature"), features


def _values(features: int) -> Callable[[Generator, int], Tensor]:
    """Return a function that draws values of 0.5 to 1.5 with random signs."""

    def draw(generator: Generator, T: int) -> Tensor:
        sizes = torch.rand(T, features, generator=generator, dtype=torch.float64) + 0.5
        return sizes * (torch.randint(0, 2, (T, features), generator=generator) * 2 - 1)

    return draw
