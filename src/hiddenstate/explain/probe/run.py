"""`probe`: trains a linear probe, with controls that show how much its accuracy means."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hiddenstate.base.scalars import check_seed
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.probe.classify import Accuracy, by_word, control_labels, fit, held_out_sequences, interval
from hiddenstate.explain.probe.erasure import fit_eraser
from hiddenstate.explain.probe.result import Probe, class_means
from hiddenstate.explain.probe.states import Model, check_arguments, read_steps
from hiddenstate.text.labels import label_names

LEAST_SEQUENCES, MOST_LABELS = 4, 256


def probe(
    model: Model, data: Sequence[Any], labels: Sequence[Sequence[Any]], *, place: str = "l0.h", seed: int = 0
) -> Probe:
    """Train a linear probe: can a label be read from the values of a place?

    Half of the sequences are used for training and the other half for scoring; the controls use the same halves.

    Args:
        model: a tagger, a language model, or a `hiddenstate.LSTM`, `GRU` or `RNN`.
        data: sequences, at least four of them with labels: lists of words for a tagger, texts for a language model,
            tensors ``[T, C]`` for a layer.
        labels: for each sequence, a label for each step (for a text, for each character or word), or None for steps
            that do not count. A label is the name of a class: its text. Integers are names too, and their order does
            not count; other numbers are refused: sort them into classes first.
        place: such as ``"l1.h"``.
        seed: the seed of the split, the control task, the untrained weights and the intervals.

    Raises:
        ArgumentError: the labels do not fit the data, there are fewer than 2 or more than 256 of them, there is too
            much data, or states are infinite or NaN.
        ArgumentTypeError: something has the wrong type.
        NameUnknownError: there is no such place.
        MissingDependencyError: scikit-learn is not installed.
    """
    check_arguments(model, data, labels, place)
    seed = check_seed(seed)
    optional_package("sklearn.linear_model", "probe", "a probe")
    labels = [label_names(row, f"labels[{k}]") for k, row in enumerate(labels)]
    names = sorted({label for row in labels for label in row if label is not None})
    labelled = sum(any(label is not None for label in row) for row in labels)
    if not 2 <= len(names) <= MOST_LABELS or labelled < LEAST_SEQUENCES:
        raise ArgumentError(
            f"a probe needs at least {LEAST_SEQUENCES} sequences with labels, and 2 to {MOST_LABELS} different labels, "
            f"got {labelled} and {len(names)}"
        )
    steps = read_steps(model, data, labels, place, names)
    classes, sequence = steps.classes.numpy(), steps.sequence
    is_held_out = held_out_sequences(sequence, seed)
    untrained = read_steps(_untrained(model, seed), data, labels, place, names)
    eraser = fit_eraser(steps.states[~is_held_out], steps.classes[~is_held_out], len(names))
    control = control_labels(steps.words, classes, seed)
    shared = (is_held_out, sequence, seed)
    found, _, directions = fit(steps.states, classes, *shared)
    usual = np.bincount(classes[~is_held_out]).argmax()
    scores: dict[str, Accuracy] = {
        "probe": found,
        "control": fit(steps.states, control, *shared)[0],
        "untrained": fit(untrained.states, classes, *shared)[0],
        "word": by_word(steps.words, classes, *shared),
        "majority": interval(classes[is_held_out] == usual, sequence.numpy()[is_held_out], seed),
        "erased": fit(eraser(steps.states), classes, *shared)[0],
    }
    means = class_means(steps.states, steps.classes, len(names))
    return Probe(place, tuple(names), scores, len(classes), eraser, directions, means, model, 2 * sum(map(len, data)))


def _untrained(model: Model, seed: int) -> Model:
    """Return a copy of a model with new weights, initialised as before training."""
    made = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in made.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return made
