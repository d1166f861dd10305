"""Properties that losses of a text or a series have, if each element is predicted from those before it."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from hiddenstate.course.exercises.answers import called, near, tensor, wrong
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import AnswerError

Score = Callable[..., object]  # reads a tensor, with edits active; the loss of each element except the first
CLOSE_LOSS = 1e-3
PLACES = (4, 9, 15)  # elements whose probabilities are added up
TOTAL = (0.95, 1.01)  # of all probabilities of an element; characters of the training part may be missing


def losses_of(score: Score, x: Tensor, *edits: Edit) -> Tensor:
    """Return the losses of a learner's score; raise AnswerError unless each element but the first has one."""
    n = len(x) - 1
    other = {
        (): "That is one number: don't average, so that each element has its loss.",
        (n + 1,): "The first element has no loss, since nothing precedes it.",
        (n, 1): "Remove the axis of the batch.",
        (n - 1,): "One loss is missing.",
    }
    losses = called(score, x, *edits)
    if isinstance(losses, Tensor) and losses.isnan().any():
        raise wrong(
            "Some losses are nan: 0 was divided by 0, or training has diverged (lower the learning rate, and clip)."
        )
    return tensor(losses, n, other=other).double()


def refuse_infinite(losses: Tensor, train: Tensor, x: Tensor) -> None:
    """Reject a baseline's infinite losses."""
    if losses.isfinite().all():
        return
    place = int((~losses.isfinite()).nonzero()[0])
    if bool(((train[:-1] == x[place]) & (train[1:] == x[place + 1])).any()):
        raise wrong(
            f"Loss {place} is infinite, though its pair occurs in training: its probability came out as 0. Divide "
            "counts by their sum; a softmax of counts leaves next to nothing for all but the most frequent."
        )
    raise wrong(
        "Some losses are infinite: an element that never occurs in training is possible. Give it a small count."
    )


def values_of(*parts: Tensor) -> Tensor:
    """Return all values that an element of a text may have."""
    if parts[0].is_floating_point():
        return parts[0][:0]
    return torch.arange(max(int(part.max()) for part in parts) + 1)


def _other(x: Tensor) -> Tensor:
    """Replace each element with a different value from those that occur."""
    if x.is_floating_point():
        return x + x.std()
    values = x.unique()
    turned: Tensor = values[(torch.searchsorted(values, x) + 1) % len(values)]
    return turned


def sees_ahead(score: Score, x: Tensor) -> bool:
    """Whether losses depend on what comes after their element."""
    half = len(x) // 2
    changed = torch.cat([x[:half], _other(x[half:])])
    return not torch.allclose(losses_of(score, changed)[: half - 1], losses_of(score, x)[: half - 1], atol=CLOSE_LOSS)


def refuse_look_ahead(score: Score, x: Tensor) -> None:
    """Reject losses of a model that depend on what comes after their element."""
    if not sees_ahead(score, x):
        return
    modules: list[nn.Module] = []
    with register_module_forward_pre_hook(lambda module, _: modules.append(module)):
        losses_of(score, x)
    ahead = "Losses change with elements that come later:"
    if any(getattr(module, "bidirectional", False) for module in modules):
        raise wrong(f"{ahead} the LSTM is bidirectional, so one direction reads from the end.", "M33")
    raise wrong(f"{ahead} is a later element read, or a mean or maximum taken over all of x?")


def refuse_answers_read(score: Score, x: Tensor, values: Tensor) -> None:
    """Reject losses that no prediction made without the element itself can have."""
    for place in PLACES:
        begin = x[: place + 1]
        if x.is_floating_point():
            _refuse_other_errors(score, begin)
            continue
        losses = _last_losses(score, begin, values)
        total = float(torch.exp2(-losses).sum())
        if not TOTAL[0] <= total <= TOTAL[1]:
            raise _other_total(score, x, values, place, losses)


def _last_losses(score: Score, begin: Tensor, values: Tensor) -> Tensor:
    """The losses of the last element of a text, by its value."""
    return torch.stack([losses_of(score, _with(begin, len(begin) - 1, value))[-1] for value in values])


def _other_total(score: Score, x: Tensor, values: Tensor, place: int, losses: Tensor) -> AnswerError:
    """Explain why the probabilities of a character do not add up to 1."""
    total = float(torch.exp2(-losses).sum())
    if len(losses) > 1 and bool(torch.allclose(losses, losses[:1])):
        return wrong(
            f"The loss of character {place} stays {losses[0]:.2f} whatever that character is: compare each "
            "prediction with the next element, x[1:]."
        )
    if bool((losses < 0).any()):
        return wrong("Some losses are negative. A loss is minus the log of a probability, so it is at least 0.")
    for probabilities, sentence in (
        (math.e**-losses, "The losses are in nats: divide by ln 2, to have bits."),
        (10**-losses, "The losses are in units of log 10: take log2, to have bits."),
        (1 / losses, "The losses are perplexities, 1 / p. Take -log2 p."),
        (1 - losses, "The losses are 1 - p. Take -log2 p."),
        (losses, "These are the probabilities themselves. Take -log2 p."),
    ):
        if TOTAL[0] <= float(probabilities.sum()) <= TOTAL[1]:
            return wrong(sentence)
    adds = f"All probabilities of character {place} add up to {total:.2f}, not to 1"
    before = torch.stack([losses_of(score, _with(x[: place + 1], place - 1, value))[-1] for value in values])
    if TOTAL[0] <= float(torch.exp2(-before).sum()) <= TOTAL[1]:
        return wrong(
            f"{adds}, but those of all characters before it do: the table is normalised over the wrong axis, or "
            "its two indices are exchanged. Divide each row by its own sum, .sum(1, keepdim=True)."
        )
    others = [_last_losses(score, x[: other + 1], values) for other in PLACES]
    factors = list(map(_factor, others))
    if max(factors) < 1.01 * min(factors) and not near(others[0], others[-1]):
        size = f"{1 / factors[0]:.2f} times minus log2 of the probabilities"
        return wrong(f"The losses are {size}: leave that factor out.")
    sums = ", but sums of several losses, or a table of pairs divided by its whole sum instead of each row by its own"
    return wrong(
        f"{adds}. Either the prediction has read the character (the loss of x[t + 1] comes from what is computed "
        f"after x[t]), or these are not minus log2 of probabilities{sums * (total < TOTAL[0])}."
    )


def _factor(losses: Tensor) -> float:
    """Return the factor by which losses must be multiplied so that the probabilities add up to 1."""
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if float(torch.exp2(-middle * losses).sum()) > 1 else (low, middle)
    return low


def _refuse_other_errors(score: Score, x: Tensor) -> None:
    """Reject losses of the last element of a series that are not its squared error."""
    spread, place = float(x.std()) or 1.0, len(x) - 1
    losses = [float(losses_of(score, _with(x, place, x[place] + k * spread))[-1]) for k in (-1, 0, 1)]

    def bend(a: float, b: float, c: float) -> float:
        return (a - 2 * b + c) / (2 * spread**2)

    if abs(bend(*losses) - 1) <= 0.01:
        return
    if abs(bend(*(loss**2 for loss in losses)) - 1) <= 0.01:
        raise wrong("The losses are absolute errors. Square them.")
    if abs(bend(*losses) - 0.5) <= 0.01:
        raise wrong("The losses are half of the squared errors.")
    raise wrong(
        "The loss is not the squared error of a forecast made without the true value: if that value changes, the loss "
        f"changes {bend(*losses):.2f} times as much as it should."
    )


def _with(x: Tensor, place: int, value: Tensor) -> Tensor:
    changed = x.clone()
    changed[place] = value
    return changed


def trivial_losses(train: Tensor, test: Tensor) -> Tensor:
    """The losses of an uninformed forecast: equal probabilities, or the mean."""
    if train.is_floating_point():
        return (test[1:] - train.mean()).double() ** 2
    return torch.full((len(test) - 1,), math.log2(len(train.unique())), dtype=torch.double)


def simple_losses(train: Tensor, test: Tensor) -> Tensor:
    """The losses of the simple forecasts that exercise 8.2 names: counts of pairs, or persistence or the mean."""
    if train.is_floating_point():
        persists = train.diff().square().mean() < train.var()
        return (test[1:] - test[:-1]).double() ** 2 if persists else trivial_losses(train, test)
    return pair_losses(train, test)


def pair_losses(train: Tensor, test: Tensor, gap: int = 1, added: float = 0.1, once: bool = False) -> Tensor:
    """The losses of a text's characters by counts of pairs in the training part."""
    values, ids = torch.cat([train, test]).unique(return_inverse=True)
    pairs = torch.zeros(len(values), len(values), dtype=torch.double)
    ids, tested = ids[: len(train)], ids[len(train) :]
    pairs.index_put_((ids[:-gap], ids[gap:]), pairs.new_ones(len(ids) - gap), accumulate=not once)
    pairs += added
    return -(pairs / pairs.sum(1, keepdim=True))[tested[:-1], tested[1:]].log2()


def typical_baselines(train: Tensor, test: Tensor) -> Iterator[tuple[Tensor, str]]:
    """Yield the losses of typical errors in a baseline, each with what to tell the learner."""
    if train.is_floating_point():
        yield (test[1:] - train[-1]).double() ** 2, "it forecasts the last value of the training part at every step."
        yield test[1:].double() ** 2, "it forecasts 0 at every step."
        before = torch.cat([test[:1], test[:-2]])
        yield (test[1:] - before).double() ** 2, "it forecasts the value of two steps before."
        return
    alone = "that is what each character costs by its own frequency. Given the previous one, it is less: count pairs."
    yield unigram_losses(train, test), alone
    reverse = "the pairs are counted in reverse. The first index is the previous character, train[:-1]."
    yield pair_losses(train.flip(0), test), reverse
    once = "each pair counts once, however often it occurs. Add up all of them, by accumulate=True."
    yield pair_losses(train, test, once=True), once
    yield pair_losses(train, test, gap=2), "the pairs are characters two places apart. Count neighbours."
    for added in (10, 50, 100, 1000):
        yield (
            pair_losses(train, test, added=added),
            f"{added} is added to every count, too much: add a little, such as 0.1.",
        )


def untrained_reason(score: Score, test: Tensor, losses: Tensor, values: Tensor) -> str:
    """Why a model may be no better than equal chances, by what it predicts."""
    if not test.is_floating_point():
        costs = [_last_losses(score, test[: place + 1], values) for place in PLACES]
        if all(map(_is_softmax_twice, costs)):
            return "The losses are those of softmax taken twice: cross_entropy takes the scores."
        guesses = [int(values[cost.argmin()]) for cost in costs]
        if guesses == [int(test[place - 1]) for place in PLACES]:
            return "It expects the character that it has just read: in training, y should be x shifted by one."
        if float(losses.std()) > 1.5:
            return "It is sure of wrong characters. In training, does each step have its own target?"
    return "Is the model that `score` uses the one that was trained, and has it seen enough batches?"


def _is_softmax_twice(losses: Tensor) -> bool:
    """Whether the scores behind the losses of all values are probabilities: not negative, and 1 in all."""
    scores = (losses.mean() - losses) * math.log(2) + 1 / len(losses)
    return bool(scores.min() > -1e-3) and float(scores.max()) > 0.1


def remembers_nothing(score: Score, x: Tensor) -> bool:
    """Whether each loss depends only on its element and the one before."""
    apart = torch.cat([losses_of(score, x[t : t + 2]) for t in range(len(x) - 1)])
    return bool(torch.allclose(apart, losses_of(score, x), atol=CLOSE_LOSS))


def unigram_losses(train: Tensor, test: Tensor) -> Tensor:
    """The losses of a text's characters by their frequency in the training part."""
    counts = torch.bincount(train, minlength=int(test.max()) + 1).double() + 0.1
    return -(counts / counts.sum())[test[1:]].log2()


def trivial_name(train: Tensor, part: str = "the training") -> str:
    """Return what the uninformed forecast is called."""
    return f"the mean of {part} part" if train.is_floating_point() else "equal chances"
