"""Processes that leave Ctrl-C to their parent, and calls with results in order. Does not import torch."""

import _thread
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class WorkerProcesses(ProcessPoolExecutor):
    """A pool of processes, in each of which ``prepare(*arguments)`` makes the function that `work` calls."""

    def __init__(self, count: int, prepare: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        # A forked process does not inherit torch's threads, so processes are spawned.
        super().__init__(count, get_context("spawn"), _start, (prepare, arguments))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit from a thread that blocks Ctrl-C: the process inherits this, and its start can't be interrupted."""
        answers = queue.SimpleQueue[Future[R] | BaseException]()
        _thread.start_new_thread(_answer, (answers, partial(super().submit, fn, *args, **kwargs)))
        answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _answer(answers: "queue.SimpleQueue[Any]", submit: Callable[[], object]) -> None:
    try:
        if hasattr(signal, "pthread_sigmask"):  # not on Windows
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        answers.put(submit())
    except BaseException as error:
        answers.put(error)


def _start(prepare: Callable[..., Callable[..., Any]], arguments: tuple[Any, ...]) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = prepare(*arguments)


_work: Callable[..., Any] | None = None  # set in worker processes


def work(*arguments: Any) -> Any:
    """Call the function that was prepared in this process."""
    assert _work is not None
    return _work(*arguments)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class CallsInOrder(Generic[R]):
    """Calls that run in a pool, with their results in the order of the calls, so that few are in memory."""

    def __init__(self, pool: Executor, most: int) -> None:
        self._pool, self._most = pool, most
        self._running: deque[Future[R]] = deque()

    def submit(self, function: Callable[..., R], *arguments: Any) -> None:
        """Submit a call."""
        self._running.append(self._pool.submit(function, *arguments))

    def finished(self, *, wait: bool) -> Iterator[R]:
        """Yield finished results, oldest first, waiting until few calls are left or, with ``wait``, none."""
        while self._running and (wait or self._running[0].done() or len(self._running) > self._most):
            yield self._running.popleft().result()
