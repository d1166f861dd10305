"""Checks of chapter 2: hidden state and gates."""

import math
import numbers
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    case,
    explained,
    near,
    run,
    seeded,
    tensor,
    wrong,
)
from hiddenstate.course.exercises.cell_errors import TORCH, other_cell
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.names import GATES

SIZES = ((2, 4, 3), (3, 1, 1), (1, 5, 17))  # batch, inputs, units
ONNX = "iofg"  # ONNX's c is called g here
HOLD, FLAG = 50, 3


def cell(answer: object) -> str:
    """Check exercise 2.2: one step of an LSTM, its values and its gradients."""
    for seed, (rows, inputs, units) in enumerate(SIZES):
        with seeded(22 + seed):
            torch_cell = nn.LSTMCell(inputs, units)
            x, h, c = torch.randn(rows, inputs), torch.randn(rows, units), torch.randn(rows, units)
        weights = list(torch_cell.parameters())
        right = torch_cell(x, (h, c))
        with case(f"With x [{rows}, {inputs}] and h and c [{rows}, {units}]"):
            result = _states(called(answer, x, h, c, *weights), rows, units)
        if not all(map(near, result, right)):
            raise other_cell(result, right, (x, h, c), weights)
        if not all(state.requires_grad for state in result):
            raise wrong("The values are right, but no gradient reaches the weights: something is detached.")
        if not all(map(near, _gradients(result, weights), _gradients(right, weights))):
            raise wrong("The values are right, but the gradients are not: part of the computation is detached.")
    return "Values and gradients match nn.LSTMCell at three sizes."


def _gradients(states: tuple[Tensor, Tensor], weights: list[nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(states[0].sum() + states[1].sum(), weights, materialize_grads=True, allow_unused=True)


def _states(result: object, rows: int, units: int) -> tuple[Tensor, Tensor]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        count = f"{len(result)} of them" if isinstance(result, tuple | list) else type(result).__name__
        raise wrong(f"The answer should be two tensors, h and c, in this order, but it is {count}.")
    for state in result:
        tensor(state, rows, units)
    return result[0], result[1]


def from_onnx(answer: object) -> str:
    """Check exercise 2.3: a weight's rows converted from ONNX's gate order to torch's."""
    for units, columns in ((3, 2), (5, 4), (2, 1)):
        rows = torch.arange(4.0 * units * columns).view(4 * units, columns)
        other = {
            (4, units, columns): "`torch.stack` makes a new axis, `torch.cat` joins along the first.",
            (12, columns): "That is right for 3 units only: rows.chunk(4) cuts any H.",
            (units, 4 * columns): "The quarters are side by side: join them along the first axis.",
        }
        result = tensor(called(answer, rows), *rows.shape, other=other)
        quarters = dict(zip(ONNX, rows.chunk(4), strict=True))
        if not near(result, torch.cat([quarters[gate] for gate in TORCH])):
            raise _other_rows(result, rows, quarters)
    return "Of the 24 orders, you have the one that torch reads."


def _other_rows(result: Tensor, rows: Tensor, quarters: Mapping[str, Tensor]) -> AnswerError:
    """Explain the order of rows."""
    units, columns = len(rows) // 4, rows.shape[1]
    order = "".join(
        next((gate for gate, quarter in quarters.items() if near(quarter, part)), "?") for part in result.chunk(4)
    )
    if order == ONNX:
        return wrong("Nothing was moved, so the output gate's rows are where torch reads the forget gate's.", "M15")
    if "?" not in order:
        why = " That is the reverse conversion, from torch's order to ONNX's." if order == "igof" else ""
        lost = [gate for gate in TORCH if gate not in order]
        if lost:
            why = f" {' and '.join(lost)} is lost: a quarter was overwritten before it was moved, or used twice."
        return wrong(
            f"The quarters come out in the order {' '.join(order)}, but torch's is {' '.join(TORCH)}.{why}",
            "" if lost else "M15",
        )
    split = "The rows of a gate are split up. A gate has H rows, one for each unit: move whole quarters."
    interleaved = "Rows are read as if the gates of a unit were next to each other. Each gate has H rows together."
    typical = [
        Typical(split, rows.view(units, 4, columns).transpose(0, 1).reshape(rows.shape), "M16"),
        Typical(interleaved, rows.view(4, units, columns).transpose(0, 1).reshape(rows.shape)),
        Typical("The rows are in reverse order. Move whole quarters, each with its rows in order.", rows.flip(0)),
    ]
    if sorted(result.flatten().tolist()) != sorted(rows.flatten().tolist()):
        return wrong("The numbers themselves have changed, or some are missing: only move whole rows.")
    error = explained(result, rows, typical)
    if error.misconception or "differ" not in str(error):
        return error
    first = order.index("?")
    begins = [int(row) // columns for row in result.chunk(4)[first][:, 0]]
    last = (first + 1) * units - 1
    return wrong(f"Rows {first * units} to {last} of the result are rows {begins} of the input: not a quarter.")


def forget_bias(answer: object) -> str:
    """Check exercise 2.4: a forget bias of exactly 1, in every layer and for no other gate."""
    for layers, units in ((2, 3), (3, 5), (1, 2)):
        with seeded(24):
            lstm = LSTM(4, units, num_layers=layers)
        before = _parts(lstm)
        with case(f"With {layers} layer{'s' * (layers > 1)} of {units} units"):
            returned = run(answer, lstm)
            _refuse_bias(before, _parts(lstm), layers, returned is not None and returned is not lstm)
    return "The two biases add up to 1, so if x and h are 0, f = σ(1) = 0.731, in each layer."


def _parts(lstm: LSTM) -> dict[str, Tensor]:
    """Return a copy of the weights and biases, by layer and gate."""
    names = [
        f"l{layer}.{kind}{gate}"
        for layer in range(lstm.num_layers)
        for kind in ("W_i", "W_h", "b_i", "b_h")
        for gate in GATES
    ]
    return {name: lstm.weight(name).detach().clone() for name in names}


def _refuse_bias(before: Mapping[str, Tensor], after: Mapping[str, Tensor], layers: int, is_other: bool) -> None:
    """Reject a forget bias that is not 1, or changes to anything else."""
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    if not changed:
        first = float((before["l0.b_if"] + before["l0.b_hf"])[0])
        returned = " It returns something else: change the LSTM that it is given." if is_other else ""
        raise wrong(f"No weight or bias has changed: the first forget bias is still {first:.2f}.{returned}")
    sums = [after[f"l{layer}.b_if"] + after[f"l{layer}.b_hf"] for layer in range(layers)]
    late = [layer for layer, total in enumerate(sums) if not near(total, torch.ones_like(total))]
    others = [name for name in changed if name[-4:] not in ("b_if", "b_hf")]
    if late:
        added = [name for name in ("b_if", "b_hf") if near(after[f"l0.{name}"], before[f"l0.{name}"] + 1)]
        if added:
            raise wrong(f"1 was added to {' and '.join(added)}, whose values are random. The sum itself should be 1.")
        raise _other_bias(sums, late, after, others)
    if others:
        example = ", ".join(others[:4]) + (" and more" if len(others) > 4 else "")
        sentence = f"The forget bias is 1, but {example} changed as well. Set only the forget gate's rows, H:2H."
        raise wrong(sentence)


def _other_bias(sums: list[Tensor], late: list[int], after: Mapping[str, Tensor], others: list[str]) -> AnswerError:
    """Explain why the biases of some layers do not add up to 1."""
    layer, total = late[0], sums[late[0]]
    ones = torch.ones_like(total)
    by_gate = {gate: after[f"l{layer}.b_i{gate}"] + after[f"l{layer}.b_h{gate}"] for gate in "igo"}
    exchanged = [gate for gate, other in by_gate.items() if near(other, ones) or near(other, 2 * ones)]
    if exchanged and any(name[-1] in exchanged for name in others) and not near(total, 2 * ones):
        return wrong(
            f"The bias of {exchanged[0]} is now {float(by_gate[exchanged[0]][0]):.0f}, and f's is not: f has the "
            "second quarter, H:2H."
        )
    if near(total, 2 * ones):
        value = 1 / (1 + math.exp(-2))
        return wrong(f"The forget bias is 2, and σ(2) = {value:.3f}: both vectors hold 1, and they are added.", "M22")
    if len(late) < len(sums):
        have, lack = sorted(set(range(len(sums))) - set(late)), " and ".join(map(str, late))
        return wrong(f"Layer {have[0]} has it, but layer {lack} does not. Each layer has its own biases.", "M12")
    values = ", ".join(f"{value:.2f}" for value in total.tolist())
    for vector, other in (("b_if", "b_hf"), ("b_hf", "b_if")):
        if near(after[f"l{layer}.{vector}"], ones):
            return wrong(f"{vector} is 1, but {other} is added to it, and was not set: the sums are {values}.")
    if near(total, ones * 0):
        return wrong("The two biases add up to 0. One of them should be 1, or both 0.5.")
    if near(total, ones * torch.sigmoid(torch.tensor(1.0))):
        return wrong("The bias is 0.731, which is σ(1). The bias itself should be 1; σ is applied later.")
    return wrong(f"The two biases of layer {layer} should add up to 1, but they add up to {values}.")


def latch(answer: object) -> str:
    """Check exercise 2.5: eight numbers for a unit that keeps the sign of a value that is marked by a flag."""
    numbers_of = _eight(answer)
    with seeded(25), torch.no_grad():
        values = torch.where(torch.rand(2 * (HOLD + FLAG), 8) > 0.5, 1.0, -1.0)
        flagged = (FLAG - 1, HOLD + 2 * FLAG - 1)
        values[flagged[0]] = torch.tensor([1.0, -1.0]).repeat(4)
        values[flagged[1]] = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(2)
        flags = torch.zeros_like(values)
        flags[list(flagged)] = 1
        trace = _latch(numbers_of).trace(torch.stack([values, flags], dim=-1))
    parts = {name: trace[f"l0.{name}"][:, :, 0] for name in "figohc"}
    if not all(part.isfinite().all() for part in parts.values()):
        raise wrong("Some states are infinite or nan. Choose eight finite numbers.")
    for k, step in enumerate(flagged):
        kept = {name: part[step + 1 : step + 1 + HOLD] for name, part in parts.items()}
        if not bool((kept["h"] * values[step]).min() > 0.5):
            at_flag = {name: float(part[step].abs().max()) for name, part in parts.items()}
            raise _lost(kept, at_flag, values[step], again=k == 1)
    return f"Fifty steps after each flag h has the sign, at |h| = {float(kept['h'][-1].abs().min()):.2f}."


def _eight(answer: object) -> dict[str, tuple[float, float]]:
    """Return the numbers, or reject an answer that does not have eight."""
    if not isinstance(answer, Mapping) or sorted(map(str, answer)) != sorted(GATES):
        kind = (
            f"has {', '.join(map(str, answer))}"
            if isinstance(answer, Mapping)
            else f"is of type {type(answer).__name__}"
        )
        raise wrong(f"The answer should be a dict with (weight, bias) for each of i, f, g, o, but it {kind}.")
    pairs = {}
    for gate, pair in answer.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise wrong(f"{gate} should have two numbers, (weight, bias), but it is {pair!r}.")
        if any(part is ... for part in pair):
            raise wrong("Some of the eight numbers are still missing.")
        if not all(isinstance(part, numbers.Real | Tensor) for part in pair):
            raise wrong(f"{gate} should have two numbers, (weight, bias), but it is {pair!r}.")
        pairs[str(gate)] = (float(pair[0]), float(pair[1]))
    return pairs


def _lost(kept: dict[str, Tensor], at_flag: Mapping[str, float], sign: Tensor, again: bool) -> AnswerError:
    """Explain why a unit lost the value it should keep."""
    f, i, o = float(kept["f"].min()), float(kept["i"].max()), float(kept["o"].min())
    least = float((kept["h"] * sign).min())
    if f < 0.05:
        return wrong(
            f"f is {f:.2f} after the flag: closed. A closed forget gate forgets; an open one keeps.",
            "M17" if at_flag["f"] > 0.95 else "",
        )
    if at_flag["i"] < 0.05:
        return wrong(f"i is {at_flag['i']:.2f} at the flag, so the value is not written. Open i there.")
    if i > 0.01:
        return wrong(f"i is {i:.2f} when there is no flag, so each new value is added to the one to keep.")
    if f < 0.98:
        return wrong(
            f"f is {f:.2f}, and that to the power of {HOLD} is {f**HOLD:.1e}: too little is left.",
            "M20" if f > 0.5 else "",
        )
    if o < 0.5:
        return wrong(f"c has the sign, but h does not: o is {o:.2f}, so the stored value is not output.")
    if again and at_flag["f"] > 0.2:
        return wrong(
            f"It keeps the first value, but after a second flag h is wrong: f is {at_flag['f']:.2f} at the flag, so "
            "the new value is added to the old one. Close f there."
        )
    if bool((kept["h"] * sign).max() < 0):
        return wrong("It keeps the opposite sign: g has the sign of its weight times the value.")
    if least < 0:
        return wrong("h does not have the sign of the value in every case: for -1 it should be below -0.5.")
    rounded = math.floor(1000 * least) / 1000  # rounded down, because 0.4998 is not 0.5
    least_of = f"|h| falls to {rounded:.3f}, but should stay above 0.5 at all {HOLD} steps."
    why = (
        f" g is only ±{at_flag['g']:.2f} at the flag: write more."
        if at_flag["g"] < 0.6
        else " Write more, or keep more."
    )
    return wrong(least_of + why)


def _latch(pairs: Mapping[str, tuple[float, float]]) -> LSTM:
    """Make the LSTM: each gate has a weight for the flag (g has one for the value) and a bias; h is not fed back."""
    lstm = LSTM(2, 1)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        for gate, (factor, bias) in pairs.items():
            lstm.weight(f"l0.W_i{gate}")[0, 0 if gate == "g" else 1] = factor
            lstm.weight(f"l0.b_i{gate}")[0] = bias
    return lstm


CHECKS: dict[str, Check] = {"2.2": cell, "2.3": from_onnx, "2.4": forget_bias, "2.5": latch}
