"""`probe`: trains a linear probe, with controls that show how much its accuracy means."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
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
from hiddenstate.explain.probe.number_probe import NumberProbe, probe_numbers
from hiddenstate.explain.probe.numbers import Reader, has_numbers
from hiddenstate.explain.probe.result import Model, Probe, check_arguments, class_means, read_steps, untrained_copy
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.nn.rnn import Layer
from hiddenstate.text.labels import label_names

LEAST_SEQUENCES, MOST_LABELS = 4, 256
LAST = 8  # inputs that a control reads
LEAST_REPEATED = 0.5  # minimum share of held-out steps whose input occurs in training, for controls by input


@overload
def probe(
    model: Model,
    data: Sequence[Any],
    targets: Sequence[Sequence[str | int | None]],
    *,
    place: str = "l0.h",
    seed: int = 0,
) -> Probe: ...


@overload
def probe(
    model: Reader,
    data: Any,
    targets: Any,
    *,
    place: str = "l0.h",
    lag: int = 0,
    last: int = LAST,
    seed: int = 0,
    **options: Any,
) -> NumberProbe: ...


def probe(
    model: Model | SeriesModel,
    data: Any,
    targets: Any,
    *,
    place: str = "l0.h",
    lag: int = 0,
    last: int = LAST,
    seed: int = 0,
    **options: Any,
) -> Probe | NumberProbe:
    """Train a linear probe: can a label, or a number, be read from the values of a place?

    **Labels.** Half of the sequences are used for training and the other half for scoring; the controls use the same
    halves. The control task and the guess from the word need inputs that recur: if fewer than half of the held-out
    steps have an input that occurs in the training half, as with continuous input, no probe could fail them, so they
    are left out. A probe on the input itself (for tensors) and the one on the untrained model remain. Erasing is left
    out if it would remove everything.

    **Numbers**, for layers and series models. A ridge regression is trained on half of the rows and scored on the
    others; with fewer than four rows, on the first half of each, and scored on later blocks. Its controls, on the same
    steps, are regressions on the current input, on the last inputs, and on the states of the untrained model, and a
    regression of the target shifted circularly. A control whose result is certain is left out: the one on inputs, if
    the target is one of them; the one on the untrained model, if its layers can't be initialised again; and erasing, if
    it would remove everything, or too few rows are held out to train a new probe.

    Args:
        model: a tagger, a language model, a `hiddenstate.LSTM`, `GRU` or `RNN`; for numbers also a series model,
            made by `hiddenstate.series_model`.
        data: sequences, at least four of them with labels: lists of words for a tagger, texts for a language model,
            tensors ``[T, C]`` for a layer. For numbers: one long series ``[T, C]``, several as the layer reads them, or
            a list of series; a frame for a series model.
        targets: for each sequence, a label for each step (for a text, for each character or word), or None for steps
            that do not count. A label is the name of a class: its text. Integers are names too, and their order does
            not count. Floating-point targets are numbers: one for each step, in the order of the data's axes, NaN or
            None for steps that do not count. For a series model: the name of a column of the frame, which need not
            be a feature of the model, or numbers ``[T]`` or ``[T, N]``.
        place: such as ``"l1.h"``; for a series model with several layers, with the path: ``"encoder.l0.h"``.
        lag: how many steps before each step the number is; negative for later steps.
        last: the number of inputs, including the current one, that a control for numbers reads.
        seed: the seed of the split, the control task, the shifts, the untrained weights and the intervals.
        options: for a series model, ``dates``, ``rows``, ``gaps`` and ``missing``, as for `SeriesModel.prepare`.

    Returns:
        A `Probe` for labels, a `NumberProbe` for numbers.

    Raises:
        ArgumentError: the labels or numbers do not fit the data; there are fewer than 2 or more than 256 labels; there
            is too much data, or too little; a target does not vary; states or numbers are infinite.
        ArgumentTypeError: something has the wrong type.
        NameUnknownError: there is no such place or column.
        TraceTooLargeError: the states or inputs would take more than 8 GiB.
        MissingDependencyError: scikit-learn is not installed.
    """
    if hasattr(targets, "to_numpy"):
        targets = targets.to_numpy()
    if isinstance(model, SeriesModel) or (isinstance(model, Layer) and has_numbers(targets)):
        optional_package("sklearn.linear_model", "probe", "a probe")
        return probe_numbers(
            model, data, targets, place=place, lag=lag, last=last, seed=check_seed(seed), options=options
        )
    if lag != 0 or last != LAST or options:
        name = next(iter(options), "lag" if lag != 0 else "last")
        raise ArgumentError(f"{name}= is for numbers, and these targets are labels: drop it")
    return _probe_labels(model, data, targets, place, check_seed(seed))


def _probe_labels(model: Model, data: Sequence[Any], labels: Sequence[Any], place: str, seed: int) -> Probe:
    check_arguments(model, data, labels, place)
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
    halves: dict[str, Any] = {"is_held_out": is_held_out, "sequence": sequence, "seed": seed}
    fresh = read_steps(untrained_copy(model, seed), data, labels, place, names)
    eraser = fit_eraser(steps.states[~is_held_out], steps.classes[~is_held_out], len(names))
    reading, directions = fit(steps.states, classes, **halves)
    repeated, control = repeated_share(steps.words, is_held_out), control_labels(steps.words, classes, seed)
    void = _void(repeated, control, eraser)
    scores = {"probe": reading}
    if "control" not in void:
        scores["control"] = fit(steps.states, control, **halves)[0]
    scores["untrained"] = fit(fresh.states, classes, **halves)[0]
    if "word" not in void:
        scores["word"] = by_word(steps.words, classes, **halves)
    elif steps.inputs is not None:
        scores["input"] = fit(steps.inputs, classes, **halves)[0]
    usual = np.bincount(classes[~is_held_out]).argmax()
    scores["majority"] = interval(classes[is_held_out] == usual, sequence.numpy()[is_held_out], seed)
    if "erased" not in void:
        scores["erased"] = fit(eraser(steps.states), classes, **halves)[0]
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
