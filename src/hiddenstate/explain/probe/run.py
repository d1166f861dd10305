"""`probe`: trains a linear probe, with controls that show how much its accuracy means."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hiddenstate.base.scalars import check_seed
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.probe.linear import (
    Eraser,
    by_word,
    control_labels,
    fit,
    fit_eraser,
    held_out_sequences,
    interval,
    repeated_share,
)
from hiddenstate.explain.probe.result import Model, Probe, check_arguments, class_means, read_steps
from hiddenstate.text.labels import label_names

LEAST_SEQUENCES, MOST_LABELS = 4, 256
LEAST_REPEATED = 0.5  # minimum share of held-out steps whose input occurs in training, for controls by input


def probe(
    model: Model, data: Sequence[Any], labels: Sequence[Sequence[Any]], *, place: str = "l0.h", seed: int = 0
) -> Probe:
    """Train a linear probe: can a label be read from the values of a place?

    Half of the sequences are used for training and the other half for scoring; the controls use the same halves. The
    control task and the guess from the word need inputs that recur: if fewer than half of the held-out steps have an
    input that occurs in the training half, as with continuous input, no probe could fail them, so they are left out. A
    probe on the input itself (for tensors) and the one on the untrained model remain. Erasing is left out if it would
    remove everything.

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
    shared = (is_held_out, sequence, seed)
    untrained = read_steps(_untrained(model, seed), data, labels, place, names)
    eraser = fit_eraser(steps.states[~is_held_out], steps.classes[~is_held_out], len(names))
    reading, directions = fit(steps.states, classes, *shared)
    repeated, control = repeated_share(steps.words, is_held_out), control_labels(steps.words, classes, seed)
    void = _void(repeated, control, eraser)
    scores = {"probe": reading}
    if "control" not in void:
        scores["control"] = fit(steps.states, control, *shared)[0]
    scores["untrained"] = fit(untrained.states, classes, *shared)[0]
    if "word" not in void:
        scores["word"] = by_word(steps.words, classes, *shared)
    elif steps.inputs is not None:
        scores["input"] = fit(steps.inputs, classes, *shared)[0]
    usual = np.bincount(classes[~is_held_out]).argmax()
    scores["majority"] = interval(classes[is_held_out] == usual, sequence.numpy()[is_held_out], seed)
    if "erased" not in void:
        scores["erased"] = fit(eraser(steps.states), classes, *shared)[0]
    return Probe(
        place=place,
        labels=tuple(names),
        scores=scores,
        void=void,
        repeated=repeated,
        steps=len(classes),
        eraser=eraser,
        directions=directions,
        means=class_means(steps.states, steps.classes, len(names)),
        model=model,
        cost=2 * sum(map(len, data)),
    )


def _void(repeated: float, control: NDArray[np.int64], eraser: Eraser) -> dict[str, str]:
    """Return the controls whose result is certain in advance, with the reason."""
    void: dict[str, str] = {}
    if repeated < LEAST_REPEATED:
        why = f"only {repeated:.0%} of the held-out steps have an input that occurs in the training half"
        void |= {"control": why, "word": why}
    elif len(np.unique(control)) < 2:
        void["control"] = "all inputs were assigned the same random label"
    if eraser.rank >= eraser.span:
        void["erased"] = f"erasing removes all {eraser.span} directions in which the states vary"
    return void


def _untrained(model: Model, seed: int) -> Model:
    """Return a copy of a model with new weights, initialised as before training."""
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in fresh.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh
