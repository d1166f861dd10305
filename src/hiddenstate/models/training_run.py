"""One run that trains a model of any kind, from its run file to its folder, and the model card that describes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from hiddenstate.base.files import check_folder_place, mend_folder
from hiddenstate.errors import ArgumentError
from hiddenstate.models.model_folder import Loaded as N
from hiddenstate.models.model_folder import check_target, load_as, save
from hiddenstate.training.checkpoint import RunFolder, default_run
from hiddenstate.training.loop import fit
from hiddenstate.training.settings import RunFile, StrPath, TrainConfig, format_setting
from hiddenstate.training.task import Epoch, OnProgress, Task, best_epoch

C = TypeVar("C", bound=TrainConfig)
M = TypeVar("M")  # the type of the measurements
R = TypeVar("R", covariant=True)  # the type of the result


@dataclass(frozen=True)
class Origin:
    """A model's origin, for its card: names without parents, ``teachers`` of ``untagged`` files, and its ``start``."""

    train: str
    dev: str = ""
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
    """The epoch kept, of how many, and its measurements, for a card that may not be ``finished``."""

    epoch: int
    epochs: int
    finished: bool
    dev: M
    test: M | None = None


def page(name: str, sections: Mapping[str, str]) -> str:
    """Assemble sections, given by heading, under a title."""
    body = "".join(f"\n## {heading}\n\n{text}\n" for heading, text in sections.items())
    return f"# {name}\n{body}"


def table(text: str, head: str, rows: Sequence[str]) -> str:
    """Write a text with a table below it."""
    return "\n".join([text, "", head, "|" + "---|" * (head.count("|") - 1), *rows])


def data_section(origin: Origin) -> str:
    """Describe the data that a model was trained and measured on."""
    files = [f"trained on `{origin.train}`"]
    if origin.start:
        files[0] += f", starting from the weights of `{origin.start}`"
    if origin.teachers:
        teachers, untagged = (", ".join(f"`{name}`" for name in names) for names in (origin.teachers, origin.untagged))
        mean = "the mean probabilities of" if len(origin.teachers) > 1 else "the probabilities of"
        files.append(f"distilled from {mean} {teachers} on that data{f' and on {untagged}' if untagged else ''}")
    files.append(f"best epoch chosen on `{origin.dev}`")
    if origin.test:
        files.append(f"tested on `{origin.test}`, which was not used for training or selection")
    listed = "; ".join(files)
    text = f"{listed[0].upper()}{listed[1:]}."
    return f"{origin.about_data}\n\n{text}" if origin.about_data else text


def training_section(config: TrainConfig, origin: Origin, outcome: Outcome[Any]) -> str:
    """Describe how a model was trained: seed, epochs, command, settings."""
    state = "" if outcome.finished else " Training had not finished when this was written."
    text = f"Seed {config.seed}. Epoch {outcome.epoch} of {outcome.epochs} was kept.{state}"
    if origin.command:
        text += f"\n\n```\n{origin.command}\n```"
    settings = ", ".join(f"{name} {format_setting(value)}" for name, value in asdict(config).items())
    return f"{text}\n\nSettings: {settings}."


class ModelTask(Generic[C, N, M, R]):
    """What tasks share; ``card`` writes Markdown; ``result`` takes the run's history, best epoch and measurements."""

    model: N
    dev: M  # the measurements of the last evaluation

    def __init__(
        self,
        wanted: RunFile[C],
        card: Callable[[str, N, Origin, Outcome[M]], str],
        result: Callable[[tuple[Epoch, ...], Epoch, M, M | None], R],
    ) -> None:
        self.config, self.wanted, self._result = wanted.settings, wanted, result
        self._card: Callable[[str, N, Origin, Outcome[M]], str] = card

    def state(self) -> Mapping[str, Tensor]:
        """Return the state that is carried from batch to batch: none, if batches are independent."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore that state."""

    def calibrate(self, model: N) -> None:
        """Fit what depends on the dev data to the weights as they are stored."""

    def measure(self, model: N, part: str) -> M | None:
        """Measure a model on a part of the data, ``dev`` or ``test``; return None if there is no such part."""
        raise NotImplementedError

    def save_model(self, folder: Path, history: Sequence[Epoch]) -> None:
        """Write the model just measured."""
        self.write(folder, self.model, Outcome(history[-1].last.epoch, len(history), False, self.dev))

    def write(self, folder: Path, model: N, outcome: Outcome[M]) -> None:
        """Write a model with its card."""
        save(model, folder, self._card(folder.resolve().name, model, describe_origin(self.wanted), outcome))

    def finish(self, folder: Path, history: tuple[Epoch, ...]) -> R:
        """Measure the best model as rounded on disk, and write the result into its card."""
        best, stored = best_epoch(history), load_as(type(self.model), folder)
        self.calibrate(stored)
        dev, test = self.measure(stored, "dev"), self.measure(stored, "test")
        assert dev is not None
        self.write(folder, stored, Outcome(best.last.epoch, len(history), True, dev, test))
        return self._result(history, best, dev, test)


class RunnableTask(Task[Any], Protocol[R]):
    """A task that can finish its model."""

    def finish(self, folder: Path, history: tuple[Epoch, ...]) -> R:
        """Measure the best model in the folder, and return the run's result."""


def run_task(
    make: Callable[[RunFile[C]], RunnableTask[R]],
    wanted: RunFile[C],
    run: StrPath | None = None,
    *,
    resume: bool = False,
    on_progress: OnProgress = lambda progress: None,
) -> R:
    """Execute a run file of any kind: ``make`` its task, train, and finish the best model."""
    out = Path(wanted.files["out"])
    run_folder = RunFolder(run or default_run(out))
    # The folder is locked before anything is repaired, and until the model is finished.
    with run_folder.held():
        mend_folder(out)
        check_folder_place(check_target(out), is_replaced=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(wanted.settings.seed)
            task = make(wanted)
        run_folder.mend() if resume else run_folder.begin(wanted.to_toml())
        history = fit(task, run_folder, out, resume=resume, on_progress=on_progress)
        return task.finish(out, history)


def describe_origin(wanted: RunFile[C]) -> Origin:
    """Return the origin of a run's model for its card: names of files, without their folders."""
    files = {"train": wanted.files.get("data", ""), **wanted.files}  # the parts of a series are in one file
    names = {name: Path(files[name]).name for name in ("train", "dev", "test") if files.get(name)}
    teachers, untagged = (tuple(Path(path).name for path in wanted.lists.get(n, ())) for n in ("teacher", "untagged"))
    start = Path(wanted.files.get("start", "")).name
    return Origin(**names, **wanted.about, teachers=teachers, untagged=untagged, start=start)
