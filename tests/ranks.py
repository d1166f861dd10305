"""One of several processes that train the small task, started by torchrun: it trains without noise, with noise, and
with noise in two goes, each in its own subfolder of the given folder.
"""

import atexit
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from hiddenstate.errors import HiddenStateError
from hiddenstate.training.checkpoint import RunFolder
from hiddenstate.training.loop import fit
from hiddenstate.training.machine import detect_machine
from hiddenstate.training.task import Epoch, Step
from tasks import CONFIG, Line

STOP_AFTER = 4


def say(text: str) -> None:
    """Write a line in one call, since two processes write to one pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def stop(progress: Step | Epoch) -> None:
    if isinstance(progress, Step) and progress.step == STOP_AFTER:
        raise KeyboardInterrupt


def train(folder: Path, task: Line, *, stops: bool = False, resume: bool = False) -> None:
    run = RunFolder(folder / "run")
    told = stop if stops else lambda progress: None
    try:
        with detect_machine(task.config) as machine:
            if machine.leads and not resume:
                run.begin("")
            fit(task, run, folder / "model", machine, resume=resume, on_progress=told)
    except KeyboardInterrupt:
        say(f"rank {machine.rank} stopped after step {STOP_AFTER}")
    tell_threads()  # a run's groups end with it, however it ends
    weights = {name: value.tolist() for name, value in task.model.state_dict().items()}
    (folder / f"{machine.rank}.json").write_text(json.dumps(weights))


def tell_threads() -> None:
    """Print whether there is a process group, and how many gloo threads there are, on Linux."""
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    groups, threads = int(dist.is_initialized()), sum("gloo" in name for name in names)
    say(f"rank {os.environ['RANK']} leaves {groups} groups, {threads} threads")


def fail() -> None:
    raise OSError("the disk is full")


def main(folder: Path) -> None:
    atexit.register(tell_threads)  # called last: the last machine below stays open until Python ends
    torch.set_num_threads(1)
    config = replace(CONFIG, optimizer="sgd")
    train(folder / "quiet", Line(config, batch=16, noisy=False))
    train(folder / "whole", Line(config, batch=8))
    train(folder / "broken", Line(config, batch=8), stops=True)
    train(folder / "broken", Line(config, batch=8), resume=True)
    try:
        detect_machine(config).once(fail)
    except (OSError, HiddenStateError) as error:
        say(f"rank {os.environ['RANK']}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
