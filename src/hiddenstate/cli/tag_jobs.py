"""Batches of sentences tagged and written out as text, in this process or in several."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Protocol

from hiddenstate.cli.tag_format import Layout
from hiddenstate.text.conllu import Sentence

if TYPE_CHECKING:
    from hiddenstate.models.tagger.tagger import Tagger


@dataclass(frozen=True)
class Job:
    """The job for every batch: the model's folder or name, and the options of `Tagger.tag`."""

    model: str
    n_best: int
    precision: str


class Workers(Protocol):
    """Turns batches into text."""

    def submit(self, sentences: Sequence[Sentence], layout: Layout) -> None:
        """Take a batch."""

    def finished(self, *, all_: bool) -> Iterator[list[str]]:
        """Yield the texts of finished batches in order; with ``all_`` wait for every batch."""


class Here:
    """Tags in this process, one batch at a time."""

    def __init__(self, job: Job) -> None:
        self._tagger, self._job = _loaded(job), job
        self._texts: list[list[str]] = []

    def submit(self, sentences: Sequence[Sentence], layout: Layout) -> None:
        """Tag a batch."""
        self._texts.append(_texts(self._tagger, self._job, sentences, layout))

    def finished(self, *, all_: bool) -> Iterator[list[str]]:
        """Yield the texts of the batches."""
        texts, self._texts = self._texts, []
        yield from texts


class Processes:
    """Tags in other processes, each with its own copy of the model. A context manager."""

    def __init__(self, job: Job, count: int) -> None:
        _loaded(job)  # a broken model is reported here, in one line
        threads = max(1, (os.cpu_count() or 1) // count)
        # A forked process does not inherit torch's threads, so processes are spawned.
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), _start, (job, threads))
        self._running: deque[Future[list[str]]] = deque()
        self._most = 2 * count

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, sentences: Sequence[Sentence], layout: Layout) -> None:
        """Hand a batch to a process."""
        self._running.append(self._pool.submit(_work, sentences, layout))

    def finished(self, *, all_: bool) -> Iterator[list[str]]:
        """Yield the texts of the oldest batches, so that few are in memory."""
        while self._running and (all_ or self._running[0].done() or len(self._running) > self._most):
            yield self._running.popleft().result()


_mine: "tuple[Tagger, Job] | None" = None  # in a process that `Processes` started


def _start(job: Job, threads: int) -> None:
    """Prepare a process: the parent handles Ctrl-C, and the process must not outlive it."""
    global _mine
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    _mine = _loaded(job), job


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(sentences: Sequence[Sentence], layout: Layout) -> list[str]:
    assert _mine is not None
    return _texts(*_mine, sentences, layout)


def _loaded(job: Job) -> "Tagger":
    from hiddenstate.models.folder.model_folder import load

    return load(job.model)


def _texts(tagger: "Tagger", job: Job, sentences: Sequence[Sentence], layout: Layout) -> list[str]:
    taggings = tagger.tag([each.forms for each in sentences], n_best=job.n_best, precision=job.precision)
    return [layout.text(*pair) for pair in zip(sentences, taggings, strict=True)]
