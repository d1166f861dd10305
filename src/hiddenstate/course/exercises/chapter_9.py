"""Checks of chapter 9: series of numbers."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    case,
    difference,
    explained,
    near,
    number,
    same,
    seeded,
    tensor,
    verdict,
    wrong,
)
from hiddenstate.edits import edit
from hiddenstate.nn.lstm import LSTM


def windows(answer: object) -> str:
    """Check exercise 9.1: all windows of a series, and the step after each."""
    with seeded(91):
        cases = [(torch.randn(12, 3), 4), (torch.randn(9, 1), 2), (torch.randn(8, 4), 7)]
    for x, T in cases:
        steps, columns = x.shape
        N = steps - T
        with case(f"With x of shape {[steps, columns]} and T = {T}"):
            result = called(answer, x, T)
            if not isinstance(result, tuple | list) or len(result) != 2:
                raise wrong(f"The answer should be two tensors, inputs and targets, but is a {type(result).__name__}.")
            inputs = tensor(result[0], N, T, columns, other=_window_shapes(steps, T, columns))
            targets = tensor(result[1], N, other=_target_shapes(N, columns))
            every = x.unfold(0, T, 1)[:-1].transpose(1, 2)
            with case("The inputs"):
                if not near(inputs, every):
                    raise explained(inputs, every, _typical_windows(x, every))
            with case("The targets"):
                if not near(targets, x[T:, 0]):
                    raise explained(targets, x[T:, 0], _typical_targets(x, T))
    return "Window n reads steps n to n + T - 1, and its target is step n + T."


def _window_shapes(steps: int, T: int, columns: int) -> dict[tuple[int, ...], str]:
    N = steps - T
    return {
        **dict.fromkeys(
            ((steps // T, T, columns), (-(-N // T), T, columns)),
            "Those windows don't overlap. Start one at every step.",
        ),
        (T, N, columns): "Windows come first, [N, T, C].",
        (N, columns, T): "Steps come before columns, [N, T, C]: swap the last two axes with transpose.",
        (N - 1, T, columns): f"One window is missing: they begin at steps 0 to {N - 1}.",
        (N + 1, T, columns): "The last window has no next step, so it has no target.",
        (N, T): "Those are of one column: a window has all of them, [N, T, C].",
        (N, T * columns): "The numbers of a window are in one row: keep its steps and columns apart, [N, T, C].",
        (N, T + 1, columns): "A window has T steps. The one after them is the target, and must not be read.",
    }


def _target_shapes(N: int, columns: int) -> dict[tuple[int, ...], str]:
    return {
        (N, columns): "Only column 0 is forecast.",
        (N, 1): "One number a window: use [:, 0], or squeeze the last axis.",
        (columns,): "That is one step with all its columns. Return column 0 of every step from T on.",
        (N - 1,): "One target is missing: they are column 0 of all steps from T to the last.",
        (N + 1,): "That is one target too many: the first one belongs to step T.",
    }


def _typical_windows(x: Tensor, every: Tensor) -> Iterator[Typical]:
    N, T, columns = every.shape
    counted = "The numbers are regrouped in memory order, so steps and columns are mixed. Use transpose, not view."
    yield Typical(counted, x.unfold(0, T, 1)[:-1].reshape(N, T, columns), "M9")
    by_step = torch.stack([x[k : k + N] for k in range(T)])
    yield Typical(
        "The numbers are regrouped in memory order, so windows are mixed. Use transpose, not view.",
        by_step.reshape(N, T, columns),
        "M9",
    )
    yield Typical("Each window is in reverse order: the oldest step comes first.", every.flip(1))
    yield Typical("The windows are in reverse order.", every.flip(0))
    yield Typical(
        "Each window begins one step late: its last step is its target, which must not be read.",
        torch.stack([x[k + 1 : k + 1 + T] for k in range(N)]),
    )
    yield Typical("All windows are the first one: where does window k begin?", every[:1].expand_as(every))


def _typical_targets(x: Tensor, T: int) -> Iterator[Typical]:
    N = len(x) - T
    first = x[:, 0]
    yield Typical("They are each window's last step, which it has read. Return the next one.", first[T - 1 : -1])
    yield Typical("They are each window's first step. Return the one after its last.", first[:N])
    yield Typical("They are each window's second step. Return the one after its last.", first[1 : N + 1])
    yield Typical("They are two steps after the windows, rolled around at the end.", first.roll(-1)[T:])
    yield Typical("They are of the last column. Column 0 is forecast.", x[T:, -1])
    yield Typical("They are means of the windows. The next step is forecast.", first.unfold(0, T, 1)[:-1].mean(1))
    yield Typical("They are means over the columns. Column 0 is forecast.", x[T:].mean(1))
    yield Typical("They are in reverse order.", first[T:].flip(0))
    yield Typical("They are changes. The value itself is forecast.", first[T:] - first[T - 1 : -1])


def scaled(answer: object) -> str:
    """Check exercise 9.2: columns scaled by the mean and standard deviation of the training part."""
    with seeded(92):
        noise = torch.randn(20, 3) * torch.tensor([1.0, 5.0, 0.2]) + torch.tensor([3.0, -20.0, 0.0])
        trend = torch.arange(15.0)[:, None] * torch.tensor([1.0, -2.0]) + torch.randn(15, 2)
    for x, cut in ((noise, 12), (trend, 9)):
        other: dict[tuple[int, ...], str] = {
            (cut, x.shape[1]): "That is the training part only. Return all steps, scaled in the same way.",
            (len(x) - cut, x.shape[1]): "That is the held-out part only. Return all steps.",
        }
        with case(f"With x of shape {list(x.shape)} and cut = {cut}"):
            result = tensor(called(answer, x, cut), *x.shape, other=other)
            mean, std = x[:cut].mean(0), x[:cut].std(0)
            right = (x - mean) / std
            if not near(result, right) and not near(result, (x - mean) / x[:cut].std(0, correction=0)):
                raise explained(result, right, (*_typical_scales(x, cut), *_shown_scale(x, cut, result)))
    return "The held-out part is scaled too, by numbers that were known before it."


def _typical_scales(x: Tensor, cut: int) -> Iterator[Typical]:
    train, test = x[:cut], x[cut:]
    mean, std = train.mean(0), train.std(0)
    future = "comes from all steps, so the future leaks into the training part. Use the steps before cut."
    yield Typical(
        f"The mean and the standard deviation each {future.replace('comes', 'come')}", _by(x, x.mean(0), x.std(0))
    )
    yield Typical(f"The standard deviation {future}", _by(x, mean, x.std(0)))
    yield Typical(f"The mean {future}", _by(x, x.mean(0), std))
    yield Typical(
        "Each part is scaled by its own mean and standard deviation. The held-out part's are not known when its first "
        "step is forecast, and the two parts no longer agree on what a degree is.",
        torch.cat([_by(train, mean, std), _by(test, test.mean(0), test.std(0))]),
    )
    yield Typical("The scale is that of the held-out part.", _by(x, test.mean(0), test.std(0)))
    yield Typical(
        "One mean and scale are used for all columns. Take them along the steps: mean(0).",
        _by(x, train.mean(), train.std()),
    )
    yield Typical(
        "Each *step* is scaled by its own columns. Take the mean along the steps: mean(0).",
        _by(x, x.mean(1, keepdim=True), x.std(1, keepdim=True)),
    )
    yield Typical("It is divided by the variance. The standard deviation is its root.", _by(x, mean, std**2))
    yield Typical("It is multiplied by the standard deviation. Divide by it.", (x - mean) * std)
    yield Typical("The mean is not subtracted.", x / std)
    yield Typical("The mean is subtracted, but nothing is divided by the standard deviation.", x - mean)
    yield Typical("Only the training part is scaled; the rest is as it was.", torch.cat([_by(train, mean, std), test]))
    yield Typical("The mean is subtracted after the division. Subtract first.", x / std - mean)
    low, high = train.min(0).values, train.max(0).values
    yield Typical(
        "It is scaled to the range from 0 to 1. It should have mean 0 and standard deviation 1.",
        _by(x, low, high - low),
    )
    early = x[: cut + 1]
    yield Typical(
        "The average includes the step at `cut`, which is held out.",
        _by(x, early.mean(0), early.std(0)),
    )


def _shown_scale(x: Tensor, cut: int, result: Tensor) -> Iterator[Typical]:
    """Yield what a result shows was subtracted from the columns, and what they were divided by."""
    train, early = x[:cut], x[: cut - 1]
    divisor = (x[1] - x[0]) / (result[1] - result[0])
    subtracted = x[0] - divisor * result[0]
    if not near(_by(x, subtracted, divisor), result):
        return
    means = {
        "each column's mean over the steps before cut": train.mean(0),
        "0": torch.zeros_like(train[0]),
        "one mean of all columns": train.mean().expand(x.shape[1]),
        "each column's mean over all steps": x.mean(0),
        "each column's mean without the last training step": early.mean(0),
        "each column's median": train.median(0).values,
        "each column's first step": train[0],
        "each column's smallest value": train.amin(0),
    }
    scales = {
        "each column's standard deviation over the steps before cut": train.std(0),
        "one standard deviation of all columns": train.std().expand(x.shape[1]),
        "each column's standard deviation over all steps": x.std(0),
        "each column's standard deviation without the last training step": early.std(0),
        "the root of each column's mean square, from 0": train.square().mean(0).sqrt(),
        "each column's mean distance from its mean": (train - train.mean(0)).abs().mean(0),
        "each column's range": train.amax(0) - train.amin(0),
        "each column's largest value": train.amax(0),
        "each column's largest size": train.abs().amax(0),
    }
    sentences = []
    for does, values, known in (("subtracts", subtracted, means), ("divides by", divisor, scales)):
        names = (name for name, value in known.items() if torch.allclose(values, value, rtol=1e-3, atol=1e-3))
        name, right = next(names, f"{[round(value, 3) for value in values.tolist()]}"), next(iter(known))
        sentences += [f"It {does} {name}, not {right}."] * (name != right)
    yield Typical(" ".join(sentences), result)


def _by(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return (x - mean) / scale


Feature = Callable[[Tensor], Tensor]


def _averaged(before: int, after: int) -> Feature:
    """Return a moving mean; at the ends, it is taken over the steps that exist."""
    return lambda x: torch.stack([x[max(0, t - before) : t + after + 1].mean() for t in range(len(x))])


def _filled(step: int) -> Feature:
    """Return a function that fills the value of a step from those beside it."""

    def filled(x: Tensor) -> Tensor:
        copy, beside = x.clone(), [x[k] for k in (step - 1, step + 1) if 0 <= k < len(x)]
        if step < len(x) and beside:
            copy[step] = torch.stack(beside).mean()
        return copy

    return filled


_FEATURES: dict[str, tuple[bool, Feature]] = {
    "the change since the step before": (False, lambda x: torch.cat([x[:1] * 0, x.diff()])),
    "the mean of the last three steps": (False, _averaged(2, 0)),
    "the largest value so far": (False, lambda x: x.cummax(0).values),
    "the next step's value": (True, lambda x: torch.cat([x[1:], x[-1:]])),
    "the centred mean of three steps": (True, _averaged(1, 1)),
    "the mean of a step and the four after it": (True, _averaged(0, 4)),
    "the series scaled by the mean of all its steps": (True, lambda x: x - x.mean()),
    "the series with step 0 filled from step 1": (True, _filled(0)),
    "the series with step 8 filled from steps 7 and 9": (True, _filled(8)),
    "the series with step 10 filled from steps 9 and 11": (True, _filled(10)),
}


def leaks(answer: object) -> str:
    """Check exercise 9.3: a test that finds features that read the future."""
    with seeded(93):
        x = torch.randn(12)
    result = {name: verdict(called(answer, make, x)) for name, (_, make) in _FEATURES.items()}
    right = {name: leak for name, (leak, _) in _FEATURES.items()}
    if result != right:
        raise explained(result, right, _typical_leak_tests(x, result, right))
    return "It finds the leak of a centred mean, of a scale over all steps, and of a single filled gap."


def _changed(make: Feature, x: Tensor, step: int) -> Tensor:
    """Return which values change if one step of the series does: a mask, by step."""
    other = x.clone()
    other[step] += 1
    return (make(other) - make(x)).abs() > 1e-6


def _typical_leak_tests(x: Tensor, result: dict[str, bool], right: dict[str, bool]) -> Iterator[Typical]:
    tests: tuple[tuple[str, Callable[[Feature], bool]], ...] = (
        ("It calls nothing a leak, not even the next step's value.", lambda make: False),
        (
            "It calls everything a leak, even the change since the step before. A value may depend on its own step and "
            "on earlier ones: compare only values before the change, or only those that both series have.",
            lambda make: True,
        ),
        (
            "It calls dependence on *earlier* steps a leak. Change a late step, and compare the values before it.",
            lambda make: bool(_changed(make, x, 0)[1:].any()),
        ),
        (
            "It tests the last step only, and misses a leak from one other step to the step before. Try every step in "
            "turn, and compare all values before it.",
            lambda make: bool(_changed(make, x, -1)[:-1].any()),
        ),
        (
            "It compares the first value only. A leak may be from just a step or a few ahead: compare all values "
            "before the change.",
            lambda make: bool(_changed(make, x, -1)[0]),
        ),
        (
            "It compares only the value just before the change. Compare all that are before it, for every step.",
            lambda make: bool(_changed(make, x, -1)[-2]),
        ),
        ("The answers are the other way round: True means a leak.", lambda make: not right[_name(make)]),
    )
    for sentence, test in tests:
        yield Typical(sentence, {name: test(make) for name, (_, make) in _FEATURES.items()})
    missed = [name for name in right if right[name] and not result[name]]
    blamed = [name for name in right if result[name] and not right[name]]
    sentences = [f"It misses the leak of {', '.join(missed)}."] if missed else []
    sentences += [f"It calls {', '.join(blamed)} a leak, though it reads no later step."] if blamed else []
    yield Typical(" ".join(sentences), result)


def _name(make: Feature) -> str:
    return next(name for name, (_, other) in _FEATURES.items() if other is make)


def lost(answer: object) -> str:
    """Check exercise 9.4: what a model's answer loses when one number of its input is replaced."""
    with seeded(94), torch.no_grad():
        lstm, linear = LSTM(3, 4), nn.Linear(4, 1)
        x, base = torch.randn(5, 3), torch.randn(3)

        calls: list[Tensor] = []

        def model(x: Tensor) -> Tensor:
            if x.shape != (5, 3):
                raise wrong(
                    f"The model was called with x of shape {list(x.shape)}. Replace numbers, and keep all steps."
                )
            calls.append(x.clone())
            number: Tensor = 5 * linear(lstm(x[:, None])[0][-1, 0])[0]
            return number

        other = {
            (3, 5): "Steps come first, as in x.",
            (5,): "That is one number a step: replace one column at a time.",
            (3,): "That is one number a column: replace one step at a time.",
            (15,): "The numbers are in one row: give the table the shape of x.",
        }
        result = tensor(called(answer, model, x, base), 5, 3, other=other)
        read, right = list(calls), _map(model, x, base)
        if not near(result, right):
            typical = (*_typical_maps(model, x, base, result, right), *_other_calls(read, x, base, result, right))
            raise explained(result, right, typical)
    return "It is the map by occlusion: what is lost without that number. Parts need not add up."


def _map(model: Callable[[Tensor], Tensor], x: Tensor, base: Tensor, **how: Any) -> Tensor:
    """Return what is lost by replacing each number, by step and column; or a typical error in it."""
    table, changed = torch.zeros(x.shape), x.clone()
    for t in range(len(x)):
        for c in range(x.shape[1]):
            other = changed if how.get("kept") else x.clone()
            if how.get("all_columns"):
                other[t] = base
            elif how.get("all_steps"):
                other[:, c] = base[c]
            else:
                other[t, c] = base[c] + (x[t, c] if how.get("added") else 0)
            table[t, c] = model(x) - model(other)
    return table


def _typical_maps(
    model: Callable[[Tensor], Tensor], x: Tensor, base: Tensor, result: Tensor, right: Tensor
) -> Iterator[Typical]:
    yield Typical("The sign is reversed: model(x) minus the model of the changed x.", -right)
    yield Typical(
        "The numbers are replaced by 0. Use base[c], a value that the column often has.", _map(model, x, base * 0)
    )
    yield Typical(
        "What was replaced stays replaced for the next numbers: change a copy, x.clone(), each time.",
        _map(model, x, base, kept=True),
    )
    yield Typical("All columns of a step are replaced together.", _map(model, x, base, all_columns=True))
    yield Typical("A column is replaced at all steps together.", _map(model, x, base, all_steps=True))
    yield Typical("The base is added to the number. Put it in the number's place.", _map(model, x, base, added=True))
    yield Typical("The signs are lost: a number that lowers the answer has a negative part.", right.abs())
    yield Typical("The steps are in reverse order: row 0 is the first step.", right.flip(0))
    yield Typical("That is a slope: the difference is divided by the change of the number.", right / (x - base))
    yield Typical("The differences are squared.", right**2)
    whole = model(x)
    yield Typical("That is the model's answer to each changed x. Subtract it from model(x).", whole - right)
    yield Typical("The differences are divided by the answer. Leave them as they are.", right / whole)
    yield Typical("The differences are divided by their sum. Leave them as they are.", right / right.sum())
    if result.is_floating_point():
        all_0 = "All parts are 0: was x itself changed, or the answer compared with itself?"
        yield Typical(all_0, torch.zeros_like(right))


def _other_calls(calls: list[Tensor], x: Tensor, base: Tensor, result: Tensor, right: Tensor) -> Iterator[Typical]:
    """Yield explanations of a result by calls of the model with a different number replaced, or with several."""
    if not result.is_floating_point():
        yield Typical(f"The table is of {result.dtype}, which has only whole numbers.", result)
    for called_with in calls:
        places = (called_with != x).nonzero().tolist()
        if len(places) > 1:
            yield Typical(
                f"The model reads an x in which {len(places)} numbers are replaced, first at {places[:2]}. Replace "
                "one, in a new copy of x.",
                result,
            )
        if places and float(called_with[tuple(places[0])]) != float(base[places[0][1]]):
            t, c = places[0]
            value = f"by {called_with[t, c]:.3f}, and base[{c}] is {base[c]:.3f}"
            yield Typical(f"The number of step {t} and column {c} is replaced {value}.", result)
    missing = (result != right) & (result == 0)
    if missing.any():
        yield Typical(f"{int(missing.sum())} of {result.numel()} parts are 0: every step and column has one.", result)


def forgotten(answer: object) -> str:
    """Check exercise 9.5: the forecast if the LSTM forgets what it read up to a step."""
    with seeded(95), torch.no_grad():
        lstm, linear = LSTM(2, 4), nn.Linear(4, 1)
        for parameter in lstm.parameters():
            parameter.mul_(2)
        x = torch.randn(7, 1, 2)
        for t in (3, 0, 5):
            with case(f"With t = {t} of 7 steps"):
                result = called(answer, lstm, linear, x, t)
                if isinstance(result, Tensor) and result.numel() != 1:
                    every = "Those are the forecasts after every step. Return the last."
                    tensor(result, 1, 1, other={(7, 1, 1): every})
                value, right = number(result), float(linear(lstm(x[t + 1 :])[0][-1]))
                if not same(value, right):
                    what = _still_read(answer, lstm, linear, x, t, value)
                    last = Typical(f"{difference(value, right)} {what}", value)
                    raise explained(value, right, (*_typical_forgetting(lstm, linear, x, t), last))
    return "f and i at 0 leave c = 0 and h = 0: the same as starting at the next step."


def _still_read(answer: object, lstm: LSTM, linear: nn.Module, x: Tensor, t: int, value: float) -> str:
    """Say which steps a forecast depends on, among those that it should forget and those that it should not."""
    read = []
    for step in range(len(x)):
        other = x.clone()
        other[step] += 1
        if not same(number(called(answer, lstm, linear, other, t)), value):
            read.append(step)
    if read and read[0] <= t:
        return f"It still depends on steps {[step for step in read if step <= t]}, which it should forget."
    if read != list(range(t + 1, len(x))):
        return f"It depends on steps {read}, and should on all after {t}."
    return f"It depends on the steps after {t}, as it should: is it the forecast from out[-1], with no other edit?"


def _typical_forgetting(lstm: LSTM, linear: nn.Module, x: Tensor, t: int) -> Iterator[Typical]:
    def forecast(x: Tensor, *edits: edit.Edit) -> float:
        with lstm.edit(*edits):
            return float(linear(lstm(x)[0][-1]))

    def zeros(*gates: str, t: int | None = t) -> list[edit.Edit]:
        return [edit.zero(f"l0.{gate}", t=t) for gate in gates]

    blank = x.clone()
    blank[: t + 1] = 0
    open_gates = [edit.set("l0.f", to=1.0, t=t), *zeros("i")]
    by_i = "Only f is 0: what was read up to t - 1 is forgotten, but step t is still written by i·g."
    by_input = "The input is 0 up to step t, but the LSTM reads zeros too: its biases write."
    yield Typical("Nothing was forgotten: is the call inside the `with` block of the edit?", forecast(x))
    yield Typical(by_i, forecast(x, *zeros("f")))
    yield Typical("Only i is 0: step t is not written, but f keeps all before it.", forecast(x, *zeros("i")))
    yield Typical("h is 0 at step t, or o is, but c still holds everything.", forecast(x, *zeros("h")))
    yield Typical("f is 1 at step t, which keeps everything: f = 0 forgets.", forecast(x, *open_gates), "M17")
    yield Typical(by_input, forecast(blank))
    yield Typical("Step t is still read: start one step later.", forecast(x[t:]))
    yield Typical(
        "Nothing is left: it forgets at all steps, or gives the forecast of step t, which has just been forgotten. "
        "Forget at step t, and forecast from the last step, out[-1].",
        forecast(x, *zeros("f", "i", t=None)),
    )
    for end in (t, t + 1):
        if end:
            yield Typical(f"It reads only steps 0 to {end - 1}, which it should forget.", forecast(x[:end]))
    apart = x[[k for k in range(len(x)) if k != t]]
    yield Typical("Only step t is left out, and all before it are still read.", forecast(apart))
    yield Typical("f and o are 0 at step t, but i is not: i·g writes step t.", forecast(x, *zeros("f", "o")))
    yield Typical("i and o are 0 at step t, but f is not: it keeps all before.", forecast(x, *zeros("i", "o")))
    _, (h, c) = lstm(x[: t + 1])
    for state, sentence in (
        ((h, 0 * c), "c is 0 after step t, but h still holds what was read: both should be 0."),
        ((0 * h, c), "h is 0 after step t, but c still holds what was read: both should be 0."),
    ):
        yield Typical(sentence, float(linear(lstm(x[t + 1 :], state)[0][-1])))
    yield Typical(
        "It forgets a step too late: step t is the last to be forgotten.", forecast(x, *zeros("f", "i", t=t + 1))
    )


CHECKS: dict[str, Check] = {"9.1": windows, "9.2": scaled, "9.3": leaks, "9.4": lost, "9.5": forgotten}
