"""What a run tells while it goes on, and keeps of its past."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

M = TypeVar("M")  # what was measured


@dataclass(frozen=True)
class Score:
    """How good a model is on the dev data.

    Attributes:
        value: what epochs are compared by.
        text: the same for people.
        details: more numbers, by name.
    """

    value: float
    text: str
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """How far an epoch is after one more batch, all processes together. A unit is a word, say.

    Attributes:
        epoch: from 1.
        step: batches of the whole run so far.
        units: of this epoch, learnt from so far.
        units_total: in an epoch.
        loss: mean over this epoch's units so far.
        batch_loss: mean over the last batch's units.
        learning_rate: step size of the last batch.
        units_per_second: of this epoch so far.
        seconds_left: until the last epoch has been trained, at this speed.
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
    """What a training run came to.

    Attributes:
        history: every epoch, in order.
        best: the epoch whose model was kept.
        dev: how good the kept model, read back from its folder, is on the dev data.
        test: the same on the test data, None without any.
    """

    history: tuple[Epoch, ...]
    best: Epoch
    dev: M
    test: M | None


OnProgress = Callable[[Step | Epoch], None]


def best_of(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch that was better than all before, the last such."""
    return next(epoch for epoch in reversed(history) if epoch.is_best)
