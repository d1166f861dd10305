"""Training loops: the right one, those with a typical error, and the check that tells which of them an answer is."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.course.exercises.answers import called, differing, seeded, wrong
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
RATE = 0.01


class TrainingLoop(NamedTuple):
    """A training loop that differs from the right one in a typical error."""

    sentence: str = ""
    about: str = ""
    optimizer: type[torch.optim.Optimizer] = torch.optim.Adam
    rate: float = RATE
    new: bool = False  # an optimizer for every batch
    zero: bool = True
    lengths: bool = True
    padding: bool = False  # counted as tag 0
    softmax: bool = False
    transposed: bool = False
    reduction: str = "mean"
    passes: int = 1
    batches: slice = slice(None)
    step: str = "each"  # or "last": only after the last batch
    steps: int = 1
    logarithm: bool = True


LOOPS = (
    TrainingLoop("Gradients of earlier batches add up in .grad: call zero_grad for every batch.", zero=False),
    TrainingLoop(
        "Every batch has a new optimizer, so Adam forgets its averages. Make it once, before the loop.", new=True
    ),
    TrainingLoop(
        "The model was not given the lengths, so the reverse direction has read the padding first.",
        "M30",
        lengths=False,
    ),
    TrainingLoop(
        "The loss counts padding as words. Keep the tags of -100, which cross_entropy leaves out.", "M31", padding=True
    ),
    TrainingLoop(
        "Scores and targets are flattened in different orders, so they don't belong together.", "M31", transposed=True
    ),
    TrainingLoop("Only the first batch was used: is `return` inside the loop?", batches=slice(1)),
    TrainingLoop("Only the last batch was used: is the training step below the loop?", batches=slice(-1, None)),
    TrainingLoop(
        "There was one step after the last batch, from the gradients of all. Step after each.", zero=False, step="last"
    ),
    TrainingLoop("There was one step, after the last batch. Step after each.", step="last"),
    TrainingLoop("The optimizer is SGD, and should be Adam.", optimizer=torch.optim.SGD),
    TrainingLoop("The optimizer is AdamW, which decays the weights, and should be Adam.", optimizer=torch.optim.AdamW),
    TrainingLoop("The rate is Adam's default of 0.001, not the one given: pass lr=rate.", rate=0.001),
    TrainingLoop("cross_entropy is given probabilities, but takes scores: leave out softmax.", softmax=True),
    TrainingLoop(
        "The loss is the sum over words, so longer batches count more. cross_entropy takes the mean.", reduction="sum"
    ),
    TrainingLoop("The batches were used twice. Take one step for each.", passes=2),
    TrainingLoop("The batches were used in reverse order.", batches=slice(None, None, -1)),
    TrainingLoop("Each batch has two steps of the optimizer. Take one.", steps=2),
    TrainingLoop("nll_loss takes log probabilities, and is given scores: use cross_entropy.", logarithm=False),
)


def refuse_other_loops(answer: object, batches: Sequence[Batch], modes: bool = False) -> None:
    """Reject a training loop by the resulting weights and, if asked, by the modes that it sets."""
    with seeded(31):
        untrained = _Tagger().double().eval()
    model = copy.deepcopy(untrained)
    in_training: list[bool] = []
    model.register_forward_hook(lambda module, *_: in_training.append(module.training))
    trained = called(answer, model, batches, RATE)
    if not isinstance(trained, _Tagger):
        raise wrong(f"It should return the trained model, but it returns an object of type {type(trained).__name__}.")
    right = _trained(untrained, batches, TrainingLoop())
    if not differing(trained, untrained):
        raise _unchanged(trained)
    if differing(trained, right):
        raise _other_weights(trained, right, untrained, batches)
    if modes and not all(in_training):
        raise wrong("The model was trained in eval mode, in which dropout drops nothing: call model.train() first.")
    if modes and trained.training:
        raise wrong("The model is still in training mode, so a test would drop values: return model.eval().", "M24")


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


def _other_weights(model: nn.Module, right: nn.Module, untrained: "_Tagger", batches: Sequence[Batch]) -> AnswerError:
    for loop in LOOPS:
        if not differing(model, _trained(untrained, batches, loop)):
            return wrong(loop.sentence, loop.about)
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
    sentence = f"The weights differ from those after one step of Adam for each batch: {names[0]} by up to {gap:.4f}"
    return wrong(f"{sentence} (allowed: 1e-05). Compare the order of the calls, the loss, and the rate.")


def _trained(untrained: "_Tagger", batches: Sequence[Batch], loop: TrainingLoop) -> "_Tagger":
    """Train a copy by a loop."""
    model = copy.deepcopy(untrained).train()
    optimizer = loop.optimizer(model.parameters(), lr=loop.rate)  # type: ignore[call-arg]
    chosen = list(batches[loop.batches]) * loop.passes
    for k, (ids, gold, *lengths) in enumerate(chosen):
        if loop.new:
            optimizer = torch.optim.Adam(model.parameters(), lr=loop.rate)
        if loop.zero:
            optimizer.zero_grad()
        scores = model(ids, *(lengths if loop.lengths else ()))
        scores = scores.softmax(-1) if loop.softmax else scores
        target = gold.clamp(min=0) if loop.padding else gold
        target = target.T if loop.transposed else target
        measure = cross_entropy if loop.logarithm else nll_loss
        measure(scores.flatten(0, 1), target.flatten(), reduction=loop.reduction).backward()
        for _ in range(loop.steps if loop.step == "each" or k == len(chosen) - 1 else 0):
            optimizer.step()
    return model
