"""Maps a task over shards, here, in processes or on a Dask cluster, with identical results; resumes killed runs."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout

from hiddenstate.base.files import check_folder_place, drop_empty, free_name, left_beside, replace_bytes, sync, writing
from hiddenstate.base.modes import types_of_the_weights
from hiddenstate.base.reading import reading
from hiddenstate.base.scalars import check_int
from hiddenstate.base.scoped import lasting
from hiddenstate.base.validation import optional_package
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.corpus.shards.workers import CallsInOrder, WorkerProcesses, work
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, RunInUseError
from hiddenstate.explain.subject.progress_bar import Progress, reporting

FORMAT = "hiddenstate.shards/1"
MANIFEST, LOCK = "manifest.json", "run.lock"
MOST_WORKERS = 256
MOST_MANIFEST = 1 << 31  # bytes


class ShardTask(Protocol):
    """A task whose result depends only on the shard; it is pickled once per process."""

    def name(self, shard: Shard) -> str:
        """Return the name of the shard's result in the folder."""

    def __call__(self, shard: Shard, place: Path) -> None:
        """Write the shard's result, a file or a folder, to an unused path."""


def run(
    task: ShardTask,
    shards: Sequence[Shard],
    folder: Path,
    described: Mapping[str, Any],
    *,
    workers: int = 1,
    client: Any = None,
    progress: Progress | bool | None = None,
) -> int:
    """Write the missing results of shards to a folder, in processes or on a Dask cluster; return their number.

    ``described`` is everything else that the results depend on, ready for JSON. The cluster's workers see the files and
    the folder under the same paths, and should have one thread each.
    """
    workers = check_workers(workers, client)
    with claimed(folder, shards, described):
        return map_shards(task, shards, folder, workers=workers, client=client, progress=progress)


def check_workers(workers: int, client: Any) -> int:
    """Return the number of processes, after checking that it and the client can run a task."""
    workers = check_int("workers", workers)
    if not 1 <= workers <= MOST_WORKERS:
        raise ArgumentError(f"workers must be in 1..{MOST_WORKERS}, got {workers}")
    if client is not None and not callable(getattr(client, "scatter", None)):
        raise ArgumentTypeError(f"client must be a distributed.Client, got {type(client).__name__}")
    return workers


@contextmanager
def claimed(folder: Path, shards: Sequence[Shard], described: Mapping[str, Any]) -> Iterator[None]:
    """Lock a folder, which is created if necessary, for the results of some shards; see `run`."""
    check_folder_place(folder, is_replaced=False)
    with writing(folder):
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except BaseException:
            drop_empty(missing)
            raise
        try:
            with FileLock(folder / LOCK, timeout=0.5):
                _begin(folder, shards, described)
                yield
        except Timeout:
            raise RunInUseError(
                f"{folder} is in use: another process writes there; wait for it, or choose a different folder"
            ) from None


def discard(folder: Path, names: Sequence[str]) -> None:
    """Delete results from a claimed folder with their manifest, and the folder if nothing else is in it."""
    for name in (*names, MANIFEST):
        drop(folder / name)
    if [path.name for path in folder.iterdir()] == [LOCK]:
        with suppress(OSError):  # Windows deletes no open file
            (folder / LOCK).unlink()
            folder.rmdir()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder that `run` wrote."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileFormatError(f"{folder} is not a folder of shards: {MANIFEST} is missing")
    with reading(path):
        if path.stat().st_size > MOST_MANIFEST:
            raise FileFormatError("it is larger than any manifest")
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise FileFormatError(f"expected the format {FORMAT!r}")
        return data


def _begin(folder: Path, shards: Sequence[Shard], described: Mapping[str, Any]) -> None:
    """Write the manifest, or compare it with the existing one; delete leftovers of a killed run."""
    data = json.loads(json.dumps({"format": FORMAT, **described, "shards": [*map(asdict, shards)]}))
    if (folder / MANIFEST).exists():
        there = read_manifest(folder)
        differing = sorted(key for key in {*there, *data} if there.get(key) != data.get(key))
        if differing:
            differing = [key for key in differing if key != "shards"] or differing  # other files have other shards
            raise ArgumentError(
                f"{folder} holds other results, which differ in {', '.join(differing)}: choose another folder, or "
                "delete this one"
            )
    else:
        for path in left_beside(folder / MANIFEST, "part"):
            path.unlink(missing_ok=True)
        others = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
        if others:
            raise ArgumentError(f"{folder} holds {others[0]!r} and no {MANIFEST}: choose an empty or new folder")
        replace_bytes(folder / MANIFEST, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode())
    for path in (*folder.glob(".*.partial"), *folder.glob(f"*.{'[0-9a-f]' * 16}.part")):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def map_shards(
    task: ShardTask,
    shards: Sequence[Shard],
    folder: Path,
    *,
    workers: int = 1,
    client: Any = None,
    progress: Progress | bool | None = None,
) -> int:
    """Write the results that are missing into a claimed folder; see `run`."""
    left = [shard for shard in shards if not (folder / task.name(shard)).exists()]
    total = sum(shard.weight for shard in shards)
    read = total - sum(shard.weight for shard in left)
    if client is not None:
        finished = _on_cluster(task, left, folder, client)
    elif workers > 1 and len(left) > 1:
        finished = _in_processes(task, left, folder, min(workers, len(left)))
    else:
        finished = _here(task, left, folder)
    with reporting(progress, unit="bytes") as report:
        for shard in finished:
            read += shard.weight
            if report is not None:
                report(read, total)
    return len(left)


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


def _here(task: ShardTask, shards: Sequence[Shard], folder: Path) -> Iterator[Shard]:
    for shard in shards:
        process(task, shard, folder)
        yield shard


def _processing(task: ShardTask, folder: Path) -> Callable[[Shard], None]:
    return partial(process, task, folder=folder)


def _in_processes(task: ShardTask, shards: Sequence[Shard], folder: Path, workers: int) -> Iterator[Shard]:
    pool = WorkerProcesses(workers, _processing, task, folder)
    calls, written = CallsInOrder[None](pool, 2 * workers), iter(shards)
    try:
        for shard in shards:
            calls.submit(work, shard)
            yield from (next(written) for _ in calls.finished(wait=False))
        yield from (next(written) for _ in calls.finished(wait=True))
    except BrokenProcessPool as error:
        raise RunInUseError(
            f"a worker process died, perhaps for lack of memory; nothing in {folder} is lost: run it again, with fewer "
            "workers if memory is short, to continue"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _on_cluster(task: ShardTask, shards: Sequence[Shard], folder: Path, client: Any) -> Iterator[Shard]:
    distributed = optional_package("distributed", "cluster", "running on a cluster")
    sent = client.scatter(task, broadcast=True, hash=False)
    # Workers may have a different working directory, so they get absolute paths.
    paths = {shard.path: str(Path(shard.path).absolute()) if shard.path else "" for shard in shards}
    # If a worker dies, the scheduler gives its shards to other workers.
    futures = {
        client.submit(process, sent, replace(shard, path=paths[shard.path]), folder.absolute(), pure=False): shard
        for shard in shards
    }
    try:
        for future in distributed.as_completed(list(futures)):
            future.result()
            yield futures[future]
    finally:
        client.cancel(list(futures))
