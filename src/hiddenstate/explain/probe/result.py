"""The result of `probe`, with edits that test whether the model uses what the probe reads; reads the states."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.messages import readable_name
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.edits.edit import Edit, add
from hiddenstate.edits.edit import set as set_to
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.probe.linear import Eraser, Score
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import sentence, share
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import Layer
from hiddenstate.structure.names import parse_place
from hiddenstate.structure.tables import table

MOST_STEPS = 1 << 20
TOGETHER = 256  # sequences run at once

Model = Tagger | LanguageModel | Layer
AnyModule = TypeVar("AnyModule", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class LabelledSteps:
    """The M steps that have a label."""

    states: Tensor  # [M, U]
    classes: Tensor  # int64 [M], the label of each step
    words: tuple[Any, ...]  # the input at each step, as any value that is equal for equal inputs
    sequence: Tensor  # int64 [M], the sequence of each step
    inputs: Tensor | None  # [M, C], the input at each step, if the sequences are tensors; otherwise None


def check_arguments(model: object, data: object, labels: object, place: str) -> None:
    """Raise ArgumentTypeError, ArgumentError or NameUnknownError if arguments of `probe` do not fit."""
    if not isinstance(model, Tagger | LanguageModel | Layer):
        raise ArgumentTypeError(
            "a probe needs a hiddenstate.LSTM, GRU or RNN, a tagger or a language model, got "
            f"{readable_name(type(model))} (hs.convert converts torch's layers; probes of numbers also take models of "
            "hs.series_model)"
        )
    if isinstance(data, str) or not isinstance(data, Sequence) or isinstance(labels, str):
        raise ArgumentTypeError(
            "data must be a list of sequences, and labels a list with a list of labels for each of them"
        )
    if not isinstance(labels, Sequence) or len(data) != len(labels):
        raise ArgumentError(f"labels must be a list with one list for each of the {len(data)} sequences")
    layer = model if isinstance(model, Recurrent) else model.lstm
    parse_place(place, *layer.sizes.layers)
    lengths = [len(sequence) for sequence in data]
    if sum(lengths) > MOST_STEPS:
        raise ArgumentError(
            f"a probe takes at most {MOST_STEPS:,} steps, got {sum(lengths):,} (the longest sequence has "
            f"{max(lengths):,}); give fewer or shorter sequences"
        )


@torch.no_grad()
def read_steps(
    model: Model, data: Sequence[Any], labels: Sequence[Sequence[Any]], place: str, names: Sequence[str]
) -> LabelledSteps:
    """Run the model over sequences, and return the steps that have a label."""
    number = {name: k for k, name in enumerate(names)}
    states, classes, words, sequence = list[Tensor](), list[int](), list[Any](), list[int]()
    inputs = list[Tensor]()
    for start in range(0, len(data), TOGETHER):
        part = data[start : start + TOGETHER]
        values, read = run_places(model, part, place)
        for row, (tokens, row_labels) in enumerate(zip(read, labels[start : start + TOGETHER], strict=True)):
            if len(tokens) != len(row_labels):
                raise ArgumentError(f"sequence {start + row} has {len(tokens)} steps but {len(row_labels)} labels")
            chosen = [t for t, label in enumerate(row_labels) if label is not None]
            states.append(values[chosen, row])
            if not states[-1].isfinite().all():
                raise ArgumentError(f"sequence {start + row} has states at {place} that are infinite or NaN")
            classes += [number[row_labels[t]] for t in chosen]
            words += [tokens[t] for t in chosen]
            sequence += [start + row] * len(chosen)
            if isinstance(part[row], Tensor):
                inputs.append(part[row].detach()[chosen])
    if not classes:
        raise ArgumentError("no step has a label")
    vectors = torch.cat(inputs) if inputs else None
    return LabelledSteps(torch.cat(states), torch.tensor(classes), tuple(words), torch.tensor(sequence), vectors)


def run_places(model: Model, data: Sequence[Any], place: str) -> tuple[Tensor, list[Sequence[Any]]]:
    """Run sequences together; return a place's values ``[T, N, U]``, and what is read at each step."""
    if isinstance(model, Tagger):
        return model.trace(data, keep=[place], limit=None).values[place], list(data)
    if isinstance(model, LanguageModel):
        trace = model.trace(list(data), keep=[place], limit=None)
        return trace.values[place][1:], [(trace.words(row) or ())[1:] for row in range(len(data))]
    x, lengths = padded(data)
    inputs = x.transpose(0, 1) if model.batch_first else x
    trace = eval_twin(model).trace(inputs, lengths=lengths, keep=[place], limit=None)
    return trace.values[place], [
        [x[t, row].contiguous().view(torch.uint8).numpy().tobytes() for t in range(n)]
        for row, n in enumerate(lengths.tolist())
    ]


def padded(data: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Return arrays as one input ``[T, N, C]``, with their lengths."""
    for k, sequence in enumerate(data):
        if not isinstance(sequence, Tensor) or sequence.dim() != 2 or not len(sequence):
            raise ArgumentTypeError(f"a layer reads tensors [T, C], got {type(sequence).__name__} for sequence {k}")
        check_plain_tensor(sequence, f"sequence {k}")
        check_memory(sequence, f"sequence {k}")
    x = torch.nn.utils.rnn.pad_sequence(list(data)).detach()
    return x, torch.tensor([len(sequence) for sequence in data])


NAMES = {
    "probe": "probe",
    "control": "control task: random labels of words",
    "untrained": "the same model, untrained",
    "word": "the word alone",
    "input": "probe on the input alone",
    "majority": "the most frequent label",
    "erased": "probe after erasing",
}
VOID_NAMES = {"control": "the control task", "word": "a guess from the input's usual label", "erased": "erasing"}
EQUAL = {"untrained": "an untrained copy of the model", "input": "the input alone"}


@dataclass(frozen=True, eq=False, repr=False)
class Probe(Measured):
    """The accuracy with which a linear probe reads a label from a place, with its controls.

    Attributes:
        place: the place.
        labels: the names of the labels.
        scores: held-out accuracies with 95 % intervals: ``probe``, ``control`` (the same probe for random labels of
            words), ``untrained`` (the same model with new weights), ``word`` (the word's most frequent label) or
            ``input`` (the same probe for the input at that step, if inputs hardly ever recur), ``majority`` (always the
            most frequent label), ``erased`` (a new probe after `eraser`).
        void: the controls that are left out because their result is certain in advance, with the reason.
        repeated: the share of held-out steps whose word or input occurs in the training half.
        steps: the number of steps with a label.
        eraser: removes the label from states.
        directions: ``[K, U]``, the probe's weights for each label; with two labels, only one row, for the second label.
        means: ``[K, U]``, the mean state of each label.
        model: the probed model.
    """

    kind = "probe"
    _saved = (
        "place labels scores void repeated selectivity steps erased_directions=eraser.rank directions cost residual"
    )

    place: str
    labels: tuple[str, ...]
    scores: Mapping[str, Score]
    void: Mapping[str, str]
    repeated: float
    steps: int
    eraser: Eraser
    directions: Tensor
    means: Tensor
    model: Model
    cost: int

    @property
    def selectivity(self) -> float | None:
        """The accuracy beyond that of the control task: near 0 for a probe that memorises words. None if it is void."""
        control = self.scores.get("control")
        return None if control is None else self.scores["probe"].value - control.value

    def rows(self) -> Sequence[Row]:
        """Return one row per score."""
        return [{"score": name, **score._asdict()} for name, score in self.scores.items()]

    def erase(self, data: Sequence[Any]) -> Edit:
        """Return the edit that removes the label from a run over some sequences, so that no linear probe can find it.

        The place is set to its values without the edit, from which the label is removed. In the block, run the same
        sequences together and in this order, as ``model.trace(data)`` does.

        Args:
            data: sequences, as for `probe`.
        """
        values, _ = run_places(self.model, data, self.place)
        if values.dim() == 3 and hasattr(self.model, "tokens"):  # a language model reads a newline first
            return set_to(self.place, self.eraser(values), t=slice(1, 1 + len(values)))
        return set_to(self.place, self.eraser(values))

    def steer(self, amount: float, to: str | int = -1, *, t: Any = None) -> Edit:
        """Return the edit that moves the place's values from the mean of all states towards that of a label.

        Args:
            amount: 1 moves all the way; negative numbers move away.
            to: the label, or its number.
            t: the steps; all by default.

        Raises:
            NameUnknownError, IndexRangeError: there is no such label.
        """
        if isinstance(to, str) and to not in self.labels:
            raise NameUnknownError(f"no label {to!r}; the labels are {', '.join(self.labels[:20])}")
        k = self.labels.index(to) if isinstance(to, str) else resolve_one(to, len(self.labels), "to")
        way = (self.means[k] - self.eraser.mean) * amount
        return add(self.place, way.to(next(self.model.parameters()).dtype), t=t)

    def __str__(self) -> str:
        rows = [
            [NAMES[name], f"{score.value:.1%}", f"{score.low:.1%} to {score.high:.1%}", share(score.value, 12)]
            for name, score in self.scores.items()
        ]
        rows += [[NAMES[name], "void", "", ""] for name in self.void]
        return f"{sentence(self._summary())}\n\n{table(['', 'accuracy', 'interval', ''], rows, 'lrrl')}"

    def _summary(self) -> str:
        text = f"Accuracy of {len(self.labels)} labels at {self.place}, on held-out sequences, with 95 % intervals. "
        if self.selectivity is not None:
            text += f"Selectivity {self.selectivity:+.1%}. "
        text += void_text(self.void, VOID_NAMES) + equal_text(self.scores, EQUAL)
        return f"{text}A label that can be read is not necessarily used: see what .erase(data) does."

    def _draw(self, axes: Any) -> None:
        draw_scores(axes, self.scores, "accuracy")


def void_text(void: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Say which controls are left out, and why."""
    text = ""
    for reason in dict.fromkeys(void.values()):
        same = " and ".join(names[name] for name, why in void.items() if why == reason)
        text += f"{same[0].upper()}{same[1:]} would show nothing: {reason}. "
    return text


def equal_text(scores: Mapping[str, Score], names: Mapping[str, str]) -> str:
    """Say which controls reach the interval of the probe."""
    equal = [names[name] for name in names if name in scores and scores[name].value >= scores["probe"].low]
    if not equal:
        return ""
    text, verb = " and ".join(equal), "gives" if len(equal) == 1 else "give"
    return f"{text[0].upper()}{text[1:]} {verb} about as much, so the model need not have learnt it. "


def draw_scores(axes: Any, scores: Mapping[str, Score], what: str) -> None:
    """Draw scores with their intervals."""
    for k, score in enumerate(scores.values()):
        axes.plot([score.low, score.high], [k, k], color="0.5")
        axes.plot([score.value], [k], "o")
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set_xlabel(what)


def class_means(states: Tensor, classes: Tensor, count: int) -> Tensor:
    """Return the mean state of each class, ``[count, U]``, float64."""
    indicator = torch.nn.functional.one_hot(classes, count).double()
    return (indicator.T @ states.double()) / indicator.sum(0).clamp_min(1)[:, None]


def untrained_copy(module: AnyModule, seed: int) -> AnyModule:
    """Return a copy of a module with new weights, initialised as before training."""
    fresh = copy.deepcopy(module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in fresh.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh
