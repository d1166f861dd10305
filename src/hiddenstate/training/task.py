"""The interface of a training task: a model with its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor, nn

from hiddenstate.training.config import TrainConfig
from hiddenstate.training.progress import Epoch, Score

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

    def plan(self, epoch: int, rank: int, ranks: int) -> Sequence[Item | None]:
        """Return the batches of an epoch (from 1) for this process.

        The plan must depend only on seed, epoch, rank and ranks, be cheap to compute, and have the same length for
        every rank; None is an empty batch. See `split`.
        """

    def size(self, epoch: int) -> int:
        """Return the number of units (such as words) in the plans of an epoch, over all processes."""

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


def split(batches: Sequence[Item], rank: int, ranks: int) -> list[Item | None]:
    """Deal batches out to processes, with None if one would have fewer than the others.

    >>> split("abcde", rank=1, ranks=2)
    ['b', 'd', None]
    """
    steps = -(-len(batches) // ranks)
    dealt: list[Item | None] = list(batches[rank::ranks])
    return dealt + [None] * (steps - len(dealt))
