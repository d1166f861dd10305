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

A = TypeVar("A")
B = TypeVar("B")

# How many threads torch gives to a new thread is one number for the process: a block that overlapped another would find
# 1 there, compute with that, and leave it behind. Each has work for all cores, so they take turns.
_one_at_a_time = threading.RLock()


class SideBySide:
    """As many threads as torch had, the caller's among them; made by `side_by_side`."""

    def __init__(self, threads: int, others: ThreadPoolExecutor) -> None:
        self.threads = threads
        self._others = others

    def run(self, function: Callable[[A], B], parts: Sequence[A]) -> list[B]:
        """Return a function's result of each part; the caller's thread runs the first."""
        if not parts:
            return []
        rest = [self._others.submit(function, part) for part in parts[1:]]
        return [function(parts[0]), *(one.result() for one in rest)]


@contextmanager
def side_by_side() -> Iterator[SideBySide]:
    """Open a block in which torch computes with one thread in each of its own."""
    with _one_at_a_time:
        threads = torch.get_num_threads()
        one = partial(torch.set_num_threads, 1)
        one()
        try:
            with ThreadPoolExecutor(max(1, threads - 1), "hiddenstate", one) as others:
                yield SideBySide(threads, others)
        finally:
            torch.set_num_threads(threads)
