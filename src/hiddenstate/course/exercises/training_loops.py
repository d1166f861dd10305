"""Training loops: the right one, those with a typical error, and the check that tells which one an answer is."""

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss
from torch.nn.utils.rnn import pad_sequence
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from hiddenstate.course.exercises.answers import called, differing, near, seeded, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM


class _Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.linear = nn.Embedding(9, 4), nn.Linear(6, 5)
        self.lstm = LSTM(4, 3, bidirectional=True)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        scores: Tensor = self.linear(self.lstm(self.embed(ids), lengths=lengths)[0])
        return scores


Batch = tuple[Tensor, ...]  # ids and their tags, [T, N], and the lengths if they differ
Loss = Callable[[Tensor, Tensor], Tensor]  # of scores [T, N, tags] and tags [T, N]
RATE = 0.01


def _over_words(scores: Tensor, gold: Tensor, reduction: str = "mean") -> Tensor:
    return cross_entropy(scores.flatten(0, 1), gold.flatten(), reduction=reduction)


def _apart(axis: int) -> Loss:
    """Return the loss that adds up the means of the steps (axis 0) or of the sentences (axis 1)."""
    return lambda scores, gold: torch.stack(
        [cross_entropy(part, tags) for part, tags in zip(scores.unbind(axis), gold.unbind(axis), strict=True)]
    ).sum()


class TrainingLoop(NamedTuple):
    """A training loop that differs from the right one in a typical error."""

    sentence: str = ""
    about: str = ""
    loss: Loss = _over_words
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = partial(torch.optim.Adam, lr=RATE)
    new: bool = False  # an optimizer for every batch
    zero: bool = True
    lengths: bool = True
    order: tuple[int, ...] = ()  # of the batches; all, one after another, if it is empty
    steps: int = 1
    only_last: bool = False  # no step but after the last batch


_APART = "Scores and targets are flattened in different orders, so they don't belong together."
COMMON = (
    TrainingLoop("Gradients of earlier batches add up in .grad: call zero_grad for every batch.", zero=False),
    TrainingLoop("Every batch has a new optimizer, so Adam forgets its averages: make it once.", new=True),
    TrainingLoop("The model was not given the lengths: its reverse half begins in the padding.", "M30", lengths=False),
    TrainingLoop(
        "The loss counts padding as words. Keep the tags of -100, which cross_entropy leaves out.",
        "M31",
        lambda s, g: _over_words(s, g.clamp(min=0)),
    ),
    TrainingLoop(_APART, "M31", lambda s, g: _over_words(s, g.T)),
    TrainingLoop(
        "cross_entropy is given probabilities, but takes scores: leave out softmax.",
        loss=lambda s, g: _over_words(s.softmax(-1), g),
    ),
    TrainingLoop(
        "The loss is the sum over words, so longer batches count more. cross_entropy takes the mean.",
        loss=lambda s, g: _over_words(s, g, "sum"),
    ),
)
LOOPS = (
    *COMMON,
    TrainingLoop(_APART, "M31", lambda s, g: _over_words(s.transpose(0, 1), g)),
    TrainingLoop("Only the last batch was used: is the training step below the loop?", order=(-1,)),
    TrainingLoop("There was one step after the last batch. Step after each.", zero=False, only_last=True),
    TrainingLoop("Each batch has two steps of the optimizer. Take one.", steps=2),
    TrainingLoop(
        "nll_loss takes log probabilities, but is given scores: use cross_entropy.",
        loss=lambda s, g: nll_loss(s.flatten(0, 1), g.flatten()),
    ),
    TrainingLoop("A sigmoid is applied before cross_entropy.", loss=lambda s, g: _over_words(s.sigmoid(), g)),
    TrainingLoop(
        "The loss is averaged over all places, padding too. cross_entropy's own mean is over the words.",
        loss=lambda s, g: _over_words(s, g, "none").mean(),
    ),
    TrainingLoop("The losses of the steps are added up. Take one mean over all words.", loss=_apart(0)),
    TrainingLoop(
        "Each step's mean counts equally, however many words it has. Take one mean over all words.",
        loss=lambda s, g: _apart(0)(s, g) / len(g),
    ),
    TrainingLoop("The losses of the sentences are added up. Take one mean over all words.", loss=_apart(1)),
    TrainingLoop(
        "Each sentence's mean counts equally, however long it is. Take one mean over all words.",
        loss=lambda s, g: _apart(1)(s, g) / g.shape[1],
    ),
    TrainingLoop(
        "Scores are compared with the next step's targets. The targets of a batch already belong to its steps.",
        loss=lambda s, g: _over_words(s[:-1], g[1:]),
    ),
    TrainingLoop("The loss goes up: its sign is reversed.", loss=lambda s, g: -_over_words(s, g)),
)


def refuse_other_loops(answer: object, batches: Sequence[Batch], modes: bool = False) -> None:
    """Reject a training loop by the resulting weights and, if asked, by the modes that it sets."""
    with seeded(31):
        untrained = _Tagger().double().eval()
    model = copy.deepcopy(untrained)
    in_training: list[bool] = []
    order: list[int] = []
    optimizers: list[Optimizer] = []
    slopes: list[tuple[Batch, Tensor | None, Tensor, Tensor]] = []  # of the losses, for the scores

    def note(module: nn.Module, arguments: tuple[Tensor, ...], scores: Tensor) -> None:
        in_training.append(module.training)
        same_ids = (k for k, batch in enumerate(batches) if arguments and torch.equal(batch[0], arguments[0]))
        order.append(next(same_ids, -1))
        if order[-1] >= 0 and scores.requires_grad:
            batch, given = batches[order[-1]], arguments[1] if len(arguments) > 1 else None
            scores.register_hook(lambda gradient: slopes.append((batch, given, scores.detach(), gradient)))

    model.register_forward_hook(note)
    watched = register_optimizer_step_pre_hook(lambda optimizer, *_: optimizers.append(optimizer))
    try:
        trained = called(answer, model, batches, RATE)
    finally:
        watched.remove()
    if not isinstance(trained, _Tagger):
        raise wrong(f"It should return the trained model, but it returns an object of type {type(trained).__name__}.")
    right = _trained(untrained, batches, TrainingLoop())
    if not differing(trained, untrained):
        raise _unchanged(trained)
    if differing(trained, right):
        observed = (_other_order(order, len(batches)), _other_optimizer(optimizers[:1]))
        other = "The model was called with ids other than those of the batches." if -1 in order else ""
        reasons = filter(None, (other, *(_other_loss(*slope) for slope in slopes)))
        reason = next(
            reasons,
            "The scores have the right gradients: check the order of the calls, the optimizer, and what the loss adds.",
        )
        raise _other_weights(trained, right, untrained, batches, [loop for loop in observed if loop], reason)
    if modes and in_training[0] and not all(in_training):
        raise wrong("Later batches were read in eval mode, in which dropout drops nothing: call eval() after the loop.")
    if modes and not all(in_training):
        raise wrong("The model was trained in eval mode, in which dropout drops nothing: call model.train() first.")
    if modes and trained.training:
        raise wrong("The model is still in training mode, so a test would drop values: return model.eval().", "M24")


def _other_loss(batch: Batch, given: Tensor | None, scores: Tensor, gradient: Tensor) -> str:
    """Say how a loss differs from cross_entropy, by its gradient for the scores; nothing if it does not."""
    _, gold, *lengths = batch
    if lengths and given is not None and torch.as_tensor(given).tolist() != lengths[0].tolist():
        read = torch.as_tensor(given).tolist()
        return f"The model was given the lengths {read}, but those of the batch are {lengths[0].tolist()}."
    (right,) = torch.autograd.grad(_over_words(scores.requires_grad_(), gold), scores)
    if near(gradient, right):
        return ""
    is_word, counts = gold != -100, gradient.abs().amax(-1) > 1e-9
    other = (
        ("padding, which the loss counts", counts & ~is_word),
        ("a word, which the loss leaves out", is_word & ~counts),
    )
    for what, places in other:
        if places.any():
            step, sentence = places.nonzero()[0].tolist()
            return f"Step {step} of sentence {sentence} is {what}."
    ratio = gradient[is_word] / right[is_word]
    if float(ratio.std()) < 1e-3 * abs(float(ratio.mean())):
        return f"A loss is {float(ratio.mean()):.3g} times the mean over the batch's {int(is_word.sum())} words."
    favoured = gradient.argmin(-1)
    places = (favoured != gold) & is_word
    if places.any():
        step, sentence = places.nonzero()[0].tolist()
        tags = f"the loss favours {int(favoured[step, sentence])}, but the target is {int(gold[step, sentence])}"
        return f"At step {step} of sentence {sentence} {tags}."
    return "The loss favours the targets, but it is not the cross_entropy of scores and targets, with its defaults."


def _other_order(order: list[int], count: int) -> TrainingLoop | None:
    """Return the loop that reads the batches as an answer did, or None if it read each of them once, in order."""
    everything = list(range(count))
    if order == everything or not order or -1 in order:
        return None
    times = len(order) // count
    if order == [0]:
        sentence = "Only the first batch was used: is `return` inside the loop?"
    elif order == everything * times:
        sentence = f"The batches were used {'twice' if times == 2 else f'{times} times'}. Take one step for each."
    elif order == everything[::-1]:
        sentence = "The batches were used in reverse order."
    else:
        sentence = f"The batches were used in the order {order}, counted from 0. Take one step for each, in order."
    return TrainingLoop(sentence, order=tuple(order))


def _other_optimizer(optimizers: list[Optimizer]) -> TrainingLoop | None:
    """Return the loop with an answer's optimizer, or None if it has none or the right one."""
    if not optimizers:
        return None
    kind, options = type(optimizers[0]), optimizers[0].defaults
    usual = torch.optim.Adam([torch.zeros(1)], lr=RATE).defaults
    others = {name: value for name, value in options.items() if usual.get(name, value) != value}
    rate = others.pop("lr", RATE)
    sentence = ""
    if kind is not torch.optim.Adam:
        why = ", which decays the weights," if kind is torch.optim.AdamW else ""
        sentence = f"The optimizer is {kind.__name__}{why} and should be Adam. "
    elif others:
        sentence = f"Adam has {', '.join(f'{name}={value}' for name, value in others.items())}: leave that out. "
    if rate != RATE:
        which = "Adam's default of 0.001" if rate == 0.001 and kind is torch.optim.Adam else f"{rate:g}"
        sentence += f"The rate is {which}, not the one given: pass lr=rate."
    settings = {name: value for name, value in options.items() if name in inspect.signature(kind).parameters}
    return TrainingLoop(sentence.strip(), optimizer=partial(kind, **settings)) if sentence else None


def padded_batch(lengths: tuple[int, ...]) -> Batch:
    """Draw a batch of sentences of these lengths, with their tags."""
    ids = [torch.randint(1, 9, (length,)) for length in lengths]
    gold = [torch.randint(1, 5, (length,)) for length in lengths]
    return pad_sequence(ids), pad_sequence(gold, padding_value=-100), torch.tensor(lengths)


def _unchanged(model: nn.Module) -> AnswerError:
    """Explain why no weight has changed."""
    if any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in model.parameters()):
        return wrong("No weight has changed, though there are gradients: call optimizer.step() after backward.")
    why = "backward was not called, or zero_grad came between backward and step"
    return wrong(f"No weight has changed, and there are no gradients: {why}.")


def _other_weights(
    model: nn.Module,
    right: nn.Module,
    untrained: "_Tagger",
    batches: Sequence[Batch],
    observed: Sequence[TrainingLoop],
    reason: str,
) -> AnswerError:
    """Explain other weights: by an error, observed or typical, by two of them, or by a reason that fits any loop."""
    for loop in (*observed, *LOOPS):
        if not differing(model, _trained(untrained, batches, loop)):
            return wrong(loop.sentence, loop.about)
    for first, second in itertools.combinations((*observed, *COMMON), 2):
        both = _both(first, second)
        if both and not differing(model, _trained(untrained, batches, both)):
            return wrong(both.sentence)
    names = differing(model, right)
    frozen = [name for name in names if name not in differing(model, untrained)]
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    if frozen and reached and not reached & set(frozen):
        sentence = "The loss does not depend on them: take the scores of all steps"
        return wrong(f"These parameters have not been trained: {', '.join(frozen)}. {sentence}.")
    if frozen:
        return wrong(f"These parameters have not been trained: {', '.join(frozen)}. Pass model.parameters() to Adam.")
    ours, theirs = dict(right.named_parameters())[names[0]], dict(model.named_parameters())[names[0]]
    gap = float((ours - theirs).detach().abs().max())
    sentence = f"The weights differ from those after one step of Adam for each batch: {names[0]} by up to {gap:.1e}"
    return wrong(f"{sentence} (allowed: 1e-05). {reason}")


def _both(first: TrainingLoop, second: TrainingLoop) -> TrainingLoop | None:
    """Return the loop with both errors, or None if they exclude each other."""
    usual = TrainingLoop(first.sentence, first.about)
    errors = {name: value for name, value in second._asdict().items() if value != getattr(TrainingLoop(), name)}
    if any(getattr(first, name) != getattr(usual, name) for name in errors):
        return None
    return first._replace(**{**errors, "sentence": f"Two errors. {first.sentence} {second.sentence}"})


def _trained(untrained: "_Tagger", batches: Sequence[Batch], loop: TrainingLoop) -> "_Tagger":
    """Train a copy by a loop."""
    model = copy.deepcopy(untrained).train()
    optimizer = loop.optimizer(model.parameters())
    chosen = [batches[k] for k in loop.order or range(len(batches))]
    for k, (ids, gold, *lengths) in enumerate(chosen):
        if loop.new:
            optimizer = loop.optimizer(model.parameters())
        if loop.zero:
            optimizer.zero_grad()
        loop.loss(model(ids, *(lengths if loop.lengths else ())), gold).backward()
        for _ in range(0 if loop.only_last and k < len(chosen) - 1 else loop.steps):
            optimizer.step()
    return model
