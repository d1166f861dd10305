"""Processes one shard in a worker process: the task writes its result under a temporary name, which is then renamed."""

import shutil
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from hiddenstate.base.files import free_name, sync
from hiddenstate.base.modes import types_of_the_weights
from hiddenstate.base.scoped import lasting
from hiddenstate.base.writing import writing
from hiddenstate.corpus.shards.plan import Shard


class ShardTask(Protocol):
    """A task to run on every shard. It is pickled once for each worker process.

    Its result depends only on the shard, never on the process, on other shards or on their order.
    """

    def name(self, shard: Shard) -> str:
        """Return the name of the shard's result in the folder."""

    def __call__(self, shard: Shard, place: Path) -> None:
        """Write the shard's result, a file or a folder, to an unused path."""


@types_of_the_weights()
def process(task: ShardTask, shard: Shard, folder: Path) -> None:
    """Write the result of one shard, unless it exists; in one thread, so that the result is the same everywhere."""
    target = folder / task.name(shard)
    if target.exists():
        return
    beside, threads = free_name(target, "partial"), torch.get_num_threads()
    with (
        writing(target),
        lasting(partial(torch.set_num_threads, 1), partial(torch.set_num_threads, threads)),
        lasting(lambda: None, partial(drop, beside)),
    ):
        task(shard, beside)
        for path in [*beside.rglob("*"), beside] if beside.is_dir() else [beside]:
            sync(path)
        if not target.exists():  # a scheduler may have given a shard to two workers
            beside.rename(target)
            sync(folder)


def drop(path: Path) -> None:
    """Delete the result of a shard, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_mine: "tuple[ShardTask, Path] | None" = None  # set in processes that `run` started


def start(task: ShardTask, folder: Path) -> None:
    """Prepare a process."""
    global _mine
    _mine = task, folder


def process_mine(shard: Shard) -> None:
    """Write the result of one shard in a process that `start` has prepared."""
    assert _mine is not None
    task, folder = _mine
    process(task, shard, folder)
