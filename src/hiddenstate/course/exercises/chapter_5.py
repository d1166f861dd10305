"""Checks of chapter 5: looking inside, honestly."""

import copy
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    differing,
    explained,
    number,
    seeded,
    verdict,
    wrong,
)
from hiddenstate.edits import edit
from hiddenstate.nn.lstm import LSTM

UNITS, TOKENS = 512, 2000
OPEN = {"i": 20.0, "f": -20.0, "o": 20.0}  # gate biases with which a unit outputs its candidate
Wire = tuple[str, int, int, float]  # a weight: its tensor, row, column and value


def best_of(answer: object) -> str:
    """Check exercise 5.1: the largest correlation of 512 units of noise with a random label."""
    result, drawn = number(answer), _drawn()
    if abs(result - drawn) <= 0.2 * drawn:
        return f"Over ten draws it averages {drawn:.3f}, with nothing at all behind it."
    if abs(result - 100 * drawn) <= 20 * drawn:
        raise wrong(f"{result:.3g} is a percentage. |r| is between 0 and 1.")
    if result == 0:
        raise wrong(f"Noise is 0 on average, over units; the best of {UNITS} is not the average: {drawn:.3f}.")
    other, sentence = min(_typical_bests(result), key=lambda error: abs(result - error[0]))
    decimals = len(repr(result).partition(".")[2])
    if math.isclose(result, other, rel_tol=0.005 if result != round(other, decimals) else 0.05):
        raise wrong(sentence)
    if result < 0:
        raise wrong(f"|r| is not negative. The drawn value is {drawn:.3f}.")
    size = f"One unit's |r| is about 1 / √{TOKENS}; the largest of {UNITS} is about three times that."
    if result > 1:
        raise wrong(f"{result:.3g} is not a correlation: |r| is at most 1. {size}")
    than = f"{'more' if result > drawn else 'less'} than the drawn value, {drawn:.3f} (±20 % is accepted)"
    raise wrong(f"{result:.3g} is {than}. {size}")


def _typical_bests(result: float) -> Iterator[tuple[float, str]]:
    """Yield the values of wrong formulas, each with what to tell the learner."""
    shown, n, m = f"{result:.3g}", TOKENS, UNITS
    tokens = f"{shown} uses 1 / √{m}. n is the number of tokens, {n}, over which r is computed."
    roots = f"{shown} lacks a root: √(2 ln {m}) / √{n}."
    yield 1 / math.sqrt(n), f"{shown} is typical of *one* unit. The largest of {m} is about three times that."
    yield (
        2 / math.sqrt(n),
        f"{shown} is what one unit, chosen beforehand, exceeds in 5 % of cases. The largest of {m} is larger: about "
        f"three times 1 / √{n}.",
    )
    for largest in (3.0, math.sqrt(2 * math.log(m))):
        yield largest, f"{shown} is in units of 1 / √n: divide by √{n}."
        yield largest / math.sqrt(m), tokens
        yield largest / n, f"{shown} divides by n. It scales with 1 / √n."
    yield 1 / math.sqrt(m), f"{tokens} The best of {m} is about three times 1 / √n."
    yield math.sqrt(2 * math.log(n)) / math.sqrt(m), f"{shown} exchanges the tokens and the units."
    yield math.sqrt(math.log(m)) / math.sqrt(n), f"{shown} lacks the factor 2 under the root: √(2 ln {m}) / √{n}."
    yield math.log(m) / math.sqrt(n), roots
    yield 2 * math.log(m) / math.sqrt(n), roots
    yield m / n, f"{shown} is the units per token, not a correlation."


@cache
def _drawn() -> float:
    """Return the mean, over ten draws, of the best correlation."""
    best = []
    with seeded(51):
        for _ in range(10):
            noise, label = torch.randn(TOKENS, UNITS), torch.randn(TOKENS)
            noise, label = noise - noise.mean(0), label - label.mean()
            best.append(float((label @ noise / (noise.norm(dim=0) * label.norm())).abs().max()))
    return sum(best) / len(best)


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
    x[0] = x[-1] = 0  # where most units are 0, so that one step is not enough
    result: dict[str, bool] = {}
    for name, network in cases.items():
        lstm = copy.deepcopy(network.lstm)
        result[name] = verdict(called(answer, lstm, x, network.unit))
        if changed := differing(lstm, network.lstm):
            raise wrong(
                f"It leaves {', '.join(changed)} changed, so the LSTM is no longer the same: edit it in a `with` block."
            )
    right = {name: network.used for name, network in cases.items()}
    if result != right:
        raise explained(result, right, _typical_tests(cases, x, result))
    return "Right for an unused copy, a faint unit, a saturated gate, and a path that ends at a closed gate."


def _depends(lstm: LSTM, x: Tensor, edits: edit.Edit, part: tuple[Any, ...] = (...,), mean: bool = False) -> bool:
    """Whether an edit changes the output, a part of it, or its mean."""
    out = lstm(x)[0][part]
    with lstm.edit(edits):
        changed = lstm(x)[0][part]
    return bool((out - changed).mean().abs() > 1e-4) if mean else not torch.allclose(out, changed, atol=1e-4)


def _differs_from_mean(lstm: LSTM, x: Tensor, unit: int) -> bool:
    mean = lstm.trace(x)["l0.h"][..., unit].mean().item()
    return _depends(lstm, x, edit.set("l0.h", to=mean, unit=unit))


def _changes_state(lstm: LSTM, x: Tensor, unit: int) -> bool:
    h, _ = lstm(x)[1]
    with lstm.edit(edit.zero("l0.h", unit=unit)):
        return not torch.allclose(h, lstm(x)[1][0], atol=1e-4)


def _slope(lstm: LSTM, x: Tensor, unit: int) -> bool:
    """Judge by a small change instead of a different value."""
    out, _ = lstm(x)
    with lstm.edit(edit.add("l0.h", 1e-6, unit=unit)):
        return bool((lstm(x)[0] - out).abs().max() > 1e-9)


def _correlated(lstm: LSTM, x: Tensor, unit: int) -> bool:
    trace = lstm.trace(x)
    pair = torch.stack([trace["l0.h"][:, 0, unit], trace["l1.h"][:, 0, 0]])
    return bool(torch.corrcoef(pair)[0, 1].abs() > 0.3)


def _read_by(lstm: LSTM, unit: int, layers: tuple[str, ...]) -> bool:
    return any(bool(lstm.get_parameter(name)[:, unit].any()) for name in layers)


# Procedures other than an edit of the unit: functions of a network, its input and the unit.
_PROCEDURES = (
    Typical("It says True for every unit, but there are units that nothing reads.", lambda lstm, x, unit: True),
    Typical(
        "It says False for every unit, even for one that is read. Compare `out` with that of a second call, during "
        "which an edit of the unit is active at every step.",
        lambda lstm, x, unit: False,
    ),
    Typical(
        "It changes layer 1, whose h is the output itself, or `out` after the run. Edit the unit of layer 0, and run "
        "again.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l1.h", unit=unit)),
    ),
    Typical(
        "It misses a unit that opens or closes a saturated gate: a gradient, a small change or a wide tolerance does "
        "not show it, but a different value does.",
        _slope,
    ),
    Typical(
        "It compares the final state, in which layer 0's own h and only the last step count. Compare `out`.",
        lambda lstm, x, unit: _changes_state(lstm, x, unit),
    ),
    Typical(
        "It edits or compares one step only, the first or the last. A unit may be used at another: edit and compare "
        "all of them.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l0.h", unit=unit, t=0)),
    ),
    Typical(
        "It compares the last step only. A unit may be used at an earlier one: compare all of `out`.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l0.h", unit=unit), (-1,)),
    ),
    Typical(
        "It compares one unit of `out`, the one with the number of layer 0's. Any unit of layer 1 may read it: compare "
        "all of `out`.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l0.h", unit=unit), (..., unit)),
    ),
    Typical(
        "It judges by how strong a unit is. A faint one may be read with a large weight, and a strong one not at all.",
        lambda lstm, x, unit: bool(lstm.trace(x)["l0.h"][..., unit].abs().max() > 0.1),
        "M35",
    ),
    Typical(
        "It looks at layer 0's own h, which is not 0, so the edit changes it. Nothing may read it: compare `out`.",
        lambda lstm, x, unit: bool(lstm.trace(x)["l0.h"][..., unit].any()),
    ),
    Typical(
        "It compares the mean of `out`, in which changes of opposite signs cancel. Compare all its numbers.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l0.h", unit=unit), mean=True),
    ),
    Typical(
        "It holds the unit at its own mean, which misses a unit that is always the same but is read. Set it to 0.",
        _differs_from_mean,
    ),
    Typical(
        "It judges by whether the unit varies. A unit may vary, like the copy here, and be read by nothing.",
        lambda lstm, x, unit: bool(lstm.trace(x)["l0.h"][..., unit].std() > 1e-4),
        "M35",
    ),
    Typical(
        "It judges by correlation. The copy correlates with the output like the unit that *is* read.",
        _correlated,
        "M35",
    ),
    Typical(
        "It mistakes a weight for an effect. The gate behind it may be closed, so that nothing reaches the output.",
        lambda lstm, x, unit: _read_by(lstm, unit, ("weight_ih_l1", "weight_hh_l0")),
    ),
    Typical(
        "It mistakes a weight of layer 1 for an effect. The gate behind it may be closed; layer 0 reads its own h too.",
        lambda lstm, x, unit: _read_by(lstm, unit, ("weight_ih_l1",)),
    ),
    Typical(
        "It edits a different unit: the argument `unit` has no effect.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l0.h", unit=0)),
    ),
    Typical(
        "It edits a different unit: the argument `unit` has no effect.",
        lambda lstm, x, unit: _depends(lstm, x, edit.zero("l0.h", unit=1)),
    ),
)
_CASES = {
    "idle": "a unit that is always 0",
    "read": "a unit that is read",
    "copy": "a copy of it that nothing reads",
    "faint": "a faint unit, read with a large weight",
    "saturated": "a unit that opens or closes a saturated gate",
    "shut": "a unit that is read by a unit whose gate is closed",
    "within": "a unit that only layer 0 reads, at the next step",
    "past": "a unit that keeps the last input, and that nothing reads",
    "steady": "a unit that is always the same, and is read",
    "idle first": "a unit that is not read, below a unit that is output",
}


def _typical_tests(cases: Mapping[str, Case], x: Tensor, result: dict[str, bool]) -> Iterator[Typical]:
    right = {name: network.used for name, network in cases.items()}
    yield Typical(
        "It says the opposite for every unit: True should mean that the output changes.",
        {name: not used for name, used in right.items()},
    )
    for error in _PROCEDURES:
        verdicts = {name: error.result(network.lstm, x, network.unit) for name, network in cases.items()}
        yield error._replace(result=verdicts)
    missed = "; ".join(f"{_CASES[name]} (it says {result[name]})" for name in cases if result[name] != right[name])
    yield Typical(f"It is wrong about {missed}.", result)


@cache
def _cases() -> dict[str, Case]:
    copy = _wired(("l0.W_ig", 1, 0, 1.0), ("l1.W_ig", 0, 0, 1.0))
    faint = _wired(("l0.W_ig", 1, 0, 0.01), ("l1.W_ig", 0, 1, 100.0), ("l1.W_ig", 1, 1, -100.0))
    saturated = _wired(("l0.W_ig", 1, 0, 1e3), ("l1.W_ig", 0, 0, 1.0), ("l1.W_ii", 0, 1, 80.0), ("l1.b_ii", 0, 0, 0.0))
    behind = ("l0.W_ig", 1, 0, 1.0), ("l1.W_ig", 0, 0, 1.0), ("l1.W_ig", 1, 1, 1.0), ("l1.b_io", 1, 0, -800.0)
    within = ("l0.W_ig", 1, 0, 1.0), ("l0.W_hg", 0, 1, 2.0), ("l1.W_ig", 0, 0, 1.0)
    past = ("l0.W_hg", 1, 0, 1.0), ("l1.W_ig", 0, 0, 1.0)
    steady = _wired(("l0.b_ig", 1, 0, 1.0), ("l1.W_ig", 0, 0, 1.0), ("l1.W_ig", 1, 1, 1.0))
    crossed = ("l0.W_ig", 1, 0, 1.0), ("l1.W_ig", 0, 1, 1.0)
    return {
        "idle": Case(_wired(("l1.W_ig", 0, 0, 1.0)), 1, used=False),
        "read": Case(copy, 0, used=True),
        "copy": Case(copy, 1, used=False),
        "faint": Case(faint, 1, used=True),
        "saturated": Case(saturated, 1, used=True),
        "shut": Case(_wired(*behind), 1, used=False),
        "within": Case(_wired(*within), 1, used=True),
        "past": Case(_wired(*past), 1, used=False),
        "steady": Case(steady, 1, used=True),
        "idle first": Case(_wired(*crossed), 0, used=False),
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
    "a": ("'Counts' states what the unit does, but only a correlation was shown.", "M35"),
    "b": ("Use was tested, but not shown: the cost, 0.002 bits, is like those of comparable units.", "M35"),
    "d": ("It may still be used: other units may stand in for it, or 20 units are too few to see a small use.", ""),
    "e": ("True, and more is supported: it was tested on new text, and against a random label.", ""),
}


def strongest(answer: object) -> str:
    """Check exercise 5.3: the strongest sentence that the evidence supports."""
    letter = answer.strip().strip(").").lower() if isinstance(answer, str) else ""
    if letter == "c":
        return "It can be read, on new text, far above chance. That is all that was shown."
    if letter not in _SENTENCES:
        raise wrong(f'The answer should be one of the letters a to e, as a string such as "a", but it is {answer!r}.')
    raise wrong(*_SENTENCES[letter])


CHECKS: dict[str, Check] = {"5.1": best_of, "5.2": is_used, "5.3": strongest}
