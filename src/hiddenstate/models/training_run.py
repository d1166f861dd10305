"""One run that trains a model of any kind, from its run file to its folder, and the model card that describes it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Generic, TypeVar

import torch

from hiddenstate.base.files import check_folder_place, mend_folder
from hiddenstate.errors import ArgumentError
from hiddenstate.models import model_folder as folder
from hiddenstate.training.checkpoint import RunFolder, default_run
from hiddenstate.training.loop import fit
from hiddenstate.training.machine import detect_machine
from hiddenstate.training.settings import RunFile, TrainConfig, format_setting
from hiddenstate.training.task import Epoch, OnProgress, Task

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


StrPath = str | os.PathLike[str]
C = TypeVar("C", bound=TrainConfig)
K = TypeVar("K", bound=Task[Any])
R = TypeVar("R")


def run_task(
    make: Callable[[RunFile[C]], K],
    finish: Callable[[K, Path, tuple[Epoch, ...]], R],
    wanted: RunFile[C],
    run: StrPath | None,
    *,
    resume: bool,
    on_progress: OnProgress,
) -> R:
    """Execute a run file of any kind: ``make`` its task, train, and ``finish`` with the best model's folder."""
    out = Path(wanted.files["out"])
    run_folder = RunFolder(run or default_run(out))
    # The folder is locked before anything is repaired, and until the model is finished.
    with detect_machine(wanted.settings) as machine, run_folder.held(machine):
        machine.once(partial(_make_way, out))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(wanted.settings.seed)
            task = make(wanted)
        machine.once(run_folder.mend if resume else partial(run_folder.begin, wanted.to_toml()))
        history = fit(task, run_folder, out, machine, resume=resume, on_progress=on_progress)
        return machine.once(lambda: finish(task, out, history))


def _make_way(out: Path) -> None:
    """Clean up after an earlier run at the destination; reject one that can't be written or has other files."""
    mend_folder(out)
    check_folder_place(folder.check_target(out), is_replaced=True)


def describe_origin(wanted: RunFile[C]) -> Origin:
    """Return the origin of a run's model for its card: names of files, without their folders."""
    names = {name: Path(wanted.files[name]).name for name in ("train", "dev", "test") if wanted.files[name]}
    teachers, untagged = (tuple(Path(path).name for path in wanted.lists.get(n, ())) for n in ("teacher", "untagged"))
    start = Path(wanted.files.get("start", "")).name
    return Origin(**names, **wanted.about, teachers=teachers, untagged=untagged, start=start)
