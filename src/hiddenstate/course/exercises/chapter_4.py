"""Checks of chapter 4: the next character, the next word."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    case,
    explained,
    inputs_read,
    is_sequence_of,
    near,
    number,
    seeded,
    wrong,
)
from hiddenstate.course.exercises.language_models import CHANCE, DRAWS, SCORES, Coin, Strides
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

Windows = list[tuple[Tensor, Tensor]]
TEXTS = ((69, 4, 5), (68, 4, 5), (41, 4, 5), (95, 6, 4))  # characters, rows, steps


def windows(answer: object) -> str:
    """Check exercise 4.1: a text cut into rows and windows, each with its targets."""
    for characters, rows, steps in TEXTS:
        with case(f"With {characters} characters, {rows} rows and {steps} steps"):
            try:
                result = _windows(called(answer, torch.arange(characters), rows, steps))
            except AnswerError as error:
                if error.__cause__ is None or characters % rows:
                    raise
                why = (
                    f"The last row needs a character after it: (characters - 1) // rows is {(characters - 1) // rows}."
                )
                raise wrong(f"{error} {why}") from error.__cause__
            _refuse_windows(result, characters, rows, steps)
            with seeded(41):
                other = torch.randperm(characters)  # a text whose next character is not the next number
            for (x, y), (x_other, y_other) in zip(result, _windows(called(answer, other, rows, steps)), strict=False):
                if not torch.equal(other[x.long()], x_other.long()) or not torch.equal(other[y.long()], y_other.long()):
                    raise wrong("It is right for a text 0, 1, 2, … only. Take both x and y from ids.")
    return "Each row continues where it stopped, and every target is the next character, including a row's last one."


def _refuse_windows(result: Windows, characters: int, rows: int, steps: int) -> None:
    length = (characters - 1) // rows
    sizes = [min(steps, length - begin) for begin in range(0, length, steps)]
    x_sizes = sorted((len(x) for x, _ in result), reverse=True)
    if x_sizes != sizes or any(x.shape[1] != rows for x, _ in result):
        raise _other_layout(result, rows, length, sizes)
    x, y = (torch.cat([window[k] for window in result]) for k in (0, 1))
    begins = length * torch.arange(rows)
    right = begins + torch.arange(length)[:, None]
    if torch.equal(y, right) and torch.equal(x, right + 1):
        raise wrong("x and y are exchanged: a pair is (x, y), and y has the characters after those in x.")
    if not torch.equal(x, right):
        raise _other_rows(x, right)
    if not torch.equal(y, x + 1):
        raise _other_targets(x, y, [len(window) for window, _ in result])


def _windows(result: object) -> Windows:
    if is_sequence_of(result, tuple, tuple) or is_sequence_of(result, list, list):
        x_then_y = all(isinstance(part, Tensor) and part.dim() == 2 for windows in result for part in windows)
        if x_then_y and len(result[0]) == len(result[1]) != 2:
            raise wrong("That is all x, then all y: `zip` makes pairs of them.")
    try:
        pairs = [(x, y) for x, y in cast("Sequence[Any]", result)]
    except (TypeError, ValueError):
        raise wrong(f"The answer should be a list of pairs (x, y), but it is {_short(result)}.") from None
    for x, y in pairs:
        if not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.dim() != 2:
            raise wrong("x and y should be two tensors, [steps, rows].")
        if x.shape != y.shape:
            last = x is pairs[-1][0]
            short = " Take y from the text before it is cut, shifted by one." if last and len(y) == len(x) - 1 else ""
            raise wrong(f"x and y should have the same shape, but x is {list(x.shape)} and y {list(y.shape)}.{short}")
    return pairs


def _short(result: object) -> str:
    if isinstance(result, Tensor):
        return f"a tensor of shape {list(result.shape)}"
    return f"a {type(result).__name__}" + (f" of {len(result)}" if isinstance(result, Sequence) else "")


def _other_layout(result: Windows, rows: int, length: int, sizes: list[int]) -> AnswerError:
    shapes = [list(x.shape) for x, _ in result]
    if shapes[:1] == [[rows, sizes[0]]] != [[sizes[0], rows]]:
        return wrong(
            f"The first window is {shapes[0]}: rows, then steps. Time comes first: [{sizes[0]}, {rows}].", "M8"
        )
    expected = [[steps, rows] for steps in sizes]
    if shapes == expected[:-1] and torch.equal(torch.cat([x for x, _ in result])[:, 0], torch.arange(sum(sizes[:-1]))):
        return wrong(f"The last, shorter window, {expected[-1]}, is missing.")
    if shapes == [[length, rows]]:
        return wrong(f"That is one window, {shapes[0]}, of the whole rows. Cut it every {sizes[0]} steps.")
    begins = [int(x[0, 0]) for x, _ in result if x.shape[1] == rows and len(x)]
    if len(begins) == len(result) > 0 and begins != list(range(0, length, sizes[0])):
        where = f"The windows begin at steps {begins}. Rows of {length} characters"
        return wrong(f"{where}, cut every {sizes[0]} steps, have windows at {list(range(0, length, sizes[0]))}.")
    return wrong(f"Rows of {length} characters make windows of {expected}, [steps, rows]; these are {shapes}.")


def _other_rows(x: Tensor, right: Tensor) -> AnswerError:
    begins = right[0]
    if torch.equal(x.flatten(), torch.arange(x.numel())):
        return wrong(
            "Neighbouring characters are in different rows. A state is carried along a row, never across.", "M28"
        )
    if torch.equal(x.sort(dim=0).values, right):
        return wrong("The windows are not in order, so a row's state is carried to a different place in the text.")
    if torch.equal(x, right + 1):
        return wrong("x begins at character 1. It should begin at character 0, and y at 1.")
    first = (x[0] != begins).nonzero()
    if not len(first):
        step = int((x != right).any(dim=1).nonzero()[0, 0])
        row = int((x[step] != right[step]).nonzero()[0, 0])
        return wrong(
            f"At step {step}, row {row} reads character {int(x[step, row])} instead of {int(right[step, row])}."
        )
    row = int(first[0, 0])
    return wrong(
        f"Row {row} starts at character {int(x[0, row])}, not at {int(begins[row])}, and should go on from there."
    )


def _other_targets(x: Tensor, y: Tensor, steps: list[int]) -> AnswerError:
    for shift, which in ((0, "that were just read"), (-1, "before those that were read"), (2, "two places further on")):
        if torch.equal(y, x + shift):
            return wrong(f"Targets are the characters {which}. They should be those that come next.")
    places = [int(place) for place in (y != x + 1).any(dim=1).nonzero()[:, 0]]
    ends = [sum(steps[: k + 1]) - 1 for k in range(len(steps))]
    last = ends[-1]
    if places == [last] and torch.equal(y[last], x[0]):
        return wrong(f"The last target of row 0 is character {int(y[-1, 0])}, the row's own start: it wraps around.")
    if places == ends and torch.equal(y[ends[0]], x[0]):
        return wrong(
            f"The last target of each window wraps around: {int(x[ends[0], 0])} is followed by the window's start."
        )
    example = f"at step {places[0]} the target is {int(y[places[0], 0])}, after {int(x[places[0], 0])}"
    if places == [last]:
        return wrong(f"The last target of a row is wrong: {example}. It is the next row's first character.")
    if places == ends:
        return wrong(f"The last target of each window is wrong: {example}. It comes from the next window.")
    return wrong(f"Some targets are not the next character: {example}.")


def borders(answer: object) -> str:
    """Check exercise 4.2: values, gradient and error at three kinds of border."""
    names = ("detach", "zeros", "neither")
    if not isinstance(answer, Mapping) or set(answer) != set(names):
        raise wrong("The answer should be a dict with detach, zeros and neither.")
    if not all(isinstance(row, Mapping) for row in answer.values()):
        raise wrong("Each of detach, zeros and neither should have a dict with values, gradient and raises.")
    right = {name: _border(name) for name in names}
    cells = {(name, column): answer[name].get(column, ...) for name in names for column in right[name]}
    empty_cells = [f"{name}, {column}" for (name, column), value in cells.items() if value is ...]
    if empty_cells:
        raise wrong(f"Some cells of the table are empty: {'; '.join(empty_cells)}.")
    for (name, column), value in cells.items():
        if value not in (True, False):
            raise wrong(f"{name}, {column}: {value!r} is neither True nor False.")
    errors = [place for place, value in cells.items() if value != right[place[0]][place[1]]]
    if errors:
        (name, column), count = errors[0], len(errors)
        sentence, about = _BORDERS[errors[0]]
        raise wrong(
            f"{count} of 9 cells {'is' if count == 1 else 'are'} wrong, first {name}, {column}: {sentence}", about
        )
    return "detach keeps the state but cuts its gradient; zeros lose both; with neither, backward raises."


_BORDERS = {
    ("detach", "values"): ("detach changes no numbers: h and c stay as they are.", "M27"),
    ("detach", "gradient"): ("detach cuts the graph: no loss of the second window reaches the first.", ""),
    ("detach", "raises"): ("after detach each backward has its own graph, so none is used twice.", ""),
    ("zeros", "values"): (
        "zeros are a different state, so the second window gives different outputs: a row forgets.",
        "M26",
    ),
    ("zeros", "gradient"): ("zeros were not computed from the first window, so no gradient reaches it.", ""),
    ("zeros", "raises"): ("with zeros each backward has its own graph, so none is used twice.", ""),
    ("neither", "values"): ("carried unchanged, the state has the same numbers as in one run.", ""),
    ("neither", "gradient"): ("nothing is cut, so the loss of the second window reaches the first.", ""),
    ("neither", "raises"): (
        "the second backward goes through the first window's graph, which was freed. retain_graph=True keeps it, but "
        "by then its weights have changed.",
        "",
    ),
}


def _border(name: str) -> dict[str, bool]:
    """Find out what happens at a border."""
    change: dict[str, Callable[[Tensor], Tensor]] = {"detach": Tensor.detach, "zeros": torch.zeros_like}
    across = change.get(name, Tensor.clone)
    with seeded(43):
        lstm = LSTM(3, 4)
        x = torch.randn(6, 2, 3, requires_grad=True)
    before, (h, c) = lstm(x[:3])
    after, _ = lstm(x[3:], (across(h), across(c)))
    values = near(after, lstm(x)[0][3:])
    (slope,) = torch.autograd.grad(after.sum(), x, retain_graph=True)
    try:
        before.sum().backward()
        after.sum().backward()
    except RuntimeError:
        return {"values": values, "gradient": bool(slope[:3].any()), "raises": True}
    return {"values": values, "gradient": bool(slope[:3].any()), "raises": False}


def own_bits(answer: object) -> str:
    """Check exercise 4.3: the surprise of a model's own text, in bits per character."""
    with seeded(44), torch.no_grad():
        even = number(called(answer, Coin(torch.zeros(4)), torch.tensor([0]), DRAWS))
        if not math.isclose(even, 2, abs_tol=1e-4):
            raise explained(even, 2.0, _typical_bits(even))
        p = SCORES.softmax(-1)
        right, cold, read = float(-(p * p.log2()).sum()), float(-p.max().log2()), float(-p[3].log2())
        result = number(called(answer, Coin(SCORES), torch.tensor([3] * DRAWS), DRAWS))
        if abs(result - right) > 0.25:
            again = {round(number(called(answer, Coin(SCORES), torch.tensor([3]), 20)), 4) for _ in range(12)}
            if len(again) > 1 and again <= {round(float(cost), 4) for cost in -p.log2()}:
                raise wrong("That is the cost of a single character. Return the mean over all that the model writes.")
            raise _other_coin(result, right, cold, read, _drawn(answer))
        certain = number(called(answer, Strides(), torch.tensor([2, 4]), 60))
        if abs(certain) > 0.01:
            raise _other_certain(certain, answer)
        two = number(called(answer, Strides(choices=2), torch.tensor([2, 4]), 60))
        if abs(two - 1) > 0.01:
            raise wrong(
                f"A model with two equal chances at each step costs itself 1 bit; this is {two:.1f}. Is the text whose "
                "characters are scored the one that the model has read? Call `generate` once."
            )
        single = called(answer, Coin(SCORES), torch.tensor([3, 3]), 1)
        if isinstance(single, float | Tensor) and math.isnan(single):
            raise wrong("With a single character to write, the cost is nan: the first character has to be scored, too.")
        costs = [round(float(cost), 2) for cost in -p.log2()]
        if min(abs(number(single) - cost) for cost in costs) > 0.01:
            what = "the entropy of the model's prediction" if abs(number(single) - right) < 0.01 else "none of them"
            raise wrong(
                f"With a single character to write, its cost is one of {costs} bits, but this is {number(single):.2f}, "
                f"{what}. Score the character that was drawn."
            )
    return f"Two bits for four equal chances, {right:.2f} for unequal ones, 0 for a model that is always sure."


def _typical_bits(result: float) -> Iterator[Typical]:
    shown = f"{result:.3f}"
    yield Typical(f"{shown} is in nats. Divide by ln 2.", math.log(4))
    yield Typical(f"{shown} is in nats, multiplied by ln 2. Divide by it.", math.log(4) * math.log(2))
    yield Typical(f"{shown} is in units of log 10. Take log2, or divide nats by ln 2.", math.log10(4))
    yield Typical(f"{shown} is the sum over {DRAWS} characters. Return the mean.", 2.0 * DRAWS)
    yield Typical(f"{shown} is the sum in nats over {DRAWS} characters. Return the mean, in bits.", math.log(4) * DRAWS)
    yield Typical(f"{shown} is the perplexity, 2 to the power of the bits.", 4.0)
    yield Typical(f"{shown} is negative: the cost is minus the log of the probability.", -2.0)
    yield Typical(f"{shown} is negative, and in nats: the cost is minus log2 of the probability.", -math.log(4))
    yield Typical(f"{shown} is the log2 of a loss in nats. Divide that loss by ln 2.", math.log2(math.log(4)))
    yield Typical(f"{shown} is what the scores add up to here. The cost is minus log2 of their softmax.", 0.0)
    for bits in (2.0, math.log(4)):
        divisor = round(bits * DRAWS / result) if result > 1e-3 else 0
        instead = (
            f"{shown} is the sum{'' if bits == 2 else ', in nats,'} divided by {divisor}, but {DRAWS} are written."
        )
        if DRAWS != divisor > 1:
            yield Typical(instead, bits * DRAWS / divisor)
    yield Typical(f"{shown} is the mean probability. The cost is minus its log2.", 0.25)
    yield Typical(f"Each of four equal chances costs 2 bits, but this is {shown} (allowed: 1e-04).", result)


def _drawn(answer: object) -> Tensor:
    """Return what the model reads while it writes a text of its own, and while that is scored."""
    read = inputs_read(answer, Coin(SCORES), torch.tensor([3]), DRAWS)
    return torch.cat([torch.tensor([3]), *(ids.flatten() for ids in read)])


def _other_coin(result: float, right: float, cold: float, read: float, drawn: Tensor) -> AnswerError:
    """Explain a cost by a typical error; what was drawn tells whether the temperature was 1."""
    p = SCORES.softmax(-1)
    share, cost = float((drawn == 0).float().mean()), -float(p[drawn].log2().mean())
    known = [
        (cold, 0.01, "is what the most probable character costs. Draw at temperature 1, and score that text."),
        (-float(p.log2().mean()), 0.15, "is what characters drawn with equal chances cost. Draw from the scores."),
    ]
    if abs(share - float(p[0])) > CHANCE / 2:
        which = "lower" if share > p[0] else "higher"
        known.append((cost, 0.15, f"is what a text drawn at a {which} temperature costs. Draw at 1."))
    known += [
        (-float(p.square().sum().log2()), 0.05, "is minus log2 of the mean probability. Take the mean of -log2 p."),
        (right / DRAWS, 0.25 / DRAWS, f"comes from a division by the prompt's length, {DRAWS}, as well."),
        ((read + right) / 2, 0.1, "counts the prompt as well, which the model did not write."),
        (read, 0.01, "is what the prompt costs. Score the characters that the model writes."),
        (
            -float((p * p.softmax(-1).log2()).sum()),
            0.1,
            "is what softmax, taken twice, gives: cross_entropy takes the scores.",
        ),
        (math.log2(len(SCORES)), 0.01, "is the log2 of the number of choices. Take the model's probabilities."),
    ]
    for bits, tolerance, sentence in known:
        if abs(result - bits) < tolerance:
            return wrong(f"{result:.{2 if bits > 0.1 else 4}f} bits {sentence}")
    return wrong(f"Its own text should cost this model about {right:.2f} bits (± 0.25), but this is {result:.2f}.")


def _other_certain(result: float, answer: object) -> AnswerError:
    """Explain the cost of a text that the model was certain of after reading the prompt."""
    cost = 50 / math.log(2)  # of a wrong character
    begins = f"A model that is sure of each next character costs itself 0 bits; this is {result:.1f}."
    share = result / cost
    if share < 0.1:
        return wrong(f"{begins} Nearly all of it is one character: is the first, predicted after the prompt, scored?")
    read: list[int] = []
    by_last = Strides(stride=1)
    by_last.register_forward_pre_hook(lambda _, arguments: read.extend(arguments[0].flatten().tolist()))
    if abs(number(called(answer, by_last, torch.tensor([2, 4]), 60))) > 10:
        return wrong(f"{begins} Compare the scores at one character with the *next* character.")
    if read[0] != 2:
        return wrong(f"{begins} The model has not read the prompt from its beginning: pass all of ids to `generate`.")
    return wrong(
        f"{begins} What the model predicts depends on the prompt: to score the text, read both together, from one "
        "state."
    )


CHECKS: dict[str, Check] = {"4.1": windows, "4.2": borders, "4.3": own_bits}
