"""Checks of chapter 2: hidden state and gates."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.course.answers import Check, called, near, seeded, tensor, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.names import GATES

SIZES = ((4, 3), (1, 1), (5, 17))
ONNX = "iofg"  # ONNX's c is called g here
HOLD, FLAG = 50, 3
TORCH = "".join(GATES)


def cell(answer: object) -> str:
    """Check exercise 2.2: one step of an LSTM, its values and its gradients."""
    for seed, (inputs, units) in enumerate(SIZES):
        with seeded(22 + seed):
            made = nn.LSTMCell(inputs, units)
            x, h, c = torch.randn(2, inputs), torch.randn(2, units), torch.randn(2, units)
        weights = list(made.parameters())
        given = _states(called(answer, x, h, c, *weights), units)
        wanted = made(x, (h, c))
        if not all(map(near, given, wanted)):
            raise _other_cell(given, (x, h, c), weights)
        if not given[0].requires_grad or not all(map(near, _gradients(given, weights), _gradients(wanted, weights))):
            raise wrong("M27", "The values are right but the gradients are not: something is detached along the way.")
    return "Values and gradients match nn.LSTMCell at three sizes."


def _gradients(states: tuple[Tensor, Tensor], weights: list[nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(states[0].sum() + states[1].sum(), weights, materialize_grads=True, allow_unused=True)


def _states(given: object, units: int) -> tuple[Tensor, Tensor]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise wrong("M3", "The answer should be two tensors, h and c, in this order.")
    for each in given:
        tensor(each, 2, units)
    return given[0], given[1]


def _step(read: tuple[Tensor, ...], weights: list[nn.Parameter], **other: Any) -> tuple[Tensor, Tensor]:
    """Compute a step as a wrong answer does: gates in a different order, g through σ, h without tanh, and so on."""
    x, h, c = read
    z = x @ weights[0].T + weights[2] + h @ weights[1].T + weights[3] * other.get("b_hh", 1)
    parts = dict(zip(other.get("order", TORCH), z.chunk(4, dim=1), strict=True))
    i, f, o = (parts[gate].sigmoid() for gate in "ifo")
    g = parts["g"].sigmoid() if "gate" in other else parts["g"].tanh()
    c = i * c + f * g if "exchanged" in other else f * c + i * g
    return o * (c if "bare" in other else c.tanh()), c


def _other_cell(given: tuple[Tensor, Tensor], read: tuple[Tensor, ...], weights: list[nn.Parameter]) -> AnswerError:
    """Explain how a cell differs from torch's."""

    def is_that(**other: Any) -> bool:
        return all(map(near, given, _step(read, weights, **other)))

    if all(map(near, reversed(given), _step(read, weights))):
        return wrong("M3", "It returns c first and h second. torch returns h first: (h, c).")
    if is_that(gate=True):
        return wrong("M18", "g goes through σ here, like a gate. It is the candidate, between -1 and 1: use tanh.")
    if is_that(bare=True):
        return wrong("M19", "h is o·c here, as if c were bounded. It is not, so h is o·tanh(c).")
    if is_that(exchanged=True):
        return wrong("M17", "f multiplies the new value here, and i the old one. It is c = f·c_prev + i·g: f keeps.")
    if is_that(b_hh=0):
        return wrong("M21", "b_hh is missing. Both biases are added at every step.")
    order = next((order for order in map("".join, itertools.permutations(GATES)) if is_that(order=order)), None)
    if order is not None:
        return wrong("M15", f"The rows are read in the order {' '.join(order)}; torch stacks them {' '.join(TORCH)}.")
    gap = max(float((a - b).detach().abs().max()) for a, b in zip(given, _step(read, weights), strict=True))
    return wrong("", f"h or c is off by up to {gap:.4f}. Compare i, f, g and o with those of a trace, one by one.")


def from_onnx(answer: object) -> str:
    """Check exercise 2.3: a weight's rows converted from ONNX's gate order to torch's."""
    rows = torch.arange(12.0)[:, None] * torch.ones(1, 2)  # gate k has rows 3k, 3k+1, 3k+2
    given = tensor(called(answer, rows), 12, 2)[:, 0].reshape(4, 3)
    blocks = [int(first) // 3 for first in given[:, 0]]
    expected = torch.tensor([[3.0 * block + k for k in range(3)] for block in blocks])
    if not {0, 1, 2, 3}.issuperset(blocks) or not torch.equal(given, expected):
        raise wrong(
            "M16", "The rows of a gate are split up. A gate has H rows, one for each unit: move whole quarters."
        )
    order = "".join(ONNX[block] for block in blocks)
    if order == ONNX:
        raise wrong("M15", "Nothing was moved, so the output gate's rows are where torch reads the forget gate's.")
    if order != TORCH:
        why = " That is the reverse conversion, from torch's order to ONNX's." if blocks == [0, 3, 1, 2] else ""
        raise wrong(
            "M15", f"The quarters come out in the order {' '.join(order)}, but torch's is {' '.join(TORCH)}.{why}"
        )
    return "Of the 24 orders, you have the one that torch reads."


def forget_bias(answer: object) -> str:
    """Check exercise 2.4: a forget bias of exactly 1, in every layer and for no other gate."""
    with seeded(24):
        lstm = LSTM(4, 3, num_layers=2)
    before = _biases(lstm)
    if not callable(answer):
        raise wrong("", f"The answer should be a function, but its type is {type(answer).__name__}.")
    answer(lstm)
    after = _biases(lstm)
    if [name for name, bias in after.items() if near(bias, torch.ones(3))] != ["0f", "1f"]:
        raise _other_bias(before, after)
    return "The two biases add up to 1, so if x and h are 0, f = σ(1) = 0.731, in each layer."


def _biases(lstm: LSTM) -> dict[str, Tensor]:
    """Return the sum of the two biases, by layer and gate."""
    return {
        f"{layer}{gate}": (lstm.weight(f"l{layer}.b_i{gate}") + lstm.weight(f"l{layer}.b_h{gate}")).detach().clone()
        for layer in range(2)
        for gate in GATES
    }


def _other_bias(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> AnswerError:
    """Describe a forget bias that is not 1."""
    first = after["0f"]
    if all(torch.equal(before[name], after[name]) for name in before):
        return wrong(
            "M22", f"Nothing has changed: torch draws biases at random, which here add up to {float(first[0]):.2f}."
        )
    if all(near(after[f"{layer}f"], torch.ones(3)) for layer in range(2)):
        return wrong("", "A different gate's bias is 1 too. Set only the forget gate's rows, the second quarter, H:2H.")
    if any(near(bias, torch.ones(3)) for name, bias in after.items() if name[1] != "f"):
        return wrong(
            "M15", "The bias of a different gate is now 1. The forget gate's rows are the second quarter, H:2H."
        )
    if near(first, torch.full((3,), 2.0)):
        value = 1 / (1 + math.exp(-2))
        return wrong("M22", f"The forget bias is 2, and σ(2) = {value:.3f}: both vectors hold 1, and they are added.")
    if not near(first, torch.ones(3)):
        sums = ", ".join(f"{value:.2f}" for value in first.tolist())
        return wrong("M21", f"The two biases add up to {sums}: the values in the other vector count too.")
    return wrong("M12", "Layer 0 has it, but layer 1 does not. Each layer has its own biases.")


def latch(answer: object) -> str:
    """Check exercise 2.5: eight numbers for a unit that keeps the sign of a value that is marked by a flag."""
    if not isinstance(answer, Mapping) or sorted(answer) != sorted(GATES):
        raise wrong("M16", "The answer should be a weight and a bias for each of i, f, g, o.")
    if any(each is ... for pair in answer.values() for each in pair):
        raise wrong("", "Some of the eight numbers are still missing.")
    with seeded(25), torch.no_grad():
        values = torch.where(torch.rand(HOLD + FLAG, 8) > 0.5, 1.0, -1.0)
        flags = torch.zeros(HOLD + FLAG, 8)
        flags[FLAG - 1] = 1
        trace = _latch(answer).trace(torch.stack([values, flags], dim=-1))
    kept = {name: trace[f"l0.{name}"][FLAG:, :, 0] for name in "fiohc"}
    sign = values[FLAG - 1]
    if bool((kept["h"] * sign).min() > 0.5):
        return f"Fifty steps later h still has the sign, at |h| = {float(kept['h'][-1].abs().min()):.2f}."
    raise _lost(kept, sign)


def _lost(kept: Mapping[str, Tensor], sign: Tensor) -> AnswerError:
    """Explain why a unit lost the value it should keep."""
    f, i, o = float(kept["f"].min()), float(kept["i"].max()), float(kept["o"].min())
    if f < 0.05:
        return wrong("M17", f"f is {f:.2f} after the flag: closed. A closed forget gate forgets; an open one keeps.")
    if i > 0.05:
        return wrong("", f"i is {i:.2f} when there is no flag, so each new value is added to the one to keep.")
    if f < 0.98:
        return wrong("M20", f"f is {f:.2f}, and that to the power of {HOLD} is {f**HOLD:.1e}: too little is left.")
    if o < 0.5:
        return wrong("M3", f"c has the sign, but h does not: o is {o:.2f}, so the stored value is not output.")
    if bool((kept["h"] * sign).max() < 0):
        return wrong("", "It keeps the opposite sign: g has the sign of its weight times the value.")
    least = float((kept["h"] * sign).min())
    if least < 0:
        return wrong("", "h does not have the sign of the value in every case: for -1 it should be below -0.5.")
    shown = math.floor(1000 * least) / 1000  # rounded down, because 0.4998 is not 0.5
    said = f"|h| falls to {shown:.3f}, but should stay above 0.5 at all {HOLD} steps. Write more, or keep more."
    return wrong("", said)


def _latch(numbers: Mapping[str, Any]) -> LSTM:
    """Make the LSTM: each gate has a weight for the flag (g has one for the value) and a bias; h is not fed back."""
    lstm = LSTM(2, 1)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        for gate, (weight, bias) in numbers.items():
            lstm.weight(f"l0.W_i{gate}")[0, 0 if gate == "g" else 1] = float(weight)
            lstm.weight(f"l0.b_i{gate}")[0] = float(bias)
    return lstm


CHECKS: dict[str, Check] = {"2.2": cell, "2.3": from_onnx, "2.4": forget_bias, "2.5": latch}
