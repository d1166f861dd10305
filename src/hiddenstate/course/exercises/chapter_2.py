"""Checks of chapter 2: hidden state and gates."""

import itertools
import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    run,
    same,
    seeded,
    wrong,
)
from hiddenstate.course.exercises.language_models import (
    CHANCE,
    DRAWS,
    SCORES,
    Coin,
    Reader,
    Strides,
    greedy,
    other_texts,
)
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.names import GATES

HOLD, FLAG = 50, 3
PROMPTS = (([3, 1, 4], 12), ([0], 7), ([5, 2, 0, 1, 1], 9))  # ids, and the number of characters to write


def slope(answer: object) -> str:
    """Check exercise 2.1: a derivative through two steps, by hand."""
    for numbers_in in ((0.7, 0.8, 0.2, 0.3, -0.4), (0.9, 0.0, 1.0, 0.0, -1.0), (-1.2, 0.7, 0.1, 0.6, 0.3)):
        result, right = number(called(answer, *numbers_in)), _by_autograd(*numbers_in)
        if not same(result, right):
            with case(f"With w, h0, x1, x2, y = {numbers_in}"):
                raise _other_slope(answer, result, right, numbers_in)
    return "The derivative matches autograd's: one term for each step at which w was used."


def _by_autograd(w: float, h0: float, x1: float, x2: float, y: float) -> float:
    weight = torch.tensor(w, dtype=torch.double, requires_grad=True)
    loss = (torch.tanh(weight * torch.tanh(weight * h0 + x1) + x2) - y) ** 2
    return float(torch.autograd.grad(loss, weight)[0])


def _other_slope(answer: object, result: float, right: float, numbers_in: tuple[float, ...]) -> AnswerError:
    """Explain a wrong derivative by an error, by one of the factors as well, or by the step whose term is wrong."""
    errors = list(_typical_slopes(*numbers_in))
    both = (
        error._replace(sentence=f"Two errors. {error.sentence} {sentence}", result=factor * error.result)
        for error in errors
        for factor, sentence in _FACTORS
    )
    w, _, *others = numbers_in
    first_term = same(number(called(answer, w, 0.0, *others)), _by_autograd(w, 0.0, *others))
    term = (
        "With h0 = 0 it is right, so look at the term of the first step, w·(1 - h1²)·h0."
        if first_term
        else "With h0 = 0 only the second step's term is left, 2·(h2 - y)·(1 - h2²)·h1, and that is wrong already."
    )
    return explained(result, right, (*errors, *both, Typical(f"{difference(result, right)} {term}", result)))


_FACTORS = (
    (0.5, "The 2 of the loss's slope, 2·(h2 - y), is missing."),
    (-1.0, "The sign is reversed: the loss's slope is 2·(h2 - y)."),
    (-0.5, "The loss's slope is 2·(h2 - y): its sign is reversed, and the 2 is missing."),
)


def _typical_slopes(w: float, h0: float, x1: float, x2: float, y: float) -> Iterator[Typical]:
    h1 = math.tanh(w * h0 + x1)
    h2 = math.tanh(w * h1 + x2)
    error, late, early = 2 * (h2 - y), 1 - h2**2, 1 - h1**2
    first, second = error * late * w * early * h0, error * late * h1
    right, z1, z2 = first + second, w * h0 + x1, w * h1 + x2
    for value, sentence in (
        (second, "Only the second step's term is there, h1. h1 depends on w as well: add w·(1 - h1²)·h0."),
        (first, "Only the first step's term is there, w·(1 - h1²)·h0. w is used at the second step too: add h1."),
        (first / w, "Only h0·(1 - h1²) is in the brackets: add h1, and multiply by w what goes from h2 back to h1."),
        (error * late * (h1 + w * first / late / error), "w is there twice in the first step's term, w·(1 - h1²)·h0."),
        (
            error * (1 - math.tanh(h2) ** 2) * (h1 + w * (1 - math.tanh(h1) ** 2) * h0),
            "tanh is taken once more in the slopes. h1 and h2 are tanh's results, so its slope is 1 - h².",
        ),
        (error * (1 + h2**2) * (h1 + w * (1 + h1**2) * h0), "tanh's slope is 1 - h²: not 1 + h²."),
        (error * late * (h1 + early * h0), "The path back from h2 to h1 goes through w: its factor w is missing."),
        (error * late * (h1 + w * h0), "tanh's slope at the first step, 1 - h1², is missing."),
        (error * (h1 + w * early * h0), "tanh's slope at the second step, 1 - h2², is missing."),
        (error * (h1 + w * h0), "Both slopes of tanh are missing: 1 - h2² and 1 - h1²."),
        (
            error * late * (h1 + h0),
            "w·(1 - h1²) is missing: h0 reaches h2 through w and through tanh at the first step.",
        ),
        (error * (1 - h2) * (h1 + w * (1 - h1) * h0), "tanh's slope is 1 - h², with the square: not 1 - h."),
        (error * (1 - h2) ** 2 * (h1 + w * (1 - h1) ** 2 * h0), "tanh's slope is 1 - h²: not (1 - h)²."),
        (
            error * h2 * (1 - h2) * (h1 + w * h1 * (1 - h1) * h0),
            "h·(1 - h) is the slope of a sigmoid. tanh's is 1 - h².",
        ),
        (error * late * (h1 + w * early * x1), "x1 is in the place of h0: at the first step w multiplies h0."),
        (right / 2, "The derivative of (h2 - y)² is 2·(h2 - y): the 2 is missing."),
        (-right, "The sign is reversed: the derivative of (h2 - y)² is 2·(h2 - y)."),
        (-right / 2, "The derivative of (h2 - y)² is 2·(h2 - y): the sign is reversed, and the 2 is missing."),
        (right / error, "The factor from the loss, 2·(h2 - y), is missing: this is the derivative of h2."),
        (
            error * late * w * early,
            "That is the derivative with respect to x1. Return the one with respect to w.",
        ),
        (error * late * w * early * w, "That is the derivative with respect to h0, the first memory. Return w's."),
        (error * (1 - z2**2) * (h1 + w * (1 - z1**2) * h0), "tanh's slope is 1 - tanh(z)², so 1 - h²: not 1 - z²."),
        (error * late * (h1 * w * early * h0), "The two terms are multiplied. The paths add up: h1 + w·(1 - h1²)·h0."),
        ((h2 - y) ** 2, "That is the loss itself. Return its derivative with respect to w."),
        (h2, "That is h2. Return the derivative of the loss with respect to w."),
    ):
        yield Typical(sentence, value)


def generate(answer: object) -> str:
    """Check exercise 2.2: a sampler, greedy and at a temperature."""
    with seeded(43), torch.no_grad():
        model = Reader().eval()
        for temperature in (1.0, 0.5, 2.0):
            written = _written(answer, Coin(SCORES), torch.tensor([0, 1]), DRAWS, temperature)
            shares = torch.bincount(torch.tensor(written), minlength=len(SCORES))[: len(SCORES)] / DRAWS
            if (shares - (SCORES / temperature).softmax(-1)).abs().max() > CHANCE:
                raise _other_temperature(shares, temperature)
        prompts = [(torch.tensor(ids), count) for ids, count in PROMPTS]
        right = [greedy(model, prompt, count) for prompt, count in prompts]
        for temperature in (0, 0.1):
            results = [_written(answer, model, prompt, count, temperature) for prompt, count in prompts]
            if results != right:
                where = f"At temperature {temperature}, where it should always choose the most probable character"
                with case(where):
                    raise other_texts(results, right, model, [prompt for prompt, _ in prompts])
        _refuse_other_input(_written(answer, Strides(choices=2), torch.tensor([1]), 40, 1.0))
    return "Greedy, it writes what the model finds most probable; at a temperature, it draws according to the scores."


def _refuse_other_input(written: list[int]) -> None:
    """Reject a text with a character that the model finds impossible after the one before it."""
    for before, after in itertools.pairwise([1, *written]):
        if (after - before - 1) % 5 > 1:
            raise wrong(
                f"At temperature 1 it wrote {after} after {before}, which the model finds impossible there: the "
                "character that is drawn must be the model's next input, with the state that came back."
            )


def _written(answer: object, model: nn.Module, prompt: Tensor, count: int, temperature: float) -> list[int]:
    try:
        result = called(answer, model, prompt, count, temperature)
    except AnswerError as error:
        if isinstance(error.__cause__, RuntimeError | ZeroDivisionError) and not temperature:
            raise wrong(f"At temperature 0, don't divide by it: take the argmax. {error}") from error.__cause__
        raise
    if isinstance(result, Tensor):
        raise wrong("The answer should be a list, but it is a tensor: `.tolist()` makes a list.")
    if not isinstance(result, Sequence) or isinstance(result, str):
        raise wrong(f"The answer should be a list of ids, but its type is {type(result).__name__}.")
    others = [element for element in result if not isinstance(element, int)]
    if others:
        kind = type(others[0]).__name__
        raise wrong(f"The list should have whole numbers, but an element is of type {kind}: `.item()` makes one.")
    if len(result) != count:
        why = {
            len(prompt): " The prompt is not part of it.",
            1: " That is one too many: the scores after the prompt are already those of the first.",
            -1: " One is missing: the scores after the prompt are already those of the first.",
        }.get(len(result) - count, "")
        raise wrong(f"It should write {count} characters, without the prompt, but it wrote {len(result)}.{why}")
    return list(result)


def _other_temperature(shares: Tensor, temperature: float) -> AnswerError:
    right = (SCORES / temperature).softmax(-1)
    typical = (
        ((SCORES * temperature).softmax(-1), "The scores are multiplied by the temperature. Divide them."),
        (SCORES.softmax(-1), "The temperature has no effect. Divide the scores by it, before softmax."),
        ((SCORES - temperature).softmax(-1), "The temperature has no effect. Divide the scores by it."),
        (
            (SCORES / temperature).sigmoid() / (SCORES / temperature).sigmoid().sum(),
            "The shares are those of sigmoid. Use softmax.",
        ),
        (torch.full((4,), 0.25), "All characters are equally likely: the scores have no effect."),
        ((-SCORES / temperature).softmax(-1), "The least probable character is the most frequent: a sign is reversed."),
        (SCORES.softmax(-1).div(temperature).softmax(-1), "softmax is applied twice: once, after dividing the scores."),
    )
    if shares.max() == 1:
        return wrong(
            f"At temperature {temperature} it always chooses the same character, {int(shares.argmax())}: draw instead."
        )
    never = [k for k, share in enumerate(shares.tolist()) if not share and right[k] > CHANCE / 2]
    if never:
        return wrong(f"At temperature {temperature} it never draws {never}, though every character can be drawn.")
    other, sentence = min(typical, key=lambda error: float((shares - error[0]).abs().max()))
    if (shares - other).abs().max() < CHANCE < (right - other).abs().max():
        return wrong(f"At temperature {temperature}: {sentence}")
    counted = f"in {DRAWS} draws its share is {shares[0]:.2f}, and may differ by {CHANCE:.2f}"
    return wrong(f"At temperature {temperature} character 0 has probability {right[0]:.2f}, but {counted}.")


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
            return wrong(f"{vector} is 1, but {other} is added to it: the sums are {values}.")
    if near(total, ones * 0):
        return wrong("The two biases add up to 0. One of them should be 1, or both 0.5.")
    if near(total, ones * torch.sigmoid(torch.tensor(1.0))):
        return wrong("The bias is 0.731, which is σ(1). The bias itself should be 1; σ is applied later.")
    weights = [name for name in others if ".W_" in name]
    if weights:
        return wrong(f"The weights {', '.join(weights)} have changed. The forget bias is b_if + b_hf: {values}.")
    have = [unit for unit, value in enumerate(total.tolist()) if math.isclose(value, 1, abs_tol=1e-5)]
    if have:
        units = len(total)
        rows = f"The forget gate's rows are H:2H, here {units}:{2 * units}"
        return wrong(f"Of the {units} units of layer {layer} only {have} have it: the sums are {values}. {rows}.")
    return wrong(f"The two biases of layer {layer} should add up to 1, but they add up to {values}.")


def latch(answer: object) -> str:
    """Check exercise 2.5: eight numbers for a unit that keeps the sign of a value that is marked by a flag."""
    numbers_of = _eight(answer)
    h, lost = _latched(numbers_of)
    if lost:
        turned = {gate: (bias, weight) for gate, (weight, bias) in numbers_of.items()}
        raise (lost if _latched(turned)[1] else wrong("The numbers of each pair are exchanged: it is (weight, bias)."))
    return f"Fifty steps after each flag h has the sign, at |h| = {h:.2f}."


def _latched(numbers_of: Mapping[str, tuple[float, float]]) -> tuple[float, AnswerError | None]:
    """Return |h| fifty steps after the second flag, and why a value was lost, if one was."""
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
        return 0.0, wrong("Some states are infinite or nan. Choose eight finite numbers.")
    for k, step in enumerate(flagged):
        kept = {name: part[step + 1 : step + 1 + HOLD] for name, part in parts.items()}
        if not bool((kept["h"] * values[step]).min() > 0.5):
            at_flag = {name: float(part[step].abs().max()) for name, part in parts.items()}
            return 0.0, _lost(kept, at_flag, values[step], again=k == 1)
    return float(kept["h"][-1].abs().min()), None


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
        parts = tuple(pair) if isinstance(pair, Iterable) else ()
        if any(part is ... for part in parts):
            raise wrong("Some of the eight numbers are still missing.")
        if len(parts) != 2 or not all(isinstance(part, numbers.Real | Tensor) for part in parts):
            raise wrong(f"{gate} should have two numbers, (weight, bias), but it is {pair!r}.")
        pairs[str(gate)] = (float(parts[0]), float(parts[1]))
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


CHECKS: dict[str, Check] = {"2.1": slope, "2.2": generate, "2.4": forget_bias, "2.5": latch}
