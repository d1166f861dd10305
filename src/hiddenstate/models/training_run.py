"""One run that trains a model of any kind: from its run file to its folder."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from hiddenstate.base.files import check_folder_place, mend_folder
from hiddenstate.models.card_data import Origin
from hiddenstate.models.folder import model_folder as folder
from hiddenstate.training.checkpoint import RunFolder, default_run
from hiddenstate.training.config import TrainConfig
from hiddenstate.training.loop import fit
from hiddenstate.training.machine import detect_machine
from hiddenstate.training.progress import Epoch, OnProgress
from hiddenstate.training.run_file import RunFile
from hiddenstate.training.task import Task

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
