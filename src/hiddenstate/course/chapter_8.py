"""Checks of chapter 8, the capstone: properties that hold for most texts and series, since learners bring their data.

A text is a tensor of whole numbers, one for each character, with losses in bits. A series is a tensor of floats, with
squared errors as losses.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor

from hiddenstate.course.answers import Check, called, seeded, tensor, wrong

Score = Callable[[Tensor], object]  # the loss of each element except the first
LEAST_SHARE = 0.05
BLOCKS = 20
SHIFTS = 200
CLOSE_LOSS = 1e-3
MOST_STEPS = 400  # elements of the test part that are checked several times


def split(answer: object) -> str:
    """Check exercise 8.1: disjoint training and held-out parts."""
    if not isinstance(answer, Sequence) or not all(isinstance(part, range) for part in answer) or len(answer) < 2:
        raise wrong("", "The answer should be two ranges of positions, such as range(0, 900) and range(900, 1000).")
    parts = cast("Sequence[range]", answer)
    train, test = parts[0], parts[-1]
    for one, other in itertools.pairwise(parts):
        common = len(set(one) & set(other))
        if common:
            raise wrong("", f"{common} positions are in two parts, so the score would include learnt elements.")
    if any(part.step != 1 for part in parts):
        raise wrong("", "A part should be one piece: between its neighbours, a held-out element is easy to guess.")
    if any(one.stop > other.start for one, other in itertools.pairwise(parts)):
        raise wrong("", "The held-out part comes first: a model that has seen the future would predict the past.")
    share = len(test) / test.stop
    if share < LEAST_SHARE or not train:
        raise wrong("", f"{share:.1%} is held out, too little to tell a difference from chance: hold out a tenth, say.")
    return f"{len(train)} elements to learn from, {len(test)} held out, none in both, the held-out ones last."


def baseline(answer: object) -> str:
    """Check exercise 8.2: a real baseline, which does not look ahead."""
    given, train, test = _three(answer, "baseline, train, test")
    test = test[:MOST_STEPS]
    score: Score = partial(called, given, train)
    losses = _losses(score, test)
    if not losses.isfinite().all():
        raise wrong(
            "", "Some losses are infinite: an element that never occurs in training is possible. Give it a small count."
        )
    if _sees_ahead(score, test):
        raise wrong("", "Its early losses change with the end of the test part: its counts include that part.")
    _refuse_answers_read(score, test)
    trivial = _trivial(train, test)
    # Whatever the data, the baseline that the exercise asks for is right.
    enough = max(0.98 * float(trivial.mean()), 1.02 * float(_simple(train, test).mean()))
    if float(losses.mean()) > enough:
        raise wrong("", f"{losses.mean():.3f} is no better than {_trivial_name(train)}: too easy to beat.")
    return f"{losses.mean():.3f} a step, where {_trivial_name(train)} has {trivial.mean():.3f}. That is what to beat."


def model(answer: object) -> str:
    """Check exercise 8.3: a trained model that predicts without having read the answer."""
    given, test = _two(answer, "score, test")
    score = cast("Score", given)
    test = test[:MOST_STEPS]
    losses = _losses(score, test)
    if not losses.isfinite().all():
        raise wrong("", "Some losses are nan or infinite: training has diverged. Lower the learning rate, and clip.")
    if not torch.allclose(losses, _losses(score, test), atol=CLOSE_LOSS):
        raise wrong("M24", "Two calls give different losses, so dropout is still active: call eval() first.")
    if _sees_ahead(score, test):
        raise wrong("M33", "Losses change with elements that come later: one direction reads from the end.")
    _refuse_answers_read(score, test)
    return f"{losses.mean():.3f} a step on {len(test)} elements, each predicted from what came before it."


def interval(answer: object) -> str:
    """Check exercise 8.4: a paired interval for the difference between two models on the same steps."""
    if not _is(answer, Tensor, Tensor, Sequence):
        raise wrong("", "The answer should be (losses of the baseline, losses of the model, (low, high)).")
    base, mine = (tensor(each, *cast("Tensor", answer[0]).shape).double() for each in answer[:2])
    low, high = map(float, answer[2])
    gain = base - mine
    middle, half = (low + high) / 2, (high - low) / 2
    if abs(middle - float(gain.mean())) > 0.25 * max(half, 1e-9) or half <= 0:
        raise wrong("", f"It should be around baseline minus model, {gain.mean():.4f}, but is around {middle:.4f}.")
    whole = len(gain) // BLOCKS * BLOCKS
    blocks = gain[:whole].view(BLOCKS, -1).mean(1)
    known = {
        "paired": 2 * blocks.std().item() / BLOCKS**0.5,
        "unpaired": 2 * ((base.var() + mine.var()) / len(gain)).sqrt().item(),
        "of single steps": 2 * gain.std().item(),
        "one sigma": blocks.std().item() / BLOCKS**0.5,
    }
    steps = 2 * gain.std().item() / len(gain) ** 0.5
    if _near(half, known["paired"]) or (_near(half, steps) and steps >= known["paired"] / 1.3):
        verdict = "does not include 0" if low > 0 or high < 0 else "includes 0, so the gain may be chance"
        return f"{gain.mean():.4f} ± {half:.4f} a step, from {BLOCKS} blocks of the same steps: the interval {verdict}."
    name = min(known, key=lambda each: abs(math.log(half / max(known[each], 1e-12))))
    raise wrong("", f"The half width should be about {known['paired']:.4f}; {half:.4f} {_WIDTHS.get(name, '')}")


_WIDTHS = {
    "paired": "comes from something else: two standard errors of the means of 20 blocks.",
    "unpaired": "treats the two as tested on different steps. Take the difference at each step first.",
    "of single steps": "is how far single steps spread, not how sure their mean is: divide by the root of the number.",
    "one sigma": "is one standard error, which leaves out a third of the cases. Take two.",
}


def ablation(answer: object) -> str:
    """Check exercise 8.5: an ablation whose cost falls where its label predicts."""
    cost, label = _two(answer, "cost, label")
    cost = tensor(cost, *label.shape).double()
    if label.dtype != torch.bool or cost.dim() != 1:
        raise wrong("", "cost should be one number for each step, and label True or False for each step.")
    share = label.double().mean().item()
    if not 0.01 <= share <= 0.5:
        where = "It should hold at 1 to 50 % of them: those where you expect the cost."
        raise wrong("", f"The label holds at {share:.0%} of the steps. {where}")
    if not cost.any():
        raise wrong("", "The edit costs nothing at any step. Was it in force while the model read?")
    gap = _gap(cost, label)
    with seeded(85):
        turns = torch.randint(1, len(label), (SHIFTS,)).tolist()
    moved = torch.tensor([_gap(cost, label.roll(turn)) for turn in turns])
    beaten = int((moved >= gap).sum())
    at, elsewhere = float(cost[label].mean()), float(cost[~label].mean())
    if gap <= 0 or at < 2 * elsewhere:
        raise wrong(
            "M35", f"The cost is {at:.3f} under the label, {elsewhere:.3f} elsewhere: the label does not predict it."
        )
    if beaten > 0.05 * SHIFTS:
        raise wrong("M35", f"Of {SHIFTS} shifted copies of the label, {beaten} do as well: that may be chance.")
    return f"It costs {at:.3f} there, {elsewhere:.3f} elsewhere; of {SHIFTS} shifted labels {beaten} do as well."


def stream(answer: object) -> str:
    """Check exercise 8.6: losses computed step by step equal those computed all at once."""
    if not _is(answer, Tensor, Tensor):
        raise wrong("", "The answer should be (losses one at a time, losses all at once).")
    whole = tensor(answer[1], *cast("Tensor", answer[1]).shape)
    streamed = tensor(answer[0], *whole.shape)
    gap = (streamed - whole).abs()
    if bool((gap < CLOSE_LOSS).all()):
        return f"All {len(whole)} losses agree: the model can be used live."
    if len(gap) > 1 and gap[0] < CLOSE_LOSS and float((gap[1:] > CLOSE_LOSS).double().mean()) > 0.5:
        raise wrong("M1", f"The first loss agrees, later ones differ by up to {gap.max():.2f}: is the state carried?")
    if torch.allclose(streamed[:-1], whole[1:], atol=CLOSE_LOSS) or torch.allclose(
        streamed[1:], whole[:-1], atol=CLOSE_LOSS
    ):
        raise wrong("", "The two are shifted by one: after x[t] the model predicts x[t + 1].")
    raise wrong("", f"They differ by up to {gap.max():.2f}, from step {int((gap >= CLOSE_LOSS).nonzero()[0])} on.")


def _is(answer: object, *types: type) -> TypeGuard[Sequence[Any]]:
    """Whether an answer is a sequence of items of these types."""
    if not isinstance(answer, Sequence) or len(answer) != len(types):
        return False
    return all(isinstance(each, kind) for each, kind in zip(answer, types, strict=True))


def _two(answer: object, names: str) -> tuple[object, Tensor]:
    if not _is(answer, object, Tensor):
        raise wrong("", f"The answer should be ({names}).")
    return answer[0], answer[1]


def _three(answer: object, names: str) -> tuple[object, Tensor, Tensor]:
    if not _is(answer, object, Tensor, Tensor):
        raise wrong("", f"The answer should be ({names}).")
    return answer[0], answer[1], answer[2]


def _losses(score: Score, x: Tensor) -> Tensor:
    return tensor(called(score, x), len(x) - 1).double()


def _other(x: Tensor) -> Tensor:
    """Replace each element with a different value from those that occur."""
    if x.is_floating_point():
        return x + x.std()
    values = x.unique()
    turned: Tensor = values[(torch.searchsorted(values, x) + 1) % len(values)]
    return turned


def _sees_ahead(score: Score, x: Tensor) -> bool:
    """Whether losses depend on what comes after their element."""
    half = len(x) // 2
    changed = torch.cat([x[:half], _other(x[half:])])
    return not torch.allclose(_losses(score, changed)[: half - 1], _losses(score, x)[: half - 1], atol=CLOSE_LOSS)


def _refuse_answers_read(score: Score, x: Tensor) -> None:
    """Reject predictions that depend on the very element that they predict."""
    for place in (len(x) // 3, len(x) // 2):
        if x.is_floating_point():
            spread = x.std()
            points = [float(_losses(score, _with(x, place, x[place] + k * spread))[place - 1]) for k in (-1, 0, 1)]
            bend = (points[0] - 2 * points[1] + points[2]) / float(2 * spread**2)
            if abs(bend - 1) > 0.01:
                raise wrong(
                    "", f"The loss is not the squared error of a forecast made without the true value ({bend:.2f})."
                )
        else:
            total = sum(2 ** -float(_losses(score, _with(x, place, value))[place - 1]) for value in x.unique())
            if total > 1.01:
                raise wrong(
                    "",
                    f"All probabilities of a character add up to {total:.2f}, not to 1: the model has read the answer, "
                    "or this is not in bits.",
                )


def _with(x: Tensor, place: int, value: Tensor) -> Tensor:
    changed = x.clone()
    changed[place] = value
    return changed


def _trivial(train: Tensor, test: Tensor) -> Tensor:
    """The losses of an uninformed forecast: equal probabilities, or the mean."""
    if train.is_floating_point():
        return (test[1:] - train.mean()).double() ** 2
    return torch.full((len(test) - 1,), math.log2(len(train.unique())), dtype=torch.double)


def _simple(train: Tensor, test: Tensor) -> Tensor:
    """The losses of the simple forecasts that exercise 8.2 names: counts of pairs, or persistence or the mean."""
    if train.is_floating_point():
        persists = train.diff().square().mean() < train.var()
        return (test[1:] - test[:-1]).double() ** 2 if persists else _trivial(train, test)
    values, ids = torch.cat([train, test]).unique(return_inverse=True)
    pairs = torch.full((len(values), len(values)), 0.1, dtype=torch.double)
    ids, tested = ids[: len(train)], ids[len(train) :]
    pairs.index_put_((ids[:-1], ids[1:]), pairs.new_ones(len(ids) - 1), accumulate=True)
    return -(pairs / pairs.sum(1, keepdim=True))[tested[:-1], tested[1:]].log2()


def _trivial_name(train: Tensor) -> str:
    return "the mean of the training part" if train.is_floating_point() else "equal chances"


def _near(a: float, b: float) -> bool:
    return b / 1.3 <= a <= b * 1.3


def _gap(cost: Tensor, label: Tensor) -> float:
    return float(cost[label].mean() - cost[~label].mean())


CHECKS: dict[str, Check] = {
    "8.1": split,
    "8.2": baseline,
    "8.3": model,
    "8.4": interval,
    "8.5": ablation,
    "8.6": stream,
}
