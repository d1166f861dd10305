"""What is learnt: a model with its data, as the training loop sees it."""

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
    """What is to be made small, over one batch.

    Attributes:
        mean: 0-dimensional, with a gradient: the mean over what the batch holds (words, say), regularisers included.
        count: how many that are.
        shown: the part of the mean to report, all of it without.
    """

    mean: Tensor
    count: int
    shown: Tensor | None = None


class Task(Protocol[Item]):
    """A model and what it is trained and measured on.

    Random numbers come from torch's global generators, which the loop seeds anew for each batch: so a resumed run
    draws what an unbroken one would have drawn.
    """

    @property
    def model(self) -> nn.Module:
        """What is trained; the loop moves it to the device and switches its mode."""

    @property
    def config(self) -> TrainConfig:
        """The settings."""

    @property
    def unit(self) -> str:
        """What a loss is counted in: ``"words"``, say."""

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is the better one."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data: a run is only resumed with the same."""

    def plan(self, epoch: int, rank: int, ranks: int) -> Sequence[Item | None]:
        """Return what to learn from in an epoch (from 1), batch by batch, in this of several processes.

        It must follow from seed, epoch, rank and ranks alone, be cheap, and have the same length for every rank:
        None is a batch without anything. See `split`.
        """

    def size(self, epoch: int) -> int:
        """Return how many units (words, say) the plans of an epoch hold, all processes together."""

    def loss(self, item: Item) -> Loss:
        """Compute the loss of a batch, in training mode.

        What is carried from batch to batch, such as a hidden state, is the task's: it begins anew with an epoch's
        first batch.
        """

    def carried(self) -> Mapping[str, Tensor]:
        """Return what is carried to the next batch, empty if nothing is."""

    def carry(self, carried: Mapping[str, Tensor]) -> None:
        """Take over what `carried` returned; empty at the beginning of every epoch."""

    def evaluate(self) -> Score:
        """Measure the model on the dev data. The mode it is left in does not matter."""

    def keep(self, folder: Path, history: Sequence[Epoch]) -> None:
        """Write the model as a folder; the last epoch of the history is the one it comes from, and the best."""


def split(batches: Sequence[Item], rank: int, ranks: int) -> list[Item | None]:
    """Deal batches out to processes, None where one would have less than the others.

    >>> split("abcde", rank=1, ranks=2)
    ['b', 'd', None]
    """
    steps = -(-len(batches) // ranks)
    dealt: list[Item | None] = list(batches[rank::ranks])
    return dealt + [None] * (steps - len(dealt))
