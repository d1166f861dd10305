"""Checks of chapter 8, the capstone: properties that hold for most texts and series, since learners bring their data.

A text is a tensor of whole numbers, one for each character, with losses in bits. A series is a tensor of floats, with
squared errors as losses.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from hiddenstate.course.exercises.answers import (
    Check,
    Typical,
    called,
    is_sequence_of,
    number,
    run,
    seeded,
    tensor,
    wrong,
)
from hiddenstate.course.exercises.losses import (
    CLOSE_LOSS,
    Score,
    losses_of,
    refuse_answers_read,
    refuse_infinite,
    refuse_look_ahead,
    remembers_nothing,
    sees_ahead,
    simple_losses,
    trivial_losses,
    trivial_name,
    typical_baselines,
    untrained_reason,
    values_of,
)
from hiddenstate.edits import edit
from hiddenstate.errors import AnswerError

BLOCKS = 20
LEAST_SHARE, MOST_SHARE = 0.05, 0.5
SHIFTS = 200
SHORT = 500  # elements of the training part, for a baseline that is called many times
FEW_STEPS = 100  # elements of the test part, for a score that is called several times
MOST_STEPS = 400  # elements of the test part over which losses are averaged
LIVE_STEPS = 300
SHORTEST = 25  # elements of the test part for a score that is called for each of them


def interval(answer: object) -> str:
    """Check exercise 8.4: a paired interval for the difference between two models on the same steps."""
    if not is_sequence_of(answer, Tensor, Tensor, Sequence) or len(answer[2]) != 2:
        raise wrong("The answer should be (losses of the baseline, losses of the model, (low, high)).")
    base, own = (tensor(losses, *cast("Tensor", answer[0]).shape).double() for losses in answer[:2])
    if base.dim() != 1 or len(base) < 2 * BLOCKS:
        raise wrong(
            f"The losses should be one number for each held-out element, but their shape is {list(base.shape)}."
        )
    low, high = map(number, answer[2])
    gain = base - own
    if not bool(gain.any()):
        raise wrong("The losses of the baseline and of the model are the same, element by element.")
    if low >= high:
        why = " That is the mean and a half width." if math.isclose(low, float(gain.mean()), rel_tol=1e-3) else ""
        raise wrong(f"The interval should be (low, high), but it is ({low:.4f}, {high:.4f}).{why}")
    middle, half = (low + high) / 2, (high - low) / 2
    mean, widths = float(gain.mean()), _half_widths(base, own)
    right = widths[0][0]
    if abs(middle - mean) > 0.25 * max(half, right) or abs(middle - mean) > 2 * right:
        raise _other_middle(middle, mean, base, own)
    exact = next((sentence for width, sentence in widths if math.isclose(half, width, rel_tol=1e-3)), None)
    if exact is None and not right / 1.15 <= half <= 1.15 * right:
        exact = "It should be two standard errors of the means of 20 blocks (15 % more or less is accepted)."
        by_step = float(2 * gain.std() / len(gain) ** 0.5)
        if math.isclose(half, by_step, rel_tol=0.05):
            exact = f"Single steps give {by_step:.4f}, but neighbours are not independent: use the means of 20 blocks."
    if exact:
        raise wrong(f"The half width should be about {right:.4f}, but it is {half:.4f}. {exact}")
    verdict = "does not include 0" if low > 0 or high < 0 else "includes 0, so the gain may be chance"
    return f"{mean:.4f} ± {half:.4f} a step, from {BLOCKS} blocks of the same steps: the interval {verdict}."


def _blocks(x: Tensor) -> Tensor:
    return x[: len(x) // BLOCKS * BLOCKS].view(BLOCKS, -1).mean(1)


def _half_widths(base: Tensor, own: Tensor) -> list[tuple[float, str]]:
    """Return the right half widths, by several quantiles, then those of typical errors, each with its sentence."""
    gain, n = base - own, len(base)
    blocks, root = _blocks(gain).std().item(), BLOCKS**0.5
    steps = gain.std().item()
    by_step = gain[: n // BLOCKS * BLOCKS].view(-1, BLOCKS)
    apart = ((base.var() + own.var()) / n).sqrt().item()
    apart_blocks = ((_blocks(base).var() + _blocks(own).var()) / BLOCKS).sqrt().item()
    independent = "It takes the steps as independent, but neighbours are not: use the means of 20 blocks"
    unpaired = "It treats the two as tested on different steps. Take the difference at each step first"
    no_root = f"It is the spread of the block means, not of their mean: divide by √{BLOCKS}"
    spread = f"It is how far single steps spread, not how sure their mean is: take blocks, and divide by √{BLOCKS}"
    once = "and take two standard errors"
    means = f". There are {BLOCKS} means: divide by √{BLOCKS}."
    interleaved = f"A block takes every {BLOCKS}th step. Its steps should be neighbours: .view({BLOCKS}, -1).mean(1)."
    short = f"The blocks have {BLOCKS} steps each. There should be {BLOCKS} blocks: .view({BLOCKS}, -1).mean(1)."
    whose = "It is the spread of the {}'s losses. Take the blocks of the *differences*"
    ends = torch.tensor([0.025, 0.975], dtype=gain.dtype)
    middle_of = "It holds 95 % of the {}, which shows how far they spread. Take two standard errors of their mean."
    whole = [
        *((quantile * blocks / root, "") for quantile in (2, 1.96, 2.09)),
        (blocks / root, "It is one standard error, which leaves out a third of the cases. Take two."),
        (4 * blocks / root, "It is four standard errors: the whole interval is that wide. Each side has two."),
        (3 * blocks / root, "It is three standard errors, for 99.7 %. For 95 %, take two."),
        (2.58 * blocks / root, "It is 2.58 standard errors, for 99 %. For 95 %, take two."),
        (1.645 * blocks / root, "It is 1.645 standard errors, for 90 %. For 95 %, take two."),
        (2 * blocks / BLOCKS, f"It divides by {BLOCKS}, not by its root: divide by √{BLOCKS}."),
        (2 * blocks**2 / root, "It uses the variance of the block means. Take their standard deviation."),
        (2 * blocks**2 / BLOCKS, "It is the variance of the mean, without the root."),
        (2 * by_step.mean(0).std().item() / root, interleaved),
        (2 * by_step.mean(1).std().item() / root, short),
        ((gain.quantile(ends).diff() / 2).item(), middle_of.format("single steps")),
        ((_blocks(gain).quantile(ends).diff() / 2).item(), middle_of.format("block means")),
        (2 * blocks / n**0.5, f"It divides by the root of the number of steps{means}"),
        (2 * blocks / (n // BLOCKS) ** 0.5, f"It divides by the root of a block's length{means}"),
        (2 * steps / root, f"It is the spread of single steps, divided by √{BLOCKS}. Take the spread of the means."),
    ]
    by_one = (
        (blocks, no_root),
        (steps / n**0.5, independent),
        (steps, spread),
        (apart, unpaired),
        (apart_blocks, unpaired),
        (_blocks(base).std().item() / root, whose.format("baseline")),
        (_blocks(own).std().item() / root, whose.format("model")),
    )
    for factor in (2, 1.96, 1):
        whole += [(factor * width, f"{sentence}{f', {once}' if factor == 1 else ''}.") for width, sentence in by_one]
    return whole


def _other_middle(middle: float, mean: float, base: Tensor, own: Tensor) -> AnswerError:
    known = (
        (-mean, "That is model minus baseline, or the two losses are exchanged."),
        (0.0, "That is around 0: add the mean of the differences."),
        (float(own.mean()), "That is the model's loss, not a difference."),
        (float(base.mean()), "That is the baseline's loss, not a difference."),
        (float((base - own).median()), "That is the median of the differences. Take their mean."),
        (float((base - own).sum()), "That is the sum of the differences. Take their mean."),
        (mean / float(base.mean()), "That is a fraction of the baseline's loss. Take the difference itself."),
        (float((base - own).abs().mean()), "That is the mean size of the differences: they keep their signs."),
        (mean * math.log(2), "That is in nats, and the losses are in bits: leave them as they are."),
        (100 * mean, "That is 100 times the mean of the differences."),
    )
    why = next((sentence for value, sentence in known if math.isclose(middle, value, rel_tol=0.02, abs_tol=1e-6)), "")
    return wrong(f"It should be around baseline minus model, {mean:.4f}, but is around {middle:.4f}. {why}".rstrip())


def split(answer: object) -> str:
    """Check exercise 8.1: disjoint training and held-out parts."""
    if not isinstance(answer, Sequence) or not all(isinstance(part, range) for part in answer) or len(answer) < 2:
        kinds = " and ".join(type(part).__name__ for part in answer[:2]) if isinstance(answer, tuple | list) else ""
        example = "such as range(0, 900) and range(900, 1000)"
        piece = f", but they are {kinds}. A part should be one piece, as a range is." if kinds else "."
        raise wrong(f"The answer should be two ranges of positions, {example}{piece}")
    parts = cast("Sequence[range]", answer)
    train, test = parts[0], parts[-1]
    for earlier, other in itertools.pairwise(parts):
        common = len(set(earlier) & set(other))
        if common:
            why = " A range does not include its end." if common == 1 else ""
            raise wrong(f"{common} positions are in two parts, so the score would include learnt elements.{why}")
    if any(part.step != 1 for part in parts):
        raise wrong("A part should be one piece: between its neighbours, a held-out element is easy to guess.")
    if not train or not test:
        raise wrong(f"A part is empty: {parts[0] if not train else parts[-1]}.")
    if any(earlier.stop > other.start for earlier, other in itertools.pairwise(parts)):
        raise wrong("The held-out part comes first: a model that has seen the future would predict the past.")
    share = len(test) / test.stop
    if share < LEAST_SHARE:
        raise wrong(f"{share:.1%} is held out, too little to tell a difference from chance: hold out a tenth, say.")
    if share > MOST_SHARE:
        raise wrong(f"{share:.1%} is held out, which leaves little to learn from: hold out a tenth, say.")
    lost = test.stop - sum(map(len, parts))
    if lost > 0.2 * test.stop:
        raise wrong(f"{lost} positions are in no part. Learn from all of those before the held-out part.")
    return f"{len(train)} elements to learn from, {len(test)} held out, none in both, the held-out ones last."


def baseline(answer: object) -> str:
    """Check exercise 8.2: a real baseline, which does not look ahead."""
    function, train, test = _parts(answer, "baseline, train, test")
    if train.is_floating_point() != test.is_floating_point():
        raise wrong(f"train is {train.dtype} and test {test.dtype}: both should be whole numbers, or both floats.")
    whole, test = test, test[:MOST_STEPS]
    losses = losses_of(partial(called, function, train), whole)
    refuse_infinite(losses, train, whole)
    losses = losses[: len(test) - 1]
    score: Score = partial(called, function, train[:SHORT])
    if sees_ahead(score, test[:FEW_STEPS]):
        raise wrong("Its early losses change with the end of the test part: its counts include that part.")
    refuse_answers_read(score, test, values_of(train, whole))
    trivial, simple = trivial_losses(train, test), simple_losses(train, test)
    mean, best = float(losses.mean()), float(simple.mean())
    if mean > 1.05 * best:
        for other, sentence in typical_baselines(train, test):
            if float((losses - other).abs().mean()) < 0.015 * float(other.mean()):
                raise wrong(f"{mean:.3f} a step: {sentence} What the exercise asks for has {best:.3f}.")
    # Whatever the data, the baseline that the exercise asks for is right.
    if mean > max(0.98 * float(trivial.mean()), 1.02 * best):
        raise wrong(f"{mean:.3f} is no better than {trivial_name(train)}: too easy to beat.")
    return f"{losses.mean():.3f} a step, where {trivial_name(train)} has {trivial.mean():.3f}. That is what to beat."


def model(answer: object) -> str:
    """Check exercise 8.3: a trained model that predicts without having read the answer."""
    function, whole = _parts(answer, "score, test")
    score, test = cast("Score", function), whole[:MOST_STEPS]
    losses = losses_of(score, test)
    if not losses.isfinite().all():
        raise wrong(
            "Some losses are infinite: a probability came out as 0 (use log_softmax), or training has diverged "
            "(lower the learning rate, and clip)."
        )
    few = test[:FEW_STEPS]
    if not torch.allclose(losses_of(score, few), losses_of(score, few), atol=CLOSE_LOSS):
        raise wrong("Two calls give different losses: is dropout still active (call eval()), or a state kept?")
    refuse_look_ahead(score, few)
    refuse_answers_read(score, test, values_of(whole))
    trivial, mean = float(trivial_losses(whole, test).mean()), float(losses.mean())
    if mean > 0.98 * trivial:
        begins = f"{mean:.3f} a step is no better than {trivial_name(whole, 'the held-out')}, {trivial:.3f}."
        raise wrong(f"{begins} {untrained_reason(score, test, losses, values_of(whole))}")
    if not test.is_floating_point() and remembers_nothing(score, test[:SHORTEST]):
        raise wrong(
            "Each loss is the same if only the element before is read: here the model has no memory. Does it read x as "
            "one sequence, [steps, 1], time first, or element by element with the state carried?"
        )
    if torch.allclose(losses_of(score, few), losses_of(score, few, edit.zero("l0.h")), atol=CLOSE_LOSS):
        inside = "Call the LSTM inside `with lstm.edit(*edits):`."
        raise wrong(f'The edit hs.zero("l0.h") changes no loss. {inside}')
    return f"{mean:.3f} a step on {len(test)} elements, where {trivial_name(whole, 'the held-out')} has {trivial:.3f}."


def ablation(answer: object) -> str:
    """Check exercise 8.5: an ablation whose cost falls where its label predicts."""
    costs, label = _parts(answer, "cost, label")
    n = label.shape[0] if label.dim() else 0
    aligned = "The first element is not predicted: cost and label are those of x[1:]."
    cost = tensor(costs, *label.shape, other={(n - 1,): aligned, (n + 1,): aligned}).double()
    if label.dtype != torch.bool or cost.dim() != 1:
        raise wrong("cost should be one number for each step, and label True or False for each step.")
    share = label.double().mean().item()
    if not 0.01 <= share <= 0.5:
        where = "It should hold at 1 to 50 % of them: those where you expect the cost."
        raise wrong(f"The label holds at {share:.0%} of the steps. {where}")
    if not cost.any():
        raise wrong("The edit costs nothing at any step. Was it active while the model ran?")
    for size, name in ((cost, "cost"), (cost.abs(), "size of the cost"), (-cost, "cost, its sign reversed,")):
        if float(size[label].min()) > float(size[~label].max()):
            raise wrong(
                f"The {name} is higher at every labelled step than at any other: the label was made from the cost. "
                "Make it from the data, before you look."
            )
    if float(cost.min()) > 0:
        subtract = "Subtract the loss without the edit from the loss with it."
        raise wrong(f"The cost is above 0 at every step, as a loss is; an increase is below 0 at some. {subtract}")
    gap, (at, elsewhere) = _gap(cost, label), _at(cost, label)
    with seeded(85):
        turns = torch.randint(1, len(label), (SHIFTS,)).tolist()
    moved = torch.tensor([_gap(cost, label.roll(turn)) for turn in turns])
    beaten = int((moved >= gap).sum())
    if gap <= 0 or at < 2 * abs(elsewhere):
        raise _other_label(cost, label, moved)
    if beaten > 0.05 * SHIFTS:
        raise wrong(f"Of {SHIFTS} shifted copies of the label, {beaten} do as well: that may be chance.", "M35")
    return f"It costs {at:.3f} there, {elsewhere:.3f} elsewhere; of {SHIFTS} shifted labels {beaten} do as well."


def _other_label(cost: Tensor, label: Tensor, moved: Tensor) -> AnswerError:
    """Explain why a label does not predict the cost: it is shifted, reversed, or the cost's sign is."""
    at, elsewhere = _at(cost, label)
    text = f"The cost is {at:.3f} under the label, {elsewhere:.3f} elsewhere"
    for turn, which in ((1, "earlier"), (-1, "later")):
        near, far = _at(cost, label.roll(turn))
        if near > 2 * max(far, 0) and near - far > float(moved.max()) * 0.99:
            return wrong(f"{text}. Shifted by one, the label fits: it is one step {which} than its cost, of x[1:].")
    if at < 0 and -at > 2 * abs(elsewhere):
        return wrong(f"{text}: negative. The cost is the loss with the edit minus the loss without it.")
    if at > 0 > elsewhere:
        return wrong(
            f"{text}: elsewhere the edit lowers the loss. Is the sign reversed? The cost is the loss with the edit "
            "minus the loss without it. If it is not, choose a unit that matters little elsewhere."
        )
    other_at, other_elsewhere = _at(cost, ~label)
    if other_at > 2 * max(other_elsewhere, 0):
        return wrong(f"{text}: is the label inverted? It should hold where you expect the cost.")
    return wrong(f"{text}: the label does not predict it. It should be at least twice as high.")


def stream(answer: object) -> str:
    """Check exercise 8.6: losses computed while elements arrive equal those computed all at once."""
    if not is_sequence_of(answer, object, object, Tensor) or not callable(answer[0]) or not callable(answer[1]):
        raise wrong("The answer should be (stream, score, test): two functions, and the held-out part.")
    x, score = answer[2][:LIVE_STEPS], cast("Score", answer[1])
    whole = losses_of(score, x)
    losses, read = _streamed(answer[0], x)
    late = next((k for k, count in enumerate(read) if count > k + 2), None)
    if late is not None:
        raise wrong(
            f"Loss {late} comes only when {read[late]} elements have been read, and should come after {late + 2}: "
            "yield each loss as soon as its element is there."
        )
    streamed = torch.tensor(losses, dtype=torch.double)
    if len(streamed) == len(whole) and torch.allclose(streamed, whole, atol=CLOSE_LOSS):
        return f"All {len(whole)} losses agree, and each came as soon as its element: the model can be used live."
    raise _other_losses(streamed, whole, score, x)


def _streamed(function: object, x: Tensor) -> tuple[list[float], list[int]]:
    """Return the losses that a generator yields, and how many elements it had read at each."""
    losses: list[float] = []
    read: list[int] = []
    count = 0

    def elements() -> Iterator[Tensor]:
        nonlocal count
        for count, element in enumerate(x.clone(), start=1):  # noqa: B007 (the generator's reader counts)
            yield element

    def consume() -> None:
        for loss in cast("Callable[..., Iterable[object]]", function)(elements()):
            losses.append(number(loss))
            read.append(count)

    run(consume)
    return losses, read


def _other_losses(streamed: Tensor, whole: Tensor, score: Score, x: Tensor) -> AnswerError:
    """Explain how losses computed one at a time differ."""
    n = len(whole)
    apart = torch.cat([losses_of(score, x[t : t + 2]) for t in range(n)])
    shifted = "The two are shifted by one: after x[t] the model predicts x[t + 1]."
    known = (
        Typical(
            "Only the first loss agrees, and the others are those of a model that has read one element: carry the "
            "state.",
            apart,
            "M1",
        ),
        Typical(shifted, whole[1:]),
        Typical("The last loss is missing.", whole[:-1]),
        Typical("These are in nats, and those of `score` in bits. Divide by ln 2.", whole * math.log(2)),
        Typical("These are in bits, and those of `score` in nats. Divide those by ln 2.", whole / math.log(2)),
        Typical("These are the sums of the losses so far. Yield each loss.", whole.cumsum(0)),
        Typical("These are the means of the losses so far. Yield each loss.", whole.cumsum(0) / torch.arange(1, n + 1)),
        Typical("The sign is reversed: these are log probabilities.", -whole),
        Typical("These are the probabilities. Yield minus log2 of each.", torch.exp2(-whole)),
    )
    for error in known:
        if len(error.result) == len(streamed) and torch.allclose(streamed, error.result, atol=CLOSE_LOSS):
            return wrong(error.sentence, error.about)
    if len(streamed) != n:
        first = " The first element has none, since nothing precedes it." if len(streamed) == n + 1 else ""
        return wrong(f"{len(x)} elements have {n} losses, but there are {len(streamed)}.{first}")
    for a, b in ((streamed[:-1], whole[1:]), (streamed[1:], whole[:-1])):
        if torch.allclose(a, b, atol=CLOSE_LOSS):
            return wrong(shifted)
    late = [losses_of(score, torch.cat([x[: t + 2], x[t + 1 : t + 2]]))[-1] for t in range(3)]
    if torch.allclose(streamed[:3], torch.stack(late), atol=CLOSE_LOSS):
        return wrong(
            "Each loss is that of the element just read, by what is predicted after it. Keep the last prediction."
        )
    gap = (streamed - whole).abs()
    return wrong(
        f"They differ by up to {gap.max():.2f} (allowed: {CLOSE_LOSS}), from loss "
        f"{int((gap >= CLOSE_LOSS).nonzero()[0])} on."
    )


def _parts(answer: object, names: str) -> Sequence[Any]:
    """Return the parts of an answer: anything, then tensors."""
    if not is_sequence_of(answer, object, *[Tensor] * names.count(",")):
        raise wrong(f"The answer should be ({names}).")
    return answer


def _at(cost: Tensor, label: Tensor) -> tuple[float, float]:
    """Return the mean cost where a label holds, and elsewhere."""
    return float(cost[label].mean()), float(cost[~label].mean())


def _gap(cost: Tensor, label: Tensor) -> float:
    at, elsewhere = _at(cost, label)
    return at - elsewhere


CHECKS: dict[str, Check] = {
    "8.1": split,
    "8.2": baseline,
    "8.3": model,
    "8.4": interval,
    "8.5": ablation,
    "8.6": stream,
}
