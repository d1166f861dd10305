"""Runs the parts of a long computation in parallel, each in one thread.

Threads that share one matrix product or decomposition wait for each other many times. On a busy machine, that makes
the eigenvalues of a state of 1,024 numbers tens of times slower. Independent threads wait only for the last one.
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

# The number of torch threads for a new thread is global to the process, and a worker cannot change its own without
# # changing that: it is restored as soon as all workers have started, and a lock keeps others from starting meanwhile.
_beginning = ForkSafeLock()


class SideBySide:
    """As many single-threaded workers as torch had threads; made by `side_by_side`."""

    def __init__(self, threads: int, workers: ThreadPoolExecutor) -> None:
        self.threads = threads
        self._workers = workers

    def run(self, function: Callable[[A], B], parts: Sequence[A]) -> list[B]:
        """Return the function's result for each part."""
        return list(self._workers.map(function, parts))

    def call(self, function: Callable[..., B], *given: object) -> B:
        """Run a function in one worker, and return its result."""
        return self._workers.submit(function, *given).result()


@contextmanager
def side_by_side() -> Iterator[SideBySide]:
    """Open a block with workers in which torch uses one thread each, and the caller's gradient mode."""
    with _beginning.lock:
        threads = torch.get_num_threads()
        workers = ThreadPoolExecutor(threads, "hiddenstate", _with_one_thread, (torch.is_grad_enabled(),))
        with Block(after=partial(torch.set_num_threads, threads)):
            _start(workers, threads)
    with workers:
        yield SideBySide(threads, workers)


def _with_one_thread(has_gradients: bool) -> None:
    torch.get_num_threads()  # a thread's first query reads the global number, which would undo the next line
    torch.set_num_threads(1)
    torch.set_grad_enabled(has_gradients)


def _start(workers: ThreadPoolExecutor, count: int) -> None:
    """Start all workers: each blocks until the last one has started."""
    together = threading.Barrier(count)
    try:
        for each in [workers.submit(together.wait) for _ in range(count)]:
            each.result()
    except BaseException:
        together.abort()
        workers.shutdown()
        raise
