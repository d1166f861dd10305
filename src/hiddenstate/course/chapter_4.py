"""Checks of chapter 4: the next character, the next word."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from hiddenstate.course.answers import Check, called, near, seeded, tensor, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

Windows = list[tuple[Tensor, Tensor]]
ROWS, STEPS, LENGTH = 4, 5, 17
CHARACTERS = ROWS * LENGTH + 1


def windows(answer: object) -> str:
    """Check exercise 4.1: a text in rows and windows, each with its targets."""
    given = _windows_of(called(answer, torch.arange(CHARACTERS), ROWS, STEPS))
    if sum(len(x) for x, _ in given) != LENGTH or any(x.shape[1] != ROWS for x, _ in given):
        raise _other_layout(given)
    x, y = (torch.cat([window[k] for window in given]) for k in (0, 1))
    begins = LENGTH * torch.arange(ROWS)
    if not torch.equal(x, begins + torch.arange(LENGTH)[:, None]):
        raise _other_rows(x, begins)
    if not torch.equal(y, x + 1):
        raise _other_targets(x, y, [len(each) for each, _ in given])
    return "Each row continues where it stopped, and every target is the next character, including a row's last one."


def _windows_of(given: object) -> Windows:
    try:
        listed = [(x, y) for x, y in cast("Sequence[Any]", given)]
    except (TypeError, ValueError):
        raise wrong("", "The answer should be a list of pairs (x, y).") from None
    for pair in listed:
        if any(not isinstance(each, Tensor) or each.dim() != 2 for each in pair) or pair[0].shape != pair[1].shape:
            raise wrong("", "x and y should be two tensors of the same shape, [steps, rows].")
    return listed


def _other_layout(given: Windows) -> AnswerError:
    shape = list(given[0][0].shape) if given else []
    if shape == [ROWS, STEPS]:
        return wrong("M8", f"The first window is {shape}: rows, then steps. Time comes first: [{STEPS}, {ROWS}].")
    steps = sum(len(x) for x, _ in given)
    return wrong(
        "", f"The answer should have rows of {LENGTH} characters in windows of {STEPS}; these have {steps} steps."
    )


def _other_rows(x: Tensor, begins: Tensor) -> AnswerError:
    if torch.equal(x.flatten(), torch.arange(x.numel())):
        return wrong(
            "M28", "Neighbouring characters are in different rows. A state is carried along a row, never across."
        )
    if torch.equal(x.sort(dim=0).values, begins + torch.arange(LENGTH)[:, None]):
        return wrong("M28", "The windows are shuffled, so a row's state is carried to a different place in the text.")
    first = (x[0] != begins).nonzero()
    row = int(first[0, 0]) if len(first) else 0
    return wrong(
        "",
        f"Row {row} starts at character {int(x[0, row])}; it should start at {int(begins[row])} and go on.",
    )


def _other_targets(x: Tensor, y: Tensor, steps: list[int]) -> AnswerError:
    if torch.equal(x, y):
        return wrong("", "Targets are the characters that were just read. They should be those that come next.")
    places = [int(place) for place in (y != x + 1).any(dim=1).nonzero()[:, 0]]
    if places == [LENGTH - 1]:
        return wrong(
            "", f"The last target of row 0 is character {int(y[-1, 0])}, the row's own start: it wraps around."
        )
    ends = [sum(steps[: k + 1]) - 1 for k in range(len(steps))]
    if places == ends:
        return wrong(
            "", f"The last target of each window wraps around: {int(x[ends[0], 0])} is followed by the window's start."
        )
    return wrong("", f"At step {places[0]} the target is {int(y[places[0], 0])}, after {int(x[places[0], 0])}.")


def goes_on(answer: object) -> str:
    """Check exercise 4.2: a test that finds lists of windows whose rows are not continuous."""
    lists = _lists()
    content = {name for name, given in lists.items() if called(answer, given)}
    if "good" not in content:
        raise wrong(
            "", "It rejects the correct list, whose targets are the next characters and whose rows are continuous."
        )
    missed = content - {"good"}
    if missed:
        raise _missed(missed, len(lists) - 1)
    return "It passes the correct list, and finds shuffled windows, swapped rows, a gap, and targets that wrap around."


def _lists() -> dict[str, Windows]:
    """Make a correct list of windows, and broken ones."""
    text = torch.arange(CHARACTERS)
    x, y = (text[shift : shift + ROWS * LENGTH].view(ROWS, LENGTH).T for shift in (0, 1))

    def cut(x: Tensor, y: Tensor, begins: Sequence[int] = (0, 5, 10)) -> Windows:
        return [(x[k : k + STEPS], y[k : k + STEPS]) for k in begins]

    good = cut(x, y)
    turned = [(a.roll(n, 1), b.roll(n, 1)) for n, (a, b) in zip((0, 1, 2), good, strict=True)]
    kept = [_first_row_of(a, b) for a, b in zip(good, turned, strict=True)]
    wrapped = [(a, torch.cat([b[:1] * 0 - 1, b[1:]])) for a, b in good]
    return {
        "good": good,
        "shuffled": [good[k] for k in (1, 2, 0)],
        "rows": kept,
        "gap": cut(x, y, (0, 6, 12)),
        "targets": wrapped,
    }


def _first_row_of(good: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Take row 0 of one window, and the remaining rows of another."""
    x, y = (torch.cat([a[:, :1], b[:, 1:]], dim=1) for a, b in zip(good, other, strict=True))
    return x, y


def _missed(missed: set[str], every: int) -> AnswerError:
    """Name the broken lists that a test accepts."""
    if len(missed) == every:
        return wrong("", "It accepts all four broken lists: their shapes are right, but the characters are wrong.")
    if {"shuffled", "gap", "rows"} <= missed:
        return wrong("M26", "It only looks inside windows. Whether a state may be carried is decided at their borders.")
    if missed == {"rows"}:
        return wrong("M28", "It misses swapped rows: row 0 is continuous, the others are not. Look at all of them.")
    if missed == {"targets"}:
        return wrong("", "It misses targets that are wrong within a window. Compare y[:-1] with x[1:].")
    return wrong("", f"It accepts a broken list: {', '.join(sorted(missed))}.")


def borders(answer: object) -> str:
    """Check exercise 4.3: values, gradient and error at three kinds of border."""
    names = ("detach", "zeros", "neither")
    if not isinstance(answer, Mapping) or sorted(answer) != sorted(names):
        raise wrong("", "The answer should be a dict with detach, zeros and neither.")
    if any(value is ... for row in answer.values() for value in row.values()):
        raise wrong("", "Some cells of the table are empty.")
    right = {name: _border(name) for name in names}
    for name in names:
        for column, value in right[name].items():
            if bool(answer[name].get(column)) != value:
                raise wrong(*_BORDERS[name, column])
    return "detach keeps the state but cuts its gradient; zeros lose both; with neither, backward raises."


_BORDERS = {
    ("detach", "values"): ("M27", "detach changes no numbers: h and c stay as they are."),
    ("detach", "gradient"): ("M27", "detach cuts the graph: no loss of the second window reaches the first."),
    ("detach", "raises"): ("M27", "After detach each backward has its own graph, so none is used twice."),
    ("zeros", "values"): (
        "M26",
        "Zeros are a different state, so the second window gives different outputs: a row forgets.",
    ),
    ("zeros", "gradient"): ("M26", "Zeros were not computed from the first window, so no gradient reaches it."),
    ("zeros", "raises"): ("M26", "With zeros each backward has its own graph, so none is used twice."),
    ("neither", "values"): ("M26", "Carried unchanged, the state has the same numbers as in one run."),
    ("neither", "gradient"): ("M20", "Nothing is cut, so the loss of the second window reaches the first."),
    ("neither", "raises"): (
        "M27",
        "The second backward goes through the first window's graph, which was freed. retain_graph=True keeps it, but "
        "by then its weights have changed.",
    ),
}


def _border(name: str) -> dict[str, bool]:
    """Find out what happens at a border."""
    change: dict[str, Callable[[Tensor], Tensor]] = {"detach": Tensor.detach, "zeros": torch.zeros_like}
    across = change.get(name, Tensor.clone)
    with seeded(43):
        lstm = LSTM(3, 4)
        x = torch.randn(6, 2, 3, requires_grad=True)
    one, (h, c) = lstm(x[:3])
    two, _ = lstm(x[3:], (across(h), across(c)))
    values = near(two, lstm(x)[0][3:])
    (slope,) = torch.autograd.grad(two.sum(), x, retain_graph=True)
    try:
        one.sum().backward()
        two.sum().backward()
    except RuntimeError:
        return {"values": values, "gradient": bool(slope[:3].any()), "raises": True}
    return {"values": values, "gradient": bool(slope[:3].any()), "raises": False}


def tempered(answer: object) -> str:
    """Check exercise 4.4: probabilities at a temperature, its limit 0 included."""
    with seeded(44):
        scores = 3 * torch.randn(2, 6)
    for temperature in (1, 0.5, 2.0, 0.01):
        given = tensor(called(answer, scores, temperature), 2, 6)
        if not near(given, (scores / temperature).softmax(-1)):
            raise _other_temperature(given, scores, temperature)
    cold = tensor(called(answer, scores, 0), 2, 6)
    if cold.isnan().any():
        raise wrong("", "At 0 it gives nan: infinity minus infinity. The limit is a one-hot vector.")
    if not near(cold, torch.nn.functional.one_hot(scores.argmax(-1), 6).float()):
        raise wrong("", f"At 0 the highest score should have probability 1, but it has {float(cold.max()):.3f}.")
    return "At 1 it is the softmax, below 1 sharper, and at 0 only the highest score remains."


def _other_temperature(given: Tensor, scores: Tensor, temperature: float) -> AnswerError:
    if near(given, (scores * temperature).softmax(-1)):
        return wrong("", f"At {temperature} it is flatter but should be sharper: divide the scores.")
    total = float(given[0].sum())
    if abs(total - 1) > 1e-3:
        return wrong(
            "", f"At {temperature} the probabilities add up to {total:.2f}. Divide the scores, before softmax."
        )
    return wrong("", f"At {temperature} the highest probability should be higher: every positive temperature counts.")


def units(answer: object) -> str:
    """Check exercise 4.5: nats as bits and as a number of choices."""
    nats = 1.4442
    given = called(answer, nats)
    if not isinstance(given, Sequence) or len(given) != 2:
        raise wrong("", "The answer should be two numbers: bits, and equally likely choices.")
    bits, choices = float(given[0]), float(given[1])
    if not math.isclose(bits, nats / math.log(2), rel_tol=1e-4):
        if math.isclose(bits, nats * math.log(2), rel_tol=1e-4):
            raise wrong("", f"{bits:.4f}: a bit is the smaller unit, so there are more of them. Divide by ln 2.")
        if math.isclose(bits, math.log2(nats), rel_tol=1e-4):
            raise wrong(
                "", f"{bits:.4f} is the logarithm of a logarithm. The loss already is a logarithm: change its unit."
            )
        raise wrong("", f"One nat should give {1 / math.log(2):.4f} bits; {nats} gave {bits:.4f}.")
    if not math.isclose(choices, math.exp(nats), rel_tol=1e-4):
        if math.isclose(choices, 2**nats, rel_tol=1e-4):
            raise wrong("", f"{choices:.2f} confuses nats with bits: 2 to the bits is e to the nats.")
        if math.isclose(choices, math.exp(bits), rel_tol=1e-4):
            raise wrong("", f"{choices:.2f} is e to the *bits*. Use 2 to the bits, or e to the nats.")
        raise wrong("", f"{choices:.2f} choices should be {math.exp(nats):.2f}.")
    return f"{bits:.2f} bits, {choices:.2f} choices: as many as a die with four sides and a bit."


CHECKS: dict[str, Check] = {"4.1": windows, "4.2": goes_on, "4.3": borders, "4.4": tempered, "4.5": units}
