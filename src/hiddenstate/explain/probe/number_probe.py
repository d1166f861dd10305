"""Probes of numbers: a ridge regression with its controls, and edits in the target's units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.edits.edit import Edit, add
from hiddenstate.edits.edit import set as set_to
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.explain.probe.linear import Eraser, Score, fit_number_eraser
from hiddenstate.explain.probe.numbers import ProbedSeries, Reader, probed_series, rows_of, states_of
from hiddenstate.explain.probe.result import TOGETHER, draw_scores, equal_text, untrained_copy, void_text
from hiddenstate.explain.probe.ridge import Floats, Split, r_squared, regress, split_steps
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import sentence, share
from hiddenstate.explain.subject.subject import check_bytes
from hiddenstate.models.series.module_form import recurrent_parts, weight_of
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.structure.tables import table

SHIFTS = 19
OTHER_SEED = 0x9E3779B97F4A7C15
LEAST_UNITS = 4  # held-out sequences or blocks, half of which train the probe after erasing


@dataclass(frozen=True, eq=False, repr=False)
class NumberProbe(Measured):
    """How well a ridge regression reads a number from a place, with its controls. Returned by `probe`. U units.

    Attributes:
        place: the place.
        target: the name of the number, such as a column.
        unit: its unit, or empty.
        lag: how many steps before each step the number is.
        scores: R² on held-out steps with 95 % intervals: ``probe``, ``untrained`` (the same model with new weights),
            ``input`` (only the current input), ``inputs`` (only the last k inputs), ``shifted`` (the probe for the
            target shifted circularly by random numbers of steps: mean and range over these shifts), ``erased`` (after
            `eraser`, a new probe that is trained on half of the held-out steps and scored on the other half).
        void: the controls that are left out because their result is certain in advance, with the reason.
        last: the number k of inputs.
        steps: the number of steps with a target.
        by_time: whether the held-out steps are later blocks of the same rows; otherwise they are other rows.
        eraser: removes the number from states.
        weights: ``[U]``, float64: the probe reads ``states @ weights + intercept``.
        intercept: see ``weights``.
        direction: ``[U]``, float64: the change of the states, along how they vary, that adds 1 to what the probe reads.
        penalty: the penalty of the regression, chosen on the last quarter of the training steps.
        model: the probed model.
    """

    kind = "number probe"
    _saved = (
        "place target unit lag scores void last steps by_time erased_directions=eraser.rank weights intercept "
        "direction penalty cost residual"
    )

    place: str
    target: str
    unit: str
    lag: int
    scores: Mapping[str, Score]
    void: Mapping[str, str]
    last: int
    steps: int
    by_time: bool
    eraser: Eraser
    weights: Tensor
    intercept: float
    direction: Tensor
    penalty: float
    model: Reader
    cost: int

    def rows(self) -> Sequence[Row]:
        """Return one row per score."""
        return [{"score": name, **score._asdict()} for name, score in self.scores.items()]

    def predict(self, states: Tensor) -> Tensor:
        """Return the number that the probe reads from states ``[..., U]``; float64."""
        return states.double() @ self.weights.to(states.device) + self.intercept

    def erase(self, data: Any, **options: Any) -> Edit:
        """Return the edit that removes the number from a run over some data, so that no linear probe can find it.

        The place is set to its values without the edit, from which the number is removed. Use it on a run over the same
        data: ``layer.edit(...)``, or ``hs.what_if(model, frame, edit)`` for a series model.

        Args:
            data: as for `probe`; for a model that reads windows, a frame of one window, whose last step is changed.
            options: as for `probe`.

        Raises:
            ArgumentError: the data have several windows.
            HiddenStateError: the data can't be read, as for `probe`.
        """
        states = states_of(self.model, rows_of(self.model, data, self.place, options), self.place)
        if not isinstance(self.model, SeriesModel) or self.model.window is None:
            return set_to(self.place, self.eraser(states))
        if len(states) > 1:
            raise ArgumentError(
                f"this model reads windows of {self.model.window} steps, each by itself, and the data have "
                f"{len(states)}: give one window of {self.model.window} steps"
            )
        return set_to(self.place, self.eraser(states), t=-1)

    def steer(self, amount: float, *, t: Any = None) -> Edit:
        """Return the edit that adds an amount to the number that the probe reads, moving the states as they vary.

        Args:
            amount: in the units of the target, such as +5.0.
            t: the steps (for a series model, also dates); all by default.

        Raises:
            ArgumentTypeError: the amount is not a number.
            ArgumentError: the probe reads nothing of the number, so no direction represents it.
        """
        if isinstance(amount, bool) or not isinstance(amount, int | float | np.number):
            raise ArgumentTypeError(f"amount must be a number in the target's units, got {type(amount).__name__}")
        reading = self.scores["probe"].value
        if reading <= 0 or not bool(self.direction.isfinite().all()):
            raise ArgumentError(
                f"the probe reads nothing of {_at_lag(self.target, self.lag)} at {self.place} (R² {reading:.2f} on "
                "held-out steps), so no direction there stands for it"
            )
        weight = weight_of(self.model.module if isinstance(self.model, SeriesModel) else self.model)
        return add(self.place, (self.direction * float(amount)).to(weight), t=t)

    def __str__(self) -> str:
        names = _names(self.last)
        rows = [
            [names[name], f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}", share(score.value, 12)]
            for name, score in self.scores.items()
        ]
        what = _at_lag(f"{self.target} [{self.unit}]" if self.unit else self.target, self.lag)
        where = "later blocks of the same rows" if self.by_time else "other rows"
        text = f"R² with which {what} is read from {self.place}, on {where}, with 95 % intervals. "
        models = {name: names[name] for name in ("untrained", "input", "inputs")}
        text += void_text(self.void, names) + equal_text(self.scores, models)
        if "erased" in self.scores and self.scores["erased"].value > max(0.0, self.scores["probe"].value / 2):
            text += "A new probe still reads it after erasing, so .erase(data) hides only a part of it here. "
        text += "A number that can be read is not necessarily used: see what .erase(data) and .steer(amount) do."
        return f"{sentence(text)}\n\n{table(['', 'R²', 'interval', ''], rows, 'lrrl')}"

    def _draw(self, axes: Any) -> None:
        draw_scores(axes, self.scores, "R²")


def _at_lag(name: str, lag: int) -> str:
    when = "before" if lag > 0 else "later"
    return name if lag == 0 else f"{name}, {abs(lag)} step{'s' * (abs(lag) > 1)} {when},"


def _names(last: int) -> dict[str, str]:
    return {
        "probe": "probe",
        "untrained": "the same model, untrained",
        "input": "the current input alone",
        "inputs": f"the last {last} inputs alone",
        "shifted": f"probe for {SHIFTS} shifted targets",
        "erased": "new probe after erasing",
    }


@dataclass(frozen=True, eq=False)
class CountedSteps:
    """The M steps that have a target."""

    at: Sequence[NDArray[np.int64]]  # of each row, its steps that count
    numbers: Floats  # [M]
    sequence: NDArray[np.int64]  # [M]
    series: ProbedSeries


def probe_numbers(
    model: Reader, data: Any, targets: Any, *, place: str, lag: int, last: int, seed: int, options: dict[str, Any]
) -> NumberProbe:
    """Probe numbers; see `probe`."""
    lag, last = check_int("lag", lag), check_int("last", last)
    if last < 2:
        raise ArgumentError(f"last must be at least 2, the number of inputs that a control reads, got {last}")
    series = probed_series(model, data, targets, place, lag, options)
    steps = _counted(model, series)
    M, C = len(steps.numbers), series.rows[0].shape[1]
    check_bytes(M * C * last * 32, f"the last {last} inputs of each step", M, 1)
    split = split_steps(steps.sequence, max(last - 1, abs(lag)), seed)
    _check_varies(steps, split)
    states = _states(model, steps, place)
    probe = partial(_score, steps.numbers, split, seed)
    regression = regress(states, steps.numbers[:, None], split)
    train = torch.from_numpy(states[split.train])
    eraser = fit_number_eraser(train, torch.from_numpy(steps.numbers[split.train])[:, None])
    fresh = _untrained(model, seed)
    void = _void(series, lag, last, split, eraser, fresh)
    scores = {"probe": r_squared(regression(states[split.held_out])[:, 0], steps.numbers, split, seed)}
    if fresh is not None:
        scores["untrained"] = probe(_states(fresh, steps, place))
    if "input" not in void:
        scores["input"] = probe(_inputs(steps, 1))
    if "inputs" not in void:
        scores["inputs"] = probe(_inputs(steps, last))
    scores["shifted"] = _shifted(states, steps.numbers, split, seed)
    if "erased" not in void:
        erased = eraser(torch.from_numpy(states)).numpy()
        scores["erased"] = _score(steps.numbers, split.part(split.held_out, 1 / 2), seed, erased)
    weights = torch.tensor(regression.weights[0])
    read = (train - train.mean(0)) @ weights
    return NumberProbe(
        place=place,
        target=series.name,
        unit=series.unit,
        lag=lag,
        scores=scores,
        void=void,
        last=last,
        steps=M,
        by_time=split.by_time,
        eraser=eraser,
        weights=weights,
        intercept=float(regression.intercept[0]),
        direction=(train - train.mean(0)).T @ read / read.square().sum(),
        penalty=float(regression.penalty[0]),
        model=model,
        cost=(1 + (fresh is not None)) * sum(map(len, series.rows)),
    )


def _counted(model: Reader, series: ProbedSeries) -> CountedSteps:
    first = _first_step(model)
    at = [np.flatnonzero(np.isfinite(row) & (np.arange(len(row)) >= first)) for row in series.targets]
    numbers = np.concatenate([row[steps] for row, steps in zip(series.targets, at, strict=True)])
    if not len(numbers):
        raise ArgumentError(f"no step has a target: {series.name} is missing everywhere")
    return CountedSteps(at, numbers, np.repeat(np.arange(len(at)), list(map(len, at))), series)


def _first_step(model: Reader) -> int:
    return (model.window or 1) - 1 if isinstance(model, SeriesModel) else 0


def _check_varies(steps: CountedSteps, split: Split) -> None:
    for part, what in ((split.train, "training"), (split.held_out, "held-out")):
        numbers = steps.numbers[part]
        if np.ptp(numbers) <= np.abs(numbers).max() * 1e-12:
            raise ArgumentError(
                f"{steps.series.name} is {numbers[0]:g} at all {len(part)} {what} steps: nothing to read"
            )


def _states(model: Reader, steps: CountedSteps, place: str) -> Floats:
    """Return the states ``[M, U]`` at the steps that count."""
    rows, parts = steps.series.rows, list[Floats]()
    together = len(rows) if isinstance(model, SeriesModel) else TOGETHER
    for start in range(0, len(rows), together):
        values = states_of(model, rows[start : start + together], place).double().cpu().numpy()
        for n in range(values.shape[1]):
            parts.append(values[steps.at[start + n] - _first_step(model), n])
            if not np.isfinite(parts[-1]).all():
                raise ArgumentError(f"row {start + n} has states at {place} that are infinite or NaN")
    return np.concatenate(parts)


def _inputs(steps: CountedSteps, count: int) -> Floats:
    """Return the last inputs of each step ``[M, count * C]``, in units of their deviation; 0 before the first step."""
    rows = [row.double().cpu().numpy() for row in steps.series.rows]
    every = np.concatenate(rows)
    mean, deviation = every.mean(0), np.maximum(every.std(0), 1e-12)
    parts = []
    for row, at in zip(rows, steps.at, strict=True):
        padded = np.pad((row - mean) / deviation, ((count - 1, 0), (0, 0)))
        parts.append(np.concatenate([padded[at + count - 1 - k] for k in range(count)], axis=1))
    return np.concatenate(parts)


def _score(numbers: Floats, split: Split, seed: int, x: Floats) -> Score:
    read = regress(x, numbers[:, None], split)(x[split.held_out])[:, 0]
    return r_squared(read, numbers, split, seed)


def _shifted(states: Floats, numbers: Floats, split: Split, seed: int) -> Score:
    """Return the mean R² for targets that are shifted circularly, by a tenth of the steps or more, and its range."""
    M = len(numbers)
    shifts = np.random.default_rng(seed).integers(M // 10, M - M // 10, SHIFTS)
    y = np.stack([np.roll(numbers, shift) for shift in shifts], axis=1)
    read, held = regress(states, y, split)(states[split.held_out]), y[split.held_out]
    values = 1 - np.square(held - read).sum(0) / np.square(held - held.mean(0)).sum(0)
    return Score(float(values.mean()), float(values.min()), float(values.max()))


def _void(
    series: ProbedSeries, lag: int, last: int, split: Split, eraser: Eraser, fresh: Reader | None
) -> dict[str, str]:
    """Return the controls whose result is certain in advance, with the reason."""
    void: dict[str, str] = {}
    if fresh is None:
        void["untrained"] = "its recurrent layers can't draw new weights (they have no reset_parameters)"
    if series.column is not None and 0 <= lag < last:
        why = f"{_at_lag(series.name, lag)} is itself among them"
        void |= {"input": why, "inputs": why} if lag == 0 else {"inputs": why}
    units = len(np.unique(split.unit[split.held_out]))
    if eraser.rank >= eraser.span:
        void["erased"] = f"erasing removes all {eraser.span} directions in which the states vary"
    elif units < LEAST_UNITS:
        void["erased"] = f"{units} held-out rows are too few to train and score a new probe"
    return void


def _untrained(model: Reader, seed: int) -> Any:
    """Return a model with new weights; None if its recurrent layers have no way to draw them."""
    other = (seed + OTHER_SEED) % 2**63  # unlike the seed with which a user may have drawn the weights
    module = model.module if isinstance(model, SeriesModel) else model
    fresh = untrained_copy(module, other)
    before, after = (
        [weight for part in recurrent_parts(parts).values() for weight in part.parameters()]
        for parts in (module, fresh)
    )
    if all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
        return None
    return model.with_module(fresh) if isinstance(model, SeriesModel) else fresh
