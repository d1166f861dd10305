"""The facts about a training run for its model card: the model's origin and the measurements."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, TypeVar

from hiddenstate.errors import ArgumentError

M = TypeVar("M")  # the type of the measurements


@dataclass(frozen=True)
class Origin:
    """The origin of a model, for its card.

    Attributes:
        train: name of the training file, without its folder.
        dev: name of the dev file, without its folder.
        test: name of the test file, without its folder; None if there is none.
        command: the command that trained it; empty if it was trained from Python.
        about_data: a description of the data: version, source, licence.
        licence: the terms for using the weights.
        teachers: names of the folders of its teachers, without their parents.
        untagged: names of the files that the teachers tagged, without their folders.
        start: name of the folder of the model that training started from, without its parents; empty if there is none.

    Raises:
        ArgumentError: a name includes a folder.
    """

    train: str
    dev: str
    test: str | None = None
    command: str = ""
    about_data: str = ""
    licence: str = ""
    teachers: tuple[str, ...] = ()
    untagged: tuple[str, ...] = ()
    start: str = ""

    def __post_init__(self) -> None:
        for name in (self.train, self.dev, self.test, *self.teachers, *self.untagged, self.start):
            # A card is published; the folders of the machine it was made on are private.
            if name is not None and name != PurePath(name).name:
                raise ArgumentError(f"a model card takes file names without folders, got {name!r}")


@dataclass(frozen=True)
class Outcome(Generic[M]):
    """The outcome of training: the epoch that was kept, and its measurements.

    Attributes:
        epoch: the epoch whose weights are in the folder.
        epochs: the number of epochs trained.
        finished: False in a card written during training, which remains if training is interrupted.
        dev: the measurements on the dev data.
        test: the measurements on the test data, or None.
    """

    epoch: int
    epochs: int
    finished: bool
    dev: M
    test: M | None = None
