"""Shared parts of all model cards: the facts about a training run, and the sections written from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Generic, TypeVar

from hiddenstate.errors import ArgumentError
from hiddenstate.training.config import TrainConfig
from hiddenstate.training.settings import format_setting

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
        teachers: names of its teachers' folders, without their parents.
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
            # Cards are published, but the folders of the machine on which a card was made are private.
            if name is not None and name != PurePath(name).name:
                raise ArgumentError(f"a model card's file names must not include folders, got {name!r}")


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


def page(name: str, sections: Mapping[str, str]) -> str:
    """Assemble sections, given by heading, under a title."""
    body = "".join(f"\n## {heading}\n\n{text}\n" for heading, text in sections.items())
    return f"# {name}\n{body}"


def data_section(origin: Origin) -> str:
    """Describe the data that a model was trained and measured on."""
    begun = f", starting from the weights of `{origin.start}`" if origin.start else ""
    files = [f"trained on `{origin.train}`{begun}", *_taught(origin), f"best epoch chosen on `{origin.dev}`"]
    if origin.test:
        files.append(f"tested on `{origin.test}`, which was not used for training or selection")
    listed = "; ".join(files)
    text = f"{listed[0].upper()}{listed[1:]}."
    return f"{origin.about_data}\n\n{text}" if origin.about_data else text


def _taught(origin: Origin) -> list[str]:
    """Name the teachers of a model, and the text that they tagged."""
    if not origin.teachers:
        return []
    teachers, untagged = (", ".join(f"`{name}`" for name in names) for names in (origin.teachers, origin.untagged))
    mean = "the mean probabilities of" if len(origin.teachers) > 1 else "the probabilities of"
    return [f"distilled from {mean} {teachers} on that data{f' and on {untagged}' if untagged else ''}"]


def training_section(config: TrainConfig, origin: Origin, outcome: Outcome[Any]) -> str:
    """Describe how a model was trained: seed, epochs, command, settings."""
    state = "" if outcome.finished else " Training had not finished when this was written."
    text = f"Seed {config.seed}. Epoch {outcome.epoch} of {outcome.epochs} was kept.{state}"
    if origin.command:
        text += f"\n\n```\n{origin.command}\n```"
    settings = ", ".join(f"{name} {format_setting(value)}" for name, value in asdict(config).items())
    return f"{text}\n\nSettings: {settings}."
