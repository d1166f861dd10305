"""What a model card is told of a training: where the model comes from, and what was measured."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, TypeVar

from hiddenstate.errors import ArgumentError

M = TypeVar("M")  # what was measured


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as its card tells it.

    Attributes:
        train: name of the training file, without its folder.
        dev: the same of the dev file.
        test: the same of the test file, None without one.
        command: the command that trained it; empty if it was trained from Python.
        about_data: what the data is: version, source, licence.
        licence: under what terms the weights may be used.
        teachers: names of the folders of the taggers that it learnt from, without what they are in.
        untagged: names of the files of further text that these tagged, the same.
        start: name of the folder of the model that training began with, the same; empty if with none.

    Raises:
        ArgumentError: a file is named with its folder.
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
            # A card is published; the folders of the machine it was made on are nobody's business.
            if name is not None and name != PurePath(name).name:
                raise ArgumentError(f"a model card takes the name of a file without its folder, got {name!r}")


@dataclass(frozen=True)
class Outcome(Generic[M]):
    """What training came to: the epoch that was kept and what was measured on it.

    Attributes:
        epoch: the epoch whose weights are in the folder.
        epochs: how many were trained.
        finished: False in a card written while training goes on, which stays if it is interrupted.
        dev: how good it is on the dev data.
        test: the same on the test data, None if not measured.
    """

    epoch: int
    epochs: int
    finished: bool
    dev: M
    test: M | None = None
