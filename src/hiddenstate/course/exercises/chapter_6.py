"""Checks of chapter 6: to production."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import (
    CLOSE,
    Check,
    Typical,
    called,
    case,
    explained,
    inputs_read,
    near,
    number,
    same,
    seeded,
    tensor,
    verdict,
    wrong,
)
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM


class _Ahead(nn.Module):
    """Looks ahead, at every step or at one: it reads the mean of the step's own input and a later step's input."""

    def __init__(self, lstm: LSTM, steps: int, at: int | None = None) -> None:
        super().__init__()
        self.lstm, self.steps, self.at = lstm, steps, at

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        later = torch.cat([x[self.steps :], x[-1:].expand(self.steps, *x.shape[1:])])
        read = (x + later) / 2
        if self.at is not None:
            read = torch.cat([x[: self.at], read[self.at : self.at + 1], x[self.at + 1 :]])
        result: tuple[Tensor, Any] = self.lstm(read)
        return result


class _Apart(nn.Module):
    """Has no memory: each output depends only on the input of its own step."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x * 2, None


STEPS = 9
Model = Callable[[Tensor], tuple[Tensor, Any]]
_KINDS = {
    "plain": "the LSTM that reads forward",
    "deep": "the LSTM of two layers that reads forward",
    "apart": "a model without a memory",
    "both": "the bidirectional one",
    "ahead": "a model that looks one step ahead",
    "far": "a model that looks four steps ahead",
    "first": "a model that looks ahead at step 0 only",
    "early": "a model that looks ahead at step 2 only",
    "late": "a model that looks ahead at step 5 only",
    "last": "a model that looks ahead at the last step but one only",
}


def can_stream(answer: object) -> str:
    """Check exercise 6.4: a test that finds models whose outputs depend on later input."""
    with seeded(65):
        models: dict[str, nn.Module] = {"plain": LSTM(3, 4), "deep": LSTM(3, 4, num_layers=2), "apart": _Apart()}
        models |= {"both": LSTM(3, 4, bidirectional=True), "ahead": _Ahead(LSTM(3, 4), 1), "far": _Ahead(LSTM(3, 4), 4)}
        places = {"first": 0, "early": 2, "late": 5, "last": STEPS - 2}  # a single cut misses most of them
        models |= {name: _Ahead(LSTM(3, 4), 1, at=place) for name, place in places.items()}
        x = torch.randn(STEPS, 2, 3)
        for model in models.values():
            model.requires_grad_(False)  # so that only an answer that asks for gradients of x has them
        result = {name: verdict(called(answer, model, x)) for name, model in models.items()}
        right = {name: name in ("plain", "deep", "apart") for name in models}
        if result != right:
            raise explained(result, right, _typical_tests(models, x, result, right))
    return "It passes the LSTM that reads forward, and finds the reverse direction and the look-ahead."


def _after_change(model: Model, x: Tensor, steps: int | slice) -> Tensor:
    """Return which outputs change with the input at one step or several: a mask, by step."""
    other = x.clone()
    other[steps] += 1
    return ((model(other)[0] - model(x)[0]).abs() > 1e-6).flatten(1).any(1)


# Tests that do not do what is asked: functions of a model and its input.
_TESTS = (
    Typical(
        "It passes every model, even the bidirectional one, whose first output depends on the last input.",
        lambda model, x: True,
    ),
    Typical(
        "It rejects every model, even the LSTM that reads forward. If an input changes, the output of its own step may "
        "change too: compare only the outputs before it, and change one step at a time, in a copy of x.",
        lambda model, x: False,
    ),
    Typical(
        "It rejects the LSTM that reads forward: outputs may depend on what came *before* them. Change a late input, "
        "and compare the outputs before it.",
        lambda model, x: not bool(_after_change(model, x, 0)[1:].any()),
    ),
    Typical(
        "It rejects exactly the models that can stream: True should mean that no output depends on later input.",
        lambda model, x: any(_after_change(model, x, slice(step, None))[:step].any() for step in range(1, STEPS)),
    ),
    Typical(
        "It finds the reverse direction, but misses models that look ahead without one. Change the input at every step "
        "in turn, and compare all outputs before it.",
        lambda model, x: not bool(_after_change(model, x, -1)[0]),
    ),
    Typical(
        "It misses a model that looks one step ahead. Compare the output just before the change, too.",
        lambda model, x: not bool(_after_change(model, x, -1)[:-2].any()),
    ),
    *(
        Typical(
            "It tests one place only, and misses models that look ahead at another: repeat it for every step.",
            lambda model, x, step=step, steps=steps: not bool(_after_change(model, x, steps)[:step].any()),
        )
        for step in range(1, STEPS)
        for steps in (step, slice(step, None))
    ),
)


def _typical_tests(
    models: dict[str, nn.Module], x: Tensor, result: dict[str, bool], right: dict[str, bool]
) -> Iterator[Typical]:
    for error in _TESTS:
        yield error._replace(result={name: error.result(model, x) for name, model in models.items()})
    passed = [_KINDS[name] for name in models if result[name] and not right[name]]
    rejected = [_KINDS[name] for name in models if right[name] and not result[name]]
    sentences = [f"It rejects {', '.join(rejected)}, though no output depends on later input."] if rejected else []
    sentences += [f"It passes {', '.join(passed)}, though outputs depend on later input."] if passed else []
    yield Typical(" ".join(sentences), result)


State = tuple[Tensor, Tensor]
SIZES = (4, 1, 6, 3)


def in_chunks(answer: object) -> str:
    """Check exercise 6.1: chunks of any size give the same result as one call."""
    with seeded(61), torch.no_grad():
        lstm, x = LSTM(3, 5), torch.randn(sum(SIZES), 2, 3)
        right = lstm(x)
        drawn = [int(size) for size in torch.randint(1, 4, (sum(SIZES),))]
        for sizes in (list(SIZES), _cut(drawn), [sum(SIZES)]):
            with case(f"With chunks of {sizes} steps"):
                result = _pair(called(answer, lstm, x, sizes), right[0], sizes)
                if not all(map(near, (result[0], *result[1]), (right[0], *right[1]))):
                    reads = _other_inputs(inputs_read(answer, lstm, x, sizes), x.split(sizes))
                    raise _other_chunks(result, right, lstm, x, sizes, reads)
                lengths = [len(read) for read in inputs_read(answer, lstm, x, sizes)]
                if lengths and lengths != sizes:
                    raise wrong(f"The result is right, but x was read in chunks of {lengths} steps.")
    return "Every split gives the outputs and the state of the whole sequence."


def _cut(sizes: list[int]) -> list[int]:
    """Adjust the sizes so that they add up to the number of steps."""
    ends = [min(end, sum(SIZES)) for end in itertools.accumulate(sizes)]
    return [end - begin for begin, end in itertools.pairwise([0, *ends]) if end > begin]


def _pair(result: object, right: Tensor, sizes: Sequence[int]) -> tuple[Tensor, State]:
    if isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[0], list):
        raise wrong(f"out is a list of {len(result[0])} chunks. Join them with `torch.cat`.")
    if isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[0], tuple):
        raise wrong("The first part should be out, a tensor, and the second the state: is the order reversed?")
    try:
        out, (h, c) = cast("Sequence[Any]", result)
    except (TypeError, ValueError):
        kind = f"a {type(result).__name__}" + (f" of shape {list(result.shape)}" if isinstance(result, Tensor) else "")
        raise wrong(f"The answer should be two things: out, and the state, a pair (h, c). It is {kind}.") from None
    steps, rows, units = right.shape
    shapes: dict[tuple[int, ...], str] = {
        (rows, steps, units): "Join the chunks along the first axis, the steps.",
        (sizes[-1], rows, units): "That is the last chunk's output: keep that of every chunk.",
        (len(sizes), rows, units): "That is one step for each chunk: keep the whole output of every chunk.",
        (1, rows, units): "That is one step only: keep the whole output of every chunk.",
    }
    tensor(out, *right.shape, other=shapes)
    for name, part in (("h", h), ("c", c)):
        with case(f"The final state's {name}"):
            tensor(part, 1, rows, units)
    return out, (h, c)


def _other_inputs(inputs: Sequence[Tensor], chunks: Sequence[Tensor]) -> str:
    """Name the first of the LSTM's calls, one for each chunk, that reads steps outside its chunk."""
    if len(inputs) != len(chunks):
        return ""
    whole, begin = torch.cat(list(chunks)), 0
    for k, (read, chunk) in enumerate(zip(inputs, chunks, strict=True)):
        places = (place for place in range(len(whole)) if near(read, whole[place : place + len(read)]))
        place = next(places, None)
        if place != begin:
            steps = (
                "something other than unchanged steps of x"
                if place is None
                else f"steps {place} to {place + len(read) - 1}"
            )
            reads = f"reads {steps}"
            return f"Call {k} {reads}; its chunk is steps {begin} to {begin + len(chunk) - 1}, counted from 0."
        begin += len(chunk)
    return ""


def _other_chunks(
    result: tuple[Tensor, State], right: tuple[Tensor, State], lstm: LSTM, x: Tensor, sizes: list[int], reads: str
) -> AnswerError:
    """Explain what happens to a state that is not carried."""
    out, (h, c) = result
    if not near(out, right[0]):
        return explained(out, right[0], _typical_chunks(lstm, x, sizes, right[0], out, reads))
    if near(h, right[1][1]) and near(c, right[1][0]):
        return wrong("The outputs are right, but the final state is (c, h). It is (h, c).", "M3")
    others = [
        ("that after the first chunk. Return the last one.", lstm(x[: sizes[0]])[1]),
        ("that before the last chunk. Return the one after it.", lstm(x[: -sizes[-1]])[1] if len(sizes) > 1 else None),
        ("0. Return the one that the last call returned.", (torch.zeros_like(h), torch.zeros_like(c))),
        ("that after reading the last chunk twice.", lstm(x[-sizes[-1] :], right[1])[1]),
    ]
    for sentence, state in others:
        if state and near(h, state[0]) and near(c, state[1]):
            return wrong(f"The outputs are right, but the state is {sentence}")
    k = 0 if not near(h, right[1][0]) else 1
    typical = [Typical(f"It is {sentence}", state[k]) for sentence, state in others if state]
    typical.append(
        Typical(f"It is {'ch'[k]} once more. Return the state that the last call returned.", right[1][1 - k])
    )
    reason = explained((h, c)[k], right[1][k], typical)
    return wrong(f"The outputs are right, but the final {'hc'[k]} is not. {reason}")


def _typical_chunks(
    lstm: LSTM, x: Tensor, sizes: list[int], right: Tensor, result: Tensor, reads: str = ""
) -> Iterator[Typical]:
    chunks = x.split(sizes)
    for carried, sentence, about in _CARRIES:
        yield Typical(sentence, _carried(lstm, chunks, carried), about)
    yield Typical("The chunks are read in reverse order.", _carried(lstm, chunks[::-1], "hc"))
    yield Typical("The chunks of the output are joined in reverse order.", torch.cat(right.split(sizes)[::-1]))
    yield Typical("The outputs are shifted by one step.", torch.cat([torch.zeros_like(right[:1]), right[:-1]]))
    twice = lstm(torch.cat([part for chunk in chunks for part in (chunk, chunk)]))[0]
    readings = twice.split([size for size in sizes for _ in "12"])
    for k in (0, 1):
        sentence = "Each chunk is read twice, and the state goes through both readings. Make one call for each."
        yield Typical(sentence, torch.cat(readings[k::2]))
    apart = (result - right).abs().amax(dim=(1, 2)) > CLOSE
    step = int(apart.nonzero()[0])
    begins = list(itertools.accumulate(sizes, initial=0))
    if step == 0:
        place = "The first step is wrong already, before a state is passed on. Does the first chunk start from zeros?"
    elif step in begins:
        place = (
            f"The first {step} steps are right. Chunk {begins.index(step)}, counted from 0, starts from a wrong state."
        )
    else:
        place = f"The first {step} steps are right, and the next is inside a chunk: look at how a chunk is read."
    yield Typical(reads or place, result)


# What is passed on as h and c: the last ones (h, c), those of the first chunk (H, C) or the last but one (p, q), or 0.
_CARRIES = (
    ("00", "Each chunk starts from zeros, so it knows nothing of the chunks before it.", "M32"),
    ("HC", "Each chunk starts where the *first* ended. Pass in the state that the last call returned.", "M1"),
    ("pq", "Each chunk starts from a state that is one chunk too old. Pass in the last one.", ""),
    ("h0", "h is carried to the next chunk and c is not: c starts from zeros. Carry both.", "M3"),
    ("0c", "c is carried to the next chunk and h is not: h starts from zeros. Carry both.", "M3"),
    ("hC", "h is carried to the next chunk and c is not: it stays that of the first chunk. Carry both.", "M3"),
    ("Hc", "c is carried to the next chunk and h is not: it stays that of the first chunk. Carry both.", "M3"),
    ("ch", "h and c are swapped on their way to the next chunk: the state is (h, c).", "M3"),
    ("hh", "h is passed in place of c as well: the state is (h, c).", "M3"),
    ("cc", "c is passed in place of h as well: the state is (h, c).", "M3"),
)


def _carried(lstm: LSTM, chunks: Sequence[Tensor], carried: str) -> Tensor:
    """Read chunks, each from the parts of earlier states that `_CARRIES` names."""
    out, (h, c) = lstm(chunks[0])
    pieces, parts = [out], {"0": 0 * h, "H": h, "C": c, "p": 0 * h, "q": 0 * h, "h": h, "c": c}
    for chunk in chunks[1:]:
        out, after = lstm(chunk, (parts[carried[0]], parts[carried[1]]))
        parts |= dict(zip("pqhc", (parts["h"], parts["c"], *after), strict=True))
        pieces.append(out)
    return torch.cat(pieces)


def resets(answer: object) -> str:
    """Check exercise 6.2: converting marks of last steps to marks of first steps."""
    ends = torch.zeros(6, 3, dtype=torch.bool)
    ends[0, 1] = ends[1, 0] = ends[3, 0] = ends[2, 1] = ends[5, 2] = True
    with seeded(62):
        cases = [ends, torch.rand(9, 2) < 0.3, torch.rand(5, 8) < 0.3, torch.tensor([[False], [True]])]
    for marks in cases:
        steps, rows = marks.shape
        right = torch.zeros_like(marks)
        right[1:] = marks[:-1]
        other: dict[tuple[int, ...], str] = {
            (steps - 1, rows): "One step is missing: each has a mark, step 0 too.",
            (steps + 1, rows): "That is one step too many.",
        }
        with case(f"With done of shape {[steps, rows]}"):
            result = tensor(called(answer, marks), steps, rows, other=other)
            if result.dtype != torch.bool:
                raise wrong(f"The answer should be a bool tensor, but its dtype is {result.dtype}.")
            if not torch.equal(result, right):
                raise _other_mask(result, marks, right)
    return "Each sequence starts one step after the previous one in its row ends."


def _other_mask(result: Tensor, marks: Tensor, right: Tensor) -> AnswerError:
    aside, before = torch.zeros_like(marks), torch.zeros_like(marks)
    aside[:, 1:] = marks[:, :-1]
    before[:-1] = marks[1:]
    beginning, twice = right.clone(), torch.zeros_like(marks)
    beginning[0] = True
    copied = marks[:1].repeat(len(marks), 1)
    copied[0] = False
    twice[2:] = marks[:-2]
    to_row = "The marks have moved to the next *row* of the batch. Steps are the first axis."
    back = "The marks have moved one step back. A sequence starts one step *after* the last step of the previous one."
    typical: list[Typical] = [
        Typical("The last step is marked, so it is cut off from its own sequence. The reset comes after.", marks),
        Typical(
            "Nothing is marked: each sequence continues with the state of the previous one.",
            torch.zeros_like(marks),
            "M25",
        ),
        Typical(
            "A last step in the last row of time was rolled around to step 0, which should not be marked.",
            marks.roll(1, 0),
        ),
        Typical(
            "All rows are reset when one is done, but the sequences of the others continue.",
            right.any(1, keepdim=True).expand_as(right),
            "M28",
        ),
        Typical("roll without dims moves each mark to the next *row*. Roll along the steps, dims=0.", marks.roll(1)),
        Typical(to_row, aside, "M8"),
        Typical(to_row, marks.roll(1, 1), "M8"),
        Typical(back, before),
        Typical(back, marks.roll(-1, 0)),
        Typical("Step 0 is marked too, but it continues the previous batch.", beginning),
        Typical("The marks have moved by two steps. The next sequence starts one step later.", twice),
        *(
            Typical("The mask is inverted: True should mean that a sequence starts.", inverted)
            for inverted in (~right, torch.cat([right[:1], ~right[1:]]))
        ),
        Typical("This inverts done: every step is marked except the last ones. Mark only the step after each.", ~marks),
        Typical(
            "The last step is marked as well as the first one of the next sequence. Mark only first steps.",
            right | marks,
        ),
        Typical(
            "Every step after the first end is marked. Mark only the first step of each sequence.",
            right.cummax(0).values,
        ),
        Typical("Each step was copied from the one before after that had changed. Copy first: done.clone().", copied),
        Typical("All steps are marked, so no state is carried at all.", torch.ones_like(marks)),
    ]
    t, n = (int(place) for place in (result != right).nonzero()[0])
    count = int((result != right).sum())
    is_marked, ends = bool(result[t, n]), bool(t and marks[t - 1, n])
    why = f"step {t - 1} is {'a' if ends else 'no'} last step" if t else "step 0 continues the previous batch"
    place = f"Step {t} of row {n} is {'' if is_marked else 'not '}marked, though {why}"
    typical.append(Typical(f"{place}; {count} of {result.numel()} marks are wrong.", result))
    return explained(result, right, typical)


def skill(answer: object) -> str:
    """Check exercise 6.3: squared error against persistence."""
    with seeded(63):
        walk = torch.randn(400, 16).cumsum(dim=0)
        wave = torch.sin(0.4 * torch.arange(400.0))[:, None] * torch.linspace(0.5, 2, 5) + 0.1 * torch.randn(400, 5)
        last = walk + 0.3 * torch.randn(400, 16)
    nearly = torch.cat([wave[1:], wave[:1] + 3]) * 0.9
    for name, forecast, series in (("random walk", last, walk), ("noisy wave", nearly, wave)):
        with case(f"On a {name}"):
            result, right = number(called(answer, forecast, series)), _skill(forecast, series)
            if not same(result, right):
                raise explained(result, right, _typical_skills(result, right, forecast, series))
    return "On a random walk, the last value plus noise has a skill below 0; a nearly perfect forecast has one near 1."


def _skill(forecast: Tensor, series: Tensor) -> float:
    return 1 - _ratio(forecast[:-1] - series[1:], series[:-1] - series[1:])


def _ratio(error: Tensor, other: Tensor) -> float:
    return float(error.square().mean() / other.square().mean())


def _typical_skills(result: float, right: float, forecast: Tensor, series: Tensor) -> Iterator[Typical]:
    """Name what was computed instead of the skill of the forecasts."""
    came = series[1:]
    rival, error = series[:-1] - came, forecast[:-1] - came
    squares, rivals = error.square(), rival.square()
    correlation = float(torch.corrcoef(torch.stack([forecast[:-1].flatten(), came.flatten()]))[0, 1])
    leak = " is a leak: the forecast made at t is compared with t, not t+1."
    rolled = " rolls the series, so that the last forecast is compared with the first value."
    mean = ": the mean is too weak a baseline. Use the last value."
    follows = " is a correlation. Anything that follows a random walk one step behind has that."
    sums = " compares the sum of one part's squared errors with the mean of the other's. Take the same of both."
    mixed = " compares squared errors with absolute ones. Square both."
    for sentence, skill in (
        (leak, 1 - _ratio(forecast - series, rival)),
        (leak, 1 - _ratio(forecast[:-1] - series[:-1], rival)),
        (leak, 1 - _ratio(forecast[1:] - came, rival)),
        (" compares the forecast made at t with t-1, not t+1.", 1 - _ratio(forecast[1:] - series[:-1], rival)),
        (rolled, 1 - _ratio(forecast - series.roll(-1, 0), rival)),
        (mean, 1 - _ratio(error, came - came.mean())),
        (mean, 1 - _ratio(error, series - series.mean())),
        (mean, 1 - _ratio(error, came - came.mean(0))),
        (mean, 1 - float(squares.mean() / came.var())),
        (": 0 is too weak a baseline. Use the last value.", 1 - _ratio(error, came)),
        (follows, correlation),
        (" is a squared correlation, which a forecast one step behind has too.", correlation**2),
        (" is the ratio of the errors. Skill is 1 minus that: 0 is no better.", 1 - right),
        (" is the ratio minus 1. Skill is 1 minus the ratio: a better forecast has more.", -right),
        (" divides persistence's error by the forecast's. It is the other way round.", 1 - _ratio(rival, error)),
        (" divides persistence's error by the forecast's. Skill is 1 minus the reverse.", _ratio(rival, error)),
        (" compares absolute errors. Square them.", float(1 - error.abs().mean() / rival.abs().mean())),
        (" compares roots of the squared errors. Compare the means themselves.", 1 - (1 - right) ** 0.5),
        (" is only the squared error. Compare it with that of persistence.", float(squares.mean())),
        (
            " is a difference of errors. Divide by persistence's: 1 - error / error.",
            float(rivals.mean() - squares.mean()),
        ),
        (
            " is the mean of each series' skill. Compare the errors over all of them.",
            float((1 - squares.mean(0) / rivals.mean(0)).mean()),
        ),
        (
            " is the mean of ratios, step by step. Take both means first, then the ratio.",
            float((1 - squares / rivals).mean()),
        ),
        (
            " is the mean of each step's skill. Compare the errors over all steps.",
            float(1 - (squares.mean(1) / rivals.mean(1)).mean()),
        ),
        (mixed, float(1 - squares.mean() / rival.abs().mean())),
        (mixed, float(1 - error.abs().mean() / rivals.mean())),
        (
            " compares medians of the squared errors. Compare their means.",
            float(1 - squares.median() / rivals.median()),
        ),
        (sums, 1 - error.numel() * (1 - right)),
        (sums, 1 - (1 - right) / error.numel()),
        (" is a percentage. Skill is at most 1.", 100 * right),
        (
            " squares the mean error. Take the mean of the squared errors.",
            1 - float(error.mean() ** 2 / rival.mean() ** 2),
        ),
        (
            " is the lowest that it gives, but a forecast that is worse than persistence has a skill below 0.",
            max(0.0, right),
        ),
        *_other_parts(forecast, series),
        (
            f" should be 1 - {float(squares.mean()):.4f} / {float(rivals.mean()):.4f} = {right:.4f}, by the mean "
            "squares of said[:-1] - series[1:] and series[:-1] - series[1:].",
            result,
        ),
    ):
        yield Typical(f"{result:.2f}{sentence}", skill, "M34" if "correlation" in sentence else "")


def _other_parts(forecast: Tensor, series: Tensor) -> Iterator[tuple[str, float]]:
    """Yield the skills from differences other than the forecast's error and persistence's, and from other means."""
    came, now, said = series[1:], series[:-1], forecast[:-1]
    error, rival = said - came, now - came
    persistence = "Persistence's error is series[:-1] - series[1:]."
    for name, gap in {
        "the forecast's distance from the current value": said - now,
        "the first value's error": series[:1] - came,
        "the error of the value of two steps before": series[2:] - series[:-2],
        "the change from one forecast to the next": forecast.diff(dim=0),
    }.items():
        yield f" has {name} in persistence's place. {persistence}", 1 - _ratio(error, gap)
        yield f" has {name} in place of the forecast's error, said[:-1] - series[1:].", 1 - _ratio(gap, rival)
    variance = "the variance, which forgives a constant error,"
    ways: list[tuple[str, Callable[[Tensor], float]]] = [
        ("the root of the mean square", lambda gap: float(gap.square().mean().sqrt())),
        (variance, lambda gap: float(gap.var())),
        (variance, lambda gap: float(gap.var(correction=0))),
        ("the last step's mean square", lambda gap: float(gap[-1].square().mean())),
        ("the first series' mean square", lambda gap: float(gap[:, 0].square().mean())),
    ]
    for name, mean in ways:
        both = "of both errors. Take the mean square of each, over all steps and series."
        yield f" takes {name} {both}", 1 - mean(error) / mean(rival)
        mixed = f" takes {name} of one error and the mean square of the other. Take the mean square of both."
        yield mixed, 1 - mean(error) / float(rival.square().mean())
        yield mixed, 1 - float(error.square().mean()) / mean(rival)


CHECKS: dict[str, Check] = {"6.1": in_chunks, "6.2": resets, "6.3": skill, "6.4": can_stream}
