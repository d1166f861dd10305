"""Properties that losses of a text or a series have, if each element is predicted from those before it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from hiddenstate.course.exercises.answers import called, tensor, wrong
from hiddenstate.edits.edit import Edit

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
    """Reject losses that are not those of a prediction made without the element itself."""
    for place in PLACES:
        begin = x[: place + 1]
        if x.is_floating_point():
            _refuse_other_errors(score, begin)
            continue
        losses = torch.stack([losses_of(score, _with(begin, place, value))[-1] for value in values])
        total = float(torch.exp2(-losses).sum())
        if TOTAL[0] <= total <= TOTAL[1]:
            continue
        if len(losses) > 1 and bool(torch.allclose(losses, losses[:1])):
            raise wrong(
                f"The loss of character {place} stays {losses[0]:.2f} whatever that character is: compare each "
                "prediction with the next element, x[1:]."
            )
        if bool((losses < 0).any()):
            raise wrong("Some losses are negative. A loss is minus the log of a probability, so it is at least 0.")
        for probabilities, sentence in (
            (math.e**-losses, "The losses are in nats: divide by ln 2, to have bits."),
            (10**-losses, "The losses are in units of log 10: take log2, to have bits."),
            (1 / losses, "The losses are perplexities, 1 / p. Take -log2 p."),
            (1 - losses, "The losses are 1 - p. Take -log2 p."),
            (losses, "These are the probabilities themselves. Take -log2 p."),
        ):
            if TOTAL[0] <= float(probabilities.sum()) <= TOTAL[1]:
                raise wrong(sentence)
        adds = f"All probabilities of character {place} add up to {total:.2f}, not to 1"
        before = torch.stack([losses_of(score, _with(begin, place - 1, value))[-1] for value in values])
        if TOTAL[0] <= float(torch.exp2(-before).sum()) <= TOTAL[1]:
            raise wrong(
                f"{adds}, but those of all characters before it do: the table is normalised over the wrong axis, or "
                "its two indices are exchanged. Divide each row by its own sum, .sum(1, keepdim=True)."
            )
        sums = (
            ", but sums of several losses, or a table of pairs divided by its whole sum instead of each row by its own"
            if total < TOTAL[0]
            else ""
        )
        raise wrong(
            f"{adds}. Either the prediction has read the character (the loss of x[t + 1] comes from what is computed "
            f"after x[t]), or these are not minus log2 of probabilities{sums}."
        )


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
    values, ids = torch.cat([train, test]).unique(return_inverse=True)
    pairs = torch.full((len(values), len(values)), 0.1, dtype=torch.double)
    ids, tested = ids[: len(train)], ids[len(train) :]
    pairs.index_put_((ids[:-1], ids[1:]), pairs.new_ones(len(ids) - 1), accumulate=True)
    return -(pairs / pairs.sum(1, keepdim=True))[tested[:-1], tested[1:]].log2()


def unigram_losses(train: Tensor, test: Tensor) -> Tensor:
    """The losses of a text's characters by their frequency in the training part."""
    counts = torch.bincount(train, minlength=int(test.max()) + 1).double() + 0.1
    return -(counts / counts.sum())[test[1:]].log2()


def trivial_name(train: Tensor, part: str = "the training") -> str:
    """Return what the uninformed forecast is called."""
    return f"the mean of {part} part" if train.is_floating_point() else "equal chances"
