"""Checks of chapter 4: the next character, the next word."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hiddenstate.course.answers import Check, called, near, seeded, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

Windows = list[tuple[Tensor, Tensor]]
State = tuple[Tensor, Tensor] | None
ROWS, STEPS, LENGTH = 4, 5, 17
CHARACTERS = ROWS * LENGTH + 1
SIZES = [5, 5, 5, 2]  # steps of the windows


def windows(answer: object) -> str:
    """Check exercise 4.2: a text cut into rows and windows, each with its targets."""
    given = _windows(called(answer, torch.arange(CHARACTERS), ROWS, STEPS))
    sizes = sorted((len(x) for x, _ in given), reverse=True)
    if sizes != SIZES or any(x.shape[1] != ROWS for x, _ in given):
        raise _other_layout(given)
    x, y = (torch.cat([window[k] for window in given]) for k in (0, 1))
    begins = LENGTH * torch.arange(ROWS)
    if not torch.equal(x, begins + torch.arange(LENGTH)[:, None]):
        raise _other_rows(x, begins)
    if not torch.equal(y, x + 1):
        raise _other_targets(x, y, [len(each) for each, _ in given])
    return "Each row continues where it stopped, and every target is the next character, including a row's last one."


def _windows(given: object) -> Windows:
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
    wanted, found = ([[steps, ROWS] for steps in SIZES], [list(x.shape) for x, _ in given])
    return wrong("", f"Rows of {LENGTH} characters make windows of {wanted}, [steps, rows]; these are {found}.")


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


def borders(answer: object) -> str:
    """Check exercise 4.3: values, gradient and error at three kinds of border."""
    names = ("detach", "zeros", "neither")
    if not isinstance(answer, Mapping) or sorted(answer) != sorted(names):
        raise wrong("", "The answer should be a dict with detach, zeros and neither.")
    right = {name: _border(name) for name in names}
    given = {(name, column): dict(answer[name]).get(column, ...) for name in names for column in right[name]}
    if any(value is ... for value in given.values()):
        raise wrong("", "Some cells of the table are empty.")
    for (name, column), value in given.items():
        if not isinstance(value, bool):
            raise wrong("", f"{name}, {column}: {value!r} is neither True nor False.")
    for (name, column), value in given.items():
        if value != right[name][column]:
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


def _read(ids: Tensor) -> Tensor:
    """Return a model's input, after rejecting shapes other than [T, 1]."""
    if ids.dim() != 2 or ids.shape[1] != 1:
        said = f"The model was given x of shape {list(ids.shape)}, but it reads [T, 1]."
        raise wrong("", f"{said} `ids` is [n]: `ids[:, None]` is [n, 1].")
    return ids


class _Reader(nn.Module):
    """A small language model with a memory: its prediction depends on everything that it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.linear = nn.Embedding(6, 8), LSTM(8, 12), nn.Linear(12, 6)
        with torch.no_grad():
            self.linear.weight.mul_(8)
            self.lstm.get_parameter("weight_hh_l0").mul_(5)  # so that the state matters as much as the input

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        out, after = self.lstm(self.embed(_read(ids)), state)
        return self.linear(out), after


class _Coin(nn.Module):
    """A model without a memory, which makes the same prediction at every step."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        return self.scores.expand(*_read(ids).shape, -1), state


DRAWS = 600
CHANCE = 5 * (0.25 / DRAWS) ** 0.5  # by how much shares may differ from probabilities
SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0])


def generate(answer: object) -> str:
    """Check exercise 4.1: a sampler, greedy and at a temperature."""
    with seeded(43), torch.no_grad():
        model, prompt = _Reader().eval(), torch.tensor([3, 1, 4])
        warm = {temperature: _shares(answer, temperature) for temperature in (1.0, 0.5, 2.0)}
        for temperature, shares in warm.items():
            right = (SCORES / temperature).softmax(-1)
            if (shares - right).abs().max() > CHANCE:
                raise _other_temperature(shares, temperature)
        given = _written(answer, model, prompt, 12, 0)
        if given != _greedy(model, prompt):
            raise _other_text(given, model, prompt)
    return "Greedy, it writes what the model finds most probable; at a temperature, it draws as the scores say."


def _written(answer: object, model: nn.Module, prompt: Tensor, count: int, temperature: float) -> list[int]:
    try:
        given = called(answer, model, prompt, count, temperature)
    except (RuntimeError, ZeroDivisionError) as error:
        if temperature:
            raise
        said = f"At temperature 0 it raises {type(error).__name__}: don't divide by 0, take the argmax."
        raise wrong("", said) from None
    if not isinstance(given, Sequence) or not all(isinstance(each, int) for each in given):
        raise wrong("", "The answer should be a list of whole numbers, one for each character: `.item()` makes one.")
    if len(given) != count:
        raise wrong("", f"It should write {count} characters, without the prompt, but it wrote {len(given)}.")
    return list(given)


def _shares(answer: object, temperature: float) -> Tensor:
    drawn = _written(answer, _Coin(SCORES), torch.tensor([0]), DRAWS, temperature)
    return torch.bincount(torch.tensor(drawn), minlength=len(SCORES)) / DRAWS


def _other_temperature(shares: Tensor, temperature: float) -> AnswerError:
    right = (SCORES / temperature).softmax(-1)
    if shares.max() == 1:
        return wrong("", f"At temperature {temperature} it always chooses the most probable character: draw instead.")
    if (shares - (SCORES * temperature).softmax(-1)).abs().max() < CHANCE:
        return wrong("", f"At {temperature} the scores are multiplied by the temperature. Divide them.")
    return wrong("", f"At {temperature} character 0 has probability {right[0]:.2f}, and its share is {shares[0]:.2f}.")


def _greedy(model: nn.Module, prompt: Tensor, *, carry: bool = True) -> list[int]:
    written: list[int] = []
    x, state = prompt[:, None], None
    for _ in range(12):
        scores, after = model(x, state)
        state = after if carry else None
        written.append(int(scores[-1, 0].argmax()))
        x = torch.tensor([[written[-1]]])
    return written


def _other_text(given: list[int], model: nn.Module, prompt: Tensor) -> AnswerError:
    if given == _greedy(model, prompt, carry=False):
        return wrong("M1", "Every character is chosen from a new state, so the model has forgotten what it wrote.")
    if len(set(given)) == 1:
        return wrong("", "It repeats one character: what it writes must be its next input, after the prompt.")
    return wrong("", f"Greedy, it should write {_greedy(model, prompt)}, but it wrote {given}.")


def own_bits(answer: object) -> str:
    """Check exercise 4.4: the surprise of a model's own text, in bits per character."""
    with seeded(44), torch.no_grad():
        even = _bits_given(answer, _Coin(torch.zeros(4)), torch.tensor([0]))
        if not math.isclose(even, 2, abs_tol=1e-4):
            raise _other_bits(even)
        p = SCORES.softmax(-1)
        right, cold, read = float(-(p * p.log2()).sum()), float(-p.max().log2()), float(-p[3].log2())
        given = _bits_given(answer, _Coin(SCORES), torch.tensor([3] * DRAWS))
        if abs(given - right) > 0.25:
            raise _other_coin(given, right, cold, (read + right) / 2)
        alternating = _bits_given(answer, _Alternating(), torch.tensor([0, 1]))
        if alternating > 0.1:
            said = f"A model that is sure of each next character costs itself 0 bits; this is {alternating:.1f}."
            raise wrong("", f"{said} Hold the scores at one character against the next character.")
    return f"Two bits for four equal chances, {right:.2f} for unequal ones, 0 for a model that is always sure."


class _Alternating(nn.Module):
    """A model that is certain that 1 follows 0 and 0 follows 1."""

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        return 50 * nn.functional.one_hot(1 - _read(ids), 2).float(), state


def _bits_given(answer: object, model: nn.Module, prompt: Tensor) -> float:
    given = called(answer, model, prompt, DRAWS)
    if not isinstance(given, float | int):
        raise wrong("", f"The answer should be one number, but its type is {type(given).__name__}.")
    return float(given)


def _other_bits(given: float) -> AnswerError:
    if math.isclose(given, math.log(4), abs_tol=1e-4):
        return wrong("", f"{given:.3f} is in nats. Divide by ln 2.")
    return wrong("", f"Each of four equal chances costs 2 bits, but this is {given:.3f}.")


def _other_coin(given: float, right: float, cold: float, with_prompt: float) -> AnswerError:
    if abs(given - cold) < 0.01:
        return wrong("", f"{given:.2f} bits is what the most probable character costs. Draw at temperature 1.")
    if abs(given - with_prompt) < 0.1:
        return wrong("", f"{given:.2f} bits counts the prompt as well, which the model did not write.")
    return wrong("", f"Its own text should cost this model about {right:.2f} bits, but this is {given:.2f}.")


CHECKS: dict[str, Check] = {"4.1": generate, "4.2": windows, "4.3": borders, "4.4": own_bits}
