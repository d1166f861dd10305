"""Runs parts of a long computation side by side, each in one thread.

Several threads inside one product or one decomposition wait for one another many times. On a machine that others use
too, eigenvalues of 1,024 numbers take tens of times as long so. Threads that share nothing wait only for the last.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.scoped import Block

A = TypeVar("A")
B = TypeVar("B")

# How many threads torch gives to a new thread is one number for the process, and a worker can't change its own without
# it: the number is put back as soon as the workers have theirs, and nobody else begins meanwhile.
_beginning = ForkSafeLock()


class SideBySide:
    """As many workers as torch had threads, of one thread each; made by `side_by_side`."""

    def __init__(self, threads: int, workers: ThreadPoolExecutor) -> None:
        self.threads = threads
        self._workers = workers

    def run(self, function: Callable[[A], B], parts: Sequence[A]) -> list[B]:
        """Return a function's result of each part."""
        return list(self._workers.map(function, parts))

    def call(self, function: Callable[..., B], *given: object) -> B:
        """Return what a function gives in one worker."""
        return self._workers.submit(function, *given).result()


@contextmanager
def side_by_side() -> Iterator[SideBySide]:
    """Open a block with workers in which torch computes with one thread each, and with gradients as the caller does."""
    with _beginning.lock:
        threads = torch.get_num_threads()
        workers = ThreadPoolExecutor(threads, "hiddenstate", _with_one_thread, (torch.is_grad_enabled(),))
        with Block(after=partial(torch.set_num_threads, threads)):
            _start(workers, threads)
    with workers:
        yield SideBySide(threads, workers)


def _with_one_thread(has_gradients: bool) -> None:
    torch.get_num_threads()  # a thread takes the process's number when it first asks; it would undo the next line later
    torch.set_num_threads(1)
    torch.set_grad_enabled(has_gradients)


def _start(workers: ThreadPoolExecutor, count: int) -> None:
    """Wait until all workers are there: each keeps one busy until the last has come."""
    together = threading.Barrier(count)
    try:
        for each in [workers.submit(together.wait) for _ in range(count)]:
            each.result()
    except BaseException:
        together.abort()
        workers.shutdown()
        raise
