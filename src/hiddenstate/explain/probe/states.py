"""The states of sequences at a place, with their labels and words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.messages import readable_name
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import Layer
from hiddenstate.structure.names import parse_place

MOST_STEPS = 1 << 20
TOGETHER = 256  # sequences run at once

Model = Tagger | LanguageModel | Layer


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
            f"{readable_name(type(model))} (hs.convert converts torch's layers)"
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
    """Run sequences together; return the values ``[T, N, U]`` of a place, and each sequence's input at each step.

    The newline that a language model reads before a text is omitted.
    """
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
