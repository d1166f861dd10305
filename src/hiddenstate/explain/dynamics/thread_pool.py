"""Runs parts of a computation in one thread each: threads that share a product wait for each other."""

import _thread
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.scoped import Block

A = TypeVar("A")
B = TypeVar("B")

# The number of torch threads that a new thread gets is global to the process, and a worker can't change its own number
# without changing the global one. The global number is restored as soon as all workers have started; a lock keeps other
# pools from starting meanwhile.
_beginning = ForkSafeLock()


class SideBySide:
    """Single-threaded workers, and queues written in C alone, because others stay locked if Ctrl-C strikes."""

    def __init__(self) -> None:
        self.threads = 0
        self._process = os.getpid()
        self._orders = queue.SimpleQueue[Any]()  # functions; None ends a worker
        self._begun, self._ended = list[None](), list[None]()  # one entry for each worker
        self._is_over = False

    def run(self, function: Callable[[A], B], parts: Sequence[A]) -> list[B]:
        """Return the function's result for each part, or raise the first exception."""
        answers = queue.SimpleQueue[tuple[int, Any, BaseException | None]]()
        for k, part in enumerate(parts):
            self._orders.put(partial(_answer, answers, k, function, part))
        results: dict[int, B] = {}
        while len(results) < len(parts):
            k, result, error = answers.get()
            if error is not None:
                raise error
            results[k] = result
        return [results[k] for k in range(len(parts))]

    def call(self, function: Callable[..., B], *arguments: object) -> B:
        """Run a function in one worker, and return its result."""
        return self.run(lambda _: function(*arguments), [None])[0]

    def start(self) -> None:
        """Start all workers, and wait until the last one has started."""
        ready, has_gradients = queue.SimpleQueue[None](), torch.is_grad_enabled()
        for _ in range(self.threads):
            _thread.start_new_thread(self._work, (ready, has_gradients))
        for _ in range(self.threads):
            ready.get()

    def end(self) -> None:
        """End all workers after they finish what they are computing; later calls do nothing."""
        self._is_over = True
        for _ in range(self.threads):
            self._orders.put(None)
        while len(self._ended) < len(self._begun) and os.getpid() == self._process:  # a forked child has no workers
            time.sleep(1e-4)

    def _work(self, ready: "queue.SimpleQueue[None]", has_gradients: bool) -> None:
        self._begun.append(None)
        try:
            torch.get_num_threads()  # a thread's first query reads the global number, which would undo the next line
            torch.set_num_threads(1)
            torch.set_grad_enabled(has_gradients)
            ready.put(None)
            while (order := self._orders.get()) is not None and not self._is_over:
                order()
        finally:
            self._ended.append(None)


def _answer(answers: "queue.SimpleQueue[Any]", k: int, function: Callable[[A], B], part: A) -> None:
    try:
        answers.put((k, function(part), None))
    except BaseException as error:
        answers.put((k, None, error))


@contextmanager
def side_by_side() -> Iterator[SideBySide]:
    """Return a context manager with workers; each runs torch in one thread and with the caller's gradient mode."""
    workers = SideBySide()
    with Block(after=workers.end):
        with _beginning.lock:
            workers.threads = torch.get_num_threads()
            with Block(after=partial(torch.set_num_threads, workers.threads)):
                workers.start()
        yield workers
