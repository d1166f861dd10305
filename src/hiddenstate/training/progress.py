"""Progress reports of a training run, and its history."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

M = TypeVar("M")  # the type of measurements


@dataclass(frozen=True)
class Score:
    """A model's score on the dev data.

    Attributes:
        value: the number by which epochs are compared.
        text: the score as text.
        details: more numbers, by name.
    """

    value: float
    text: str
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """The progress of an epoch after a batch, over all processes. A unit is, for example, a word.

    Attributes:
        epoch: the epoch, from 1.
        step: the number of batches of the whole run so far.
        units: the number of units of this epoch seen so far.
        units_total: the number of units in the epoch.
        loss: the mean over this epoch's units so far.
        batch_loss: the mean over the last batch's units.
        learning_rate: the learning rate of the last batch.
        units_per_second: the speed in this epoch so far.
        seconds_left: the remaining time until the end of the last epoch, at this speed.
    """

    epoch: int
    step: int
    units: int
    units_total: int
    loss: float
    batch_loss: float
    learning_rate: float
    units_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data; ``last`` is its last step, ``score`` the dev score after it."""

    last: Step
    score: Score
    is_best: bool


@dataclass(frozen=True)
class Result(Generic[M]):
    """The result of a training run.

    Attributes:
        history: every epoch, in order.
        best: the epoch whose model was saved.
        dev: the score on the dev data of the saved model, read back from its folder.
        test: its score on the test data, or None without any.
    """

    history: tuple[Epoch, ...]
    best: Epoch
    dev: M
    test: M | None


OnProgress = Callable[[Step | Epoch], None]


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the last epoch that was better than all before it."""
    return next(epoch for epoch in reversed(history) if epoch.is_best)
