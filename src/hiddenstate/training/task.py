"""The interface of a training task (a model with its data), and the progress reports of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn

from hiddenstate.training.settings import TrainConfig

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
    """The progress of an epoch after a batch. A unit is, for example, a word.

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


Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of one batch.

    Attributes:
        mean: 0-dimensional, with a gradient: the mean over the batch's units (such as words), including regularisers.
        count: the number of units.
        reported: the part of the mean to report; all of it if None.
    """

    mean: Tensor
    count: int
    reported: Tensor | None = None


class Task(Protocol[Item]):
    """A model and the data for training and evaluation.

    Random numbers come from torch's global generators, which the loop seeds for each batch, so that a resumed run draws
    the same numbers as an uninterrupted one.
    """

    @property
    def model(self) -> nn.Module:
        """The model to train; the loop moves it to the device and switches its mode."""

    @property
    def config(self) -> TrainConfig:
        """The settings."""

    @property
    def unit(self) -> str:
        """The unit of the loss, such as ``"words"``."""

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is better."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data: a run can only be resumed with the same data."""

    def plan(self, epoch: int) -> Sequence[Item]:
        """Return the batches of an epoch (from 1), which depend only on it and the seed, and are cheap to compute."""

    def size(self, epoch: int) -> int:
        """Return the number of units (such as words) in the plan of an epoch."""

    def loss(self, item: Item) -> Loss:
        """Compute the loss of a batch, in training mode.

        The task manages state that is carried from batch to batch, such as a hidden state, and resets it at an epoch's
        first batch.
        """

    def state(self) -> Mapping[str, Tensor]:
        """Return the state carried to the next batch, empty if there is none."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state that `state` returned; empty at the beginning of every epoch."""

    def evaluate(self) -> Score:
        """Evaluate the model on the dev data. The model may be left in either mode."""

    def save_model(self, folder: Path, history: Sequence[Epoch]) -> None:
        """Write the model as a folder. It is the model of the last epoch in the history, which is the best so far."""
