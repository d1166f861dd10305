"""Checks of chapter 3: part-of-speech tagging."""

import copy
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.course.answers import Check, called, near, seeded, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

Tagged = list[list[tuple[str, str]]]
# row is NOUN three times and VERB once; DET is the most frequent tag; every, gulls and some are unknown.
TRAIN: Tagged = [
    [("the", "DET"), ("row", "NOUN"), ("of", "ADP"), ("the", "DET"), ("boats", "NOUN")],
    [("they", "PRON"), ("row", "NOUN"), ("a", "DET"), ("the", "DET"), ("boat", "NOUN")],
    [("we", "PRON"), ("row", "VERB"), ("the", "DET"), ("a", "DET"), ("row", "NOUN")],
]
HELD: Tagged = [
    [("we", "PRON"), ("row", "VERB"), ("every", "DET"), ("boat", "NOUN")],
    [("the", "DET"), ("row", "VERB"), ("of", "ADP"), ("gulls", "NOUN"), ("some", "DET"), ("row", "NOUN")],
]


def baseline(answer: object) -> str:
    """Check exercise 3.2: the accuracy of each word's most frequent tag."""
    given = called(answer, TRAIN, HELD)
    if not isinstance(given, float | int):
        raise wrong("", f"The answer should be a share, a single number, but its type is {type(given).__name__}.")
    if math.isclose(given, _share(TRAIN, HELD)):
        return (
            "Held-out words are tagged using counts of the training part. On the course's text this is right for 85 %."
        )
    raise _other_baseline(float(given))


def _share(train: Tagged, held: Tagged, unknown: str = "most", count_unknown: bool = True) -> float:
    """Return the accuracy of the most frequent tag, with several ways to treat unknown words."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in (pair for sentence in train for pair in sentence):
        seen[word][tag] += 1
    most = sum(seen.values(), Counter[str]()).most_common(1)[0][0]
    pairs = [pair for sentence in held for pair in sentence if count_unknown or pair[0] in seen]
    every = most if unknown == "most" else ""
    right = [(seen[word].most_common(1)[0][0] if word in seen else every) == tag for word, tag in pairs]
    return sum(right) / len(right)


def _other_baseline(given: float) -> AnswerError:
    pairs = [pair for sentence in HELD for pair in sentence]
    if math.isclose(given, _share(HELD, HELD)):
        return wrong(
            "", f"{given:.2f} comes from counts of the held-out part, which contains the answers. Count in train."
        )
    if math.isclose(given, _share(TRAIN, HELD, unknown="none")):
        return wrong("", f"{given:.2f} counts every unknown word as wrong. Give it the most frequent tag of all.")
    if math.isclose(given, _share(TRAIN, HELD, count_unknown=False)):
        return wrong("", f"{given:.2f} leaves out unknown words. A tagger has to tag those too: count them.")
    if math.isclose(given, sum(tag == "DET" for _, tag in pairs) / len(pairs)):
        return wrong("", f"{given:.2f} gives every word the same tag. Take each word's own most frequent one.")
    return wrong("", f"On a small text it should be {_share(TRAIN, HELD):.4f}, but it is {given:.4f}.")


class _Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.linear = nn.Embedding(9, 4), nn.Linear(6, 5)
        self.lstm = LSTM(4, 3, bidirectional=True)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        scores: Tensor = self.linear(self.lstm(self.embed(ids), lengths=lengths)[0])
        return scores


Batch = tuple[Tensor, Tensor, Tensor]
RATE = 0.01


def fit(answer: object) -> str:
    """Check exercise 3.1: a training loop, by the resulting weights."""
    with seeded(31):
        batches = [_batch((5, 2, 3)), _batch((4, 4)), _batch((1, 6, 2))]
        untrained = _Tagger().eval()
    model = copy.deepcopy(untrained)
    modes: list[bool] = []
    model.register_forward_hook(lambda module, given, said: modes.append(module.training))
    trained = called(answer, model, batches, RATE)
    if trained is not model:
        raise wrong("", "It should return the model that it was given, trained.")
    if _same(model, untrained):
        raise wrong("", "No weight has changed: call step after backward, and keep the gradients between the two.")
    reached = next((name for name in _LOOPS if _same(model, _trained(untrained, batches, name))), "")
    if reached != "right":
        raise wrong(*_LOOPS.get(reached, ("", "The weights differ from those after one step of Adam for each batch.")))
    if not all(modes):
        raise wrong("", "The model was trained in eval mode, in which dropout drops nothing: call model.train() first.")
    if model.training:
        raise wrong("M24", "The model is still in training mode, so a test would drop values: return model.eval().")
    return "The weights are those after one step of Adam for each batch, and the model is ready to be tested."


def _batch(lengths: tuple[int, ...]) -> Batch:
    ids = [torch.randint(1, 9, (length,)) for length in lengths]
    gold = [torch.randint(1, 5, (length,)) for length in lengths]
    return pad_sequence(ids), pad_sequence(gold, padding_value=-100), torch.tensor(lengths)


_LOOPS = {
    "right": ("", ""),
    "no zero_grad": (
        "",
        "Gradients of earlier batches add up in .grad: call zero_grad for every batch.",
    ),
    "new Adam": ("", "Every batch has a new optimizer, so Adam forgets its averages. Make it once, before the loop."),
    "no lengths": ("M30", "The model was not given the lengths, so the reverse direction has read the padding first."),
    "padding": ("M31", "The loss counts padding as words. Keep the tags of -100, which cross_entropy leaves out."),
}


def _trained(untrained: "_Tagger", batches: Sequence[Batch], loop: str) -> "_Tagger":
    """Train a copy by the right loop, or by a known wrong one."""
    model = copy.deepcopy(untrained).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for ids, gold, lengths in batches:
        if loop == "new Adam":
            optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
        if loop != "no zero_grad":
            optimizer.zero_grad()
        scores = model(ids, None if loop == "no lengths" else lengths)
        target = gold.clamp(min=0) if loop == "padding" else gold
        cross_entropy(scores.flatten(0, 1), target.flatten()).backward()
        optimizer.step()
    return model


def _same(a: nn.Module, b: nn.Module) -> bool:
    return all(near(one, other) for one, other in zip(a.parameters(), b.parameters(), strict=True))


def changed(answer: object) -> str:
    """Check exercise 3.3: differences between two calls with dropout."""
    if not isinstance(answer, Mapping) or sorted(answer) != [1, 2, 3]:
        raise wrong("", "The answer should be a dict with a set for 1, 2 and 3 layers.")
    if any(each is ... for each in answer.values()):
        raise wrong("", "Some of the sets are still missing.")
    given = {layers: set(names) for layers, names in answer.items()}
    right = {layers: _differs(layers) for layers in (1, 2, 3)}
    if given == right:
        return "Layer 0, or an only layer, never changes: dropout is applied between layers, not to the last output."
    if not any(given.values()):
        raise wrong("M24", "Nothing changes in eval mode. In training mode each call drops different values.")
    if given[1]:
        raise wrong("M23", "With one layer there is nothing between layers: nothing is dropped, and torch warns.")
    if any("l0.h" in names for names in given.values()):
        raise wrong(
            "M23", "Layer 0 is computed before anything is dropped, and states are not dropped between steps either."
        )
    if any("l1.h" not in given[layers] for layers in (2, 3)):
        raise wrong(
            "M23", "Dropout applies to layer 1's input, so layer 1 changes. Nothing is dropped from the output."
        )
    layers = 2 if given[2] != right[2] else 3
    said = ", ".join(sorted(right[layers]))
    raise wrong("", f"With {layers} layers, {said} differ: every layer above the first, and so the output.")


def _differs(layers: int) -> set[str]:
    """Run an LSTM twice in training mode, and compare."""
    with seeded(35), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that a single layer drops nothing
        lstm, x = LSTM(4, 5, num_layers=layers, dropout=0.5), torch.randn(3, 2, 4)
        one, other = lstm.trace(x), lstm.trace(x)
    names = {f"l{k}.h": f"l{k}.h" for k in range(layers)} | {"out": f"l{layers - 1}.h"}
    return {name for name, place in names.items() if not torch.equal(one[place], other[place])}


CHECKS: dict[str, Check] = {"3.1": fit, "3.2": baseline, "3.3": changed}
