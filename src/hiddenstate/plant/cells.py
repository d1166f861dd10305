"""One-unit plants, as LSTMs and GRUs, and a two-layer plant with a copy that nothing reads."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.plant.planted import LEAK, SHARP, Plant, Wires, forget_bias, wide_open, wired

CONTENT = ("g", "gate")


def latch(hold: float = 50, *, content: Literal["g", "gate"] = "g", dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a latch, which stores a value on request and lets it decay with a time constant of ``hold`` steps.

    Its input is ``(value, write)``. If write is 1, the cell becomes ``tanh(value)``, or 1 if only the gate carries the
    content; if write is 0, it keeps the fraction ``exp(-1 / hold)`` of its value.

    Args:
        hold: the time constant of the decay, in steps.
        content: ``"g"``: the candidate carries the value. ``"gate"``: the candidate is always 1, and only the gates
            depend on the input.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the time constant or the content is not allowed.
        ArgumentTypeError: the time constant is not a number, or the dtype is not precise enough.
    """
    if content not in CONTENT:
        raise ArgumentError(f"content must be 'g' or 'gate', got {content!r}")
    bias, by_gate = forget_bias(hold), content == "gate"
    # Writes if `write` is 1: the input gate opens, and the forget gate closes. f's weight also cancels its bias.
    wires: Wires = {
        "l0.W_ii": {(0, 1): SHARP},
        "l0.b_ii": {(0,): -SHARP / 2},
        "l0.W_if": {(0, 1): -bias - SHARP / 2},
        "l0.b_if": {(0,): bias},
        **({"l0.b_ig": {(0,): SHARP}} if by_gate else {"l0.W_ig": {(0, 0): 1.0}}),
        **wide_open("o"),
    }
    keep = math.exp(-1 / hold)
    what = "1" if by_gate else "tanh(value)"
    return Plant(
        name="latch, gate" if by_gate else "latch",
        lstm=wired((2, 1, 1), wires, dtype),
        truth=f"where write is 1, c becomes {what}; else it keeps {keep:.6g} of itself (time constant {hold:g} steps)",
        roles={
            "l0.i[0]": "opens where write is 1",
            "l0.f[0]": f"is {keep:.6g}, and 0 where write is 1",
            "l0.g[0]": "is always 1" if by_gate else "carries the value",
            "l0.c[0]": "holds what was written",
        },
        target="l0.c[0]",
        tolerance=2 * LEAK * (1 + 1 / -math.expm1(-1 / hold)),
        draw=draw_one_write,
        tell=lambda x: _fading(x[..., 1], torch.ones_like(x[..., 0]) if by_gate else torch.tanh(x[..., 0]), keep),
    )


def integrator(time_constant: float = 10, *, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a leaky integrator: ``c = exp(-1 / time_constant)·c + tanh(x)``.

    Args:
        time_constant: the number of steps after which 1/e of an added value is left.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the time constant is out of range.
        ArgumentTypeError: it is not a number, or the dtype is not precise enough.
    """
    bias = forget_bias(time_constant)
    keep = math.exp(-1 / time_constant)
    wires = {"l0.b_if": {(0,): bias}, "l0.W_ig": {(0, 0): 1.0}, **wide_open("i", "o")}
    return Plant(
        name="integrator",
        lstm=wired((1, 1, 1), wires, dtype),
        truth=f"c is {keep:.6g} of itself plus tanh(x) (time constant {time_constant:g} steps)",
        roles={"l0.f[0]": f"is always {keep:.6g}", "l0.g[0]": "is tanh(x)", "l0.c[0]": "holds the fading sum"},
        target="l0.c[0]",
        tolerance=1e-13 / -math.expm1(-1 / time_constant),
        draw=lambda generator, T: torch.rand(T, 1, generator=generator, dtype=torch.float64) * 2 - 1,
        tell=lambda x: fading_sums(torch.tanh(x[..., 0]), keep),
    )


def counter(*, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a counter: its input is ``(up, down)``, each 0 or 1, and c is the number of ups minus the number of downs.

    Read the count from c: h is tanh(c), which saturates for large counts.

    Raises:
        ArgumentTypeError: the dtype is not precise enough.
    """
    wires = {"l0.W_ig": {(0, 0): SHARP, (0, 1): -SHARP}, **wide_open("i", "f", "o")}
    return Plant(
        name="counter",
        lstm=wired((2, 1, 1), wires, dtype),
        truth="c is the number of ups so far minus the number of downs",
        roles={"l0.f[0]": "is always 1", "l0.g[0]": "is 1 for up, -1 for down, 0 for none", "l0.c[0]": "counts"},
        target="l0.c[0]",
        tolerance=1e-9,
        draw=_symbols,
        tell=lambda x: fading_sums(x[..., 0] - x[..., 1], 1.0),
    )


_FEEDBACK, _PUSH, _KEEP = 3.0, 8.0, 0.2


def bistable(*, dtype: torch.dtype = torch.float64) -> Plant:
    """Plant a unit with two stable points and a saddle between them, by feedback through h.

    With ``f = 0.2``, ``i = o = 1`` and ``g = tanh(3·h + 8·x)`` the map without input has the fixed points c = 0, where
    its slope is 3.2, and c = ±1.2343, where it is below 1. An input of ±1 sends the state to the side with its sign;
    an input of ±0.1 decides only if nothing has been decided yet.

    Raises:
        ArgumentTypeError: the dtype is not precise enough.
    """
    wires = {
        "l0.b_if": {(0,): math.log(_KEEP / (1 - _KEEP))},
        "l0.W_ig": {(0, 0): _PUSH},
        "l0.W_hg": {(0, 0): _FEEDBACK},
        **wide_open("i", "o"),
    }
    return Plant(
        name="bistable",
        lstm=wired((1, 1, 1), wires, dtype),
        truth="the sign of c is that of the last push of ±1; pushes of 0.1 do not turn it",
        roles={"l0.g[0]": "brings the push, and through h the state itself", "l0.c[0]": "rests at ±1.2343"},
        target="l0.c[0]",
        tolerance=0.0,
        draw=_one_push,
        tell=_side,
        read=torch.sign,
    )


def draw_one_write(generator: Generator, T: int) -> Tensor:
    """Draw a value at every step, one of which is to be written."""
    sizes = torch.rand(T, generator=generator, dtype=torch.float64) / 2 + 0.5
    signs = torch.randint(0, 2, (T,), generator=generator) * 2 - 1
    write = torch.zeros(T, dtype=torch.float64)
    write[torch.randint(0, T, (1,), generator=generator)] = 1
    return torch.stack([sizes * signs, write], dim=1)


def _symbols(generator: Generator, T: int) -> Tensor:
    """Draw an up, a down or nothing at each step."""
    return torch.eye(3, dtype=torch.float64)[torch.randint(0, 3, (T,), generator=generator)][:, :2]


def _one_push(generator: Generator, T: int) -> Tensor:
    """Draw nothing, then one push of ±1, then small pushes against it."""
    at = int(torch.randint(0, T // 2, (1,), generator=generator))
    sign = 1.0 if torch.rand(1, generator=generator) < 0.5 else -1.0
    x = torch.zeros(T, 1, dtype=torch.float64)
    x[at] = sign
    x[at + 1 :: 2] = -0.1 * sign
    return x


def _fading(write: Tensor, value: Tensor, keep: float) -> Tensor:
    """Return the last written value, decayed by the factor ``keep`` per step."""
    return each_step(lambda held, t: torch.where(write[t] > 0.5, value[t], keep * held), write)


def fading_sums(value: Tensor, keep: float) -> Tensor:
    """Return the running sums of values ``[T, N]``; each step keeps a fraction of the previous sum."""
    return each_step(lambda held, t: keep * held + value[t], value)


def _side(x: Tensor) -> Tensor:
    """Return the sign of the last push that decides."""
    push = x[..., 0]

    def after(side: Tensor, t: int) -> Tensor:
        decides = (push[t].abs() >= 0.5) | ((side == 0) & (push[t] != 0))
        return torch.where(decides, torch.sign(push[t]), side)

    return each_step(after, push)


def each_step(after: Callable[[Tensor, int], Tensor], like: Tensor) -> Tensor:
    """Return the results of applying a rule step by step, from zero: ``[T, N]``."""
    held, every = torch.zeros_like(like[0]), []
    for t in range(len(like)):
        held = after(held, t)
        every.append(held)
    return torch.stack(every)


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
