"""Maps a task over shards: in this process, in several, or on a Dask cluster; the results are the same, bit for bit.

Each shard's result is written under a temporary name and renamed, so a killed run loses only the shards in progress,
and the next call with the same arguments resumes it. A manifest in the folder lists everything that the results depend
on.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hiddenstate.base.files import check_folder_place, drop_empty, left_beside, replace_bytes
from hiddenstate.base.reading import reading
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import optional_package
from hiddenstate.base.writing import writing
from hiddenstate.corpus.shards.plan import Shard, shards_to_data
from hiddenstate.corpus.shards.processes import WorkerProcesses
from hiddenstate.corpus.shards.worker import ShardTask, drop, process, process_mine, start
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, RunInUseError
from hiddenstate.explain.subject.progress_bar import Progress, reporting

FORMAT = "hiddenstate.shards/1"
MANIFEST, LOCK = "manifest.json", "run.lock"
MOST_WORKERS = 256
MOST_MANIFEST = 1 << 31  # bytes


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
    """Write the result of every shard into a folder; existing results are kept.

    Args:
        task: what to do with a shard.
        shards: the shards.
        folder: the folder, which is created if necessary.
        described: everything else that the results depend on, ready for JSON: model, settings, files.
        workers: the number of processes, one thread each; 1 runs in this process.
        client: a client of a Dask cluster (`distributed.Client`), whose workers see the files and the folder under the
            same paths. They should have one thread each.
        progress: a callback for the bytes read and their total; True for a bar.

    Returns:
        The number of shards whose results were written.

    Raises:
        ArgumentError: the folder contains other results, or ``workers`` is out of range.
        ArgumentTypeError: the client is of the wrong kind.
        RunInUseError: another process is writing into the folder, or a worker process died.
        FileWriteError: the folder cannot be written.
        MissingDependencyError: a client is given, and distributed is not installed.
    """
    workers = check_workers(workers, client)
    with claimed(folder, shards, described):
        return map_shards(task, shards, folder, workers=workers, client=client, progress=progress)


def check_workers(workers: int, client: Any) -> int:
    """Return the number of processes; arguments and errors are those of `run`."""
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
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except BaseException:
            drop_empty(made)
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
    """Return the manifest of a folder that `run` wrote.

    Raises:
        FileFormatError: the manifest is missing, damaged or of a later version.
    """
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
    data = json.loads(json.dumps({"format": FORMAT, **described, "shards": shards_to_data(shards)}))
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
    """Write the results that are missing into a claimed folder; see `run`, also for what it returns."""
    left = [shard for shard in shards if not (folder / task.name(shard)).exists()]
    total = sum(shard.weight for shard in shards)
    done = total - sum(shard.weight for shard in left)
    if client is not None:
        finished = _on_cluster(task, left, folder, client)
    elif workers > 1 and len(left) > 1:
        finished = _in_processes(task, left, folder, min(workers, len(left)))
    else:
        finished = _here(task, left, folder)
    with reporting(progress, unit="bytes") as report:
        for shard in finished:
            done += shard.weight
            if report is not None:
                report(done, total)
    return len(left)


def _here(task: ShardTask, shards: Sequence[Shard], folder: Path) -> Iterator[Shard]:
    for shard in shards:
        process(task, shard, folder)
        yield shard


def _in_processes(task: ShardTask, shards: Sequence[Shard], folder: Path, workers: int) -> Iterator[Shard]:
    pool = WorkerProcesses(workers, start, task, folder)
    waiting, running = list(reversed(shards)), dict[Future[None], Shard]()
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                shard = waiting.pop()
                running[pool.submit(process_mine, shard)] = shard
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                yield running.pop(future)
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
