"""Checks of chapter 5: looking inside, honestly."""

import math
from functools import cache
from typing import NamedTuple

import torch

from hiddenstate.course.answers import Check, called, seeded, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

UNITS, TOKENS = 512, 2000
OPEN = {"i": 20.0, "f": -20.0, "o": 20.0}  # gate biases with which a unit outputs its candidate
Wire = tuple[str, int, int, float]  # a weight: its tensor, row, column and value


def best_of(answer: object) -> str:
    """Check exercise 5.1: the largest correlation of 512 units of noise with a random label."""
    if isinstance(answer, bool) or not isinstance(answer, float | int):
        raise wrong("", f"The answer should be one number, but its type is {type(answer).__name__}.")
    drawn = _drawn()
    if abs(answer - drawn) <= 0.2 * drawn:
        return f"Over ten draws it averages {drawn:.3f}, with nothing at all behind it."
    alone = 1 / math.sqrt(TOKENS)
    if answer == 0:
        raise wrong("", f"Noise is 0 on average, over units; the best of {UNITS} is not the average: {drawn:.3f}.")
    if math.isclose(answer, alone, rel_tol=0.1):
        raise wrong("", f"{answer:.3f} is typical of *one* unit. The largest of {UNITS} is about three times that.")
    if answer > 0.2:
        raise wrong("M35", f"{answer:.2f} would be more than chance: that is {drawn:.3f} here.")
    raise wrong("", f"{answer:.3f} is not close to the drawn value, {drawn:.3f}. It scales with 1 / √n.")


@cache
def _drawn() -> float:
    """Return the mean, over ten draws, of the best correlation."""
    found = []
    with seeded(51):
        for _ in range(10):
            noise, label = torch.randn(TOKENS, UNITS), torch.randn(TOKENS)
            noise, label = noise - noise.mean(0), label - label.mean()
            found.append(float((label @ noise / (noise.norm(dim=0) * label.norm())).abs().max()))
    return sum(found) / len(found)


class Case(NamedTuple):
    """A two-layer network, with a unit of layer 0, and whether the output depends on it."""

    lstm: LSTM
    unit: int
    used: bool


def is_used(answer: object) -> str:
    """Check exercise 5.2: whether a unit is used, on networks for which the answer is known."""
    cases = _cases()
    with seeded(52):
        x = torch.rand(30, 1, 1, dtype=torch.float64) * 2 - 1
    said = {}
    for name, case in cases.items():
        said[name] = bool(called(answer, case.lstm, x.clone(), case.unit))
    false = {name for name, case in cases.items() if said[name] != case.used}
    if false:
        raise _misjudged(false, said)
    return "Right for an unused copy, a faint unit, a saturated gate, and a path that ends at a closed gate."


def _misjudged(false: set[str], said: dict[str, bool]) -> AnswerError:
    """Name the missed case and the likely reason."""
    if len(set(said.values())) == 1:
        return wrong("", f"It says {next(iter(said.values()))} for every unit, but there are units of both kinds.")
    if {"copy", "faint"} <= false:
        return wrong(
            "M35", "It judges by how strong a unit is: a faint one is read with a large weight, a copy by nothing."
        )
    if "copy" in false and "read" not in false:
        return wrong(
            "M35", "It says that the copy is used. The copy correlates with the output like the unit that *is* read."
        )
    if "saturated" in false:
        return wrong(
            "", "It misses a saturated gate: a small change does nothing there, but a different value does a lot."
        )
    if "shut" in false:
        return wrong("", "It treats a weight as use: the gate behind it is closed, so nothing reaches the output.")
    return wrong("", f"It is wrong about: {', '.join(sorted(false))}.")


@cache
def _cases() -> dict[str, Case]:
    copy = _wired(("l0.W_ig", 1, 0, 1.0), ("l1.W_ig", 0, 0, 1.0))
    faint = _wired(("l0.W_ig", 1, 0, 0.01), ("l1.W_ig", 0, 1, 100.0))
    saturated = _wired(("l0.W_ig", 1, 0, 1e3), ("l1.W_ig", 0, 0, 1.0), ("l1.W_ii", 0, 1, 80.0), ("l1.b_ii", 0, 0, 0.0))
    behind = ("l0.W_ig", 1, 0, 1.0), ("l1.W_ig", 0, 0, 1.0), ("l1.W_ig", 1, 1, 1.0), ("l1.b_io", 1, 0, -800.0)
    return {
        "idle": Case(_wired(("l1.W_ig", 0, 0, 1.0)), 1, used=False),
        "read": Case(copy, 0, used=True),
        "copy": Case(copy, 1, used=False),
        "faint": Case(faint, 1, used=True),
        "saturated": Case(saturated, 1, used=True),
        "shut": Case(_wired(*behind), 1, used=False),
    }


def _wired(*wires: Wire) -> LSTM:
    """Make a two-layer LSTM with open gates and these weights; unit 0 of layer 0 copies x."""
    lstm = LSTM(1, 2, num_layers=2, dtype=torch.float64)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        for layer in range(2):
            for gate, bias in OPEN.items():
                lstm.weight(f"l{layer}.b_i{gate}").fill_(bias)
        lstm.weight("l0.W_ig")[0, 0] = 1.0
        for name, row, column, value in wires:
            part = lstm.weight(name)
            part[(row, column) if part.dim() == 2 else row] = value
    return lstm


_SENTENCES = {
    "a": ("M35", "'Counts' states what the unit does, but only a correlation was shown."),
    "b": ("M35", "Use was tested, but not shown: the cost, 0.002 bits, is like those of comparable units."),
    "d": ("", "It may still be used: other units may stand in for it, or 20 units are too few to see a small use."),
    "e": ("", "True, and more is supported: it was tested on new text, and against a random label."),
}


def strongest(answer: object) -> str:
    """Check exercise 5.3: the strongest sentence that the evidence supports."""
    if answer == "c":
        return "It can be read, on new text, far above chance. That is all that was shown."
    if not isinstance(answer, str) or answer not in _SENTENCES:
        raise wrong("", "The answer should be one of the letters a to e, as a string.")
    raise wrong(*_SENTENCES[answer])


CHECKS: dict[str, Check] = {"5.1": best_of, "5.2": is_used, "5.3": strongest}
