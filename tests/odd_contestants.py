"""Misbehaving benchmark contestants; workers find them here by name."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import layers
from contestants import Contestant, MissingPeerError, itself
from measure import Pace
from regime import Regime, made
from shapes import Case, Shape
from workers import Worker


def other_numbers(case: Case) -> Contestant:
    return Contestant("other", lambda: torch.ones(case.shape.T, case.shape.N, 2 * case.shape.H), itself)


def missing(case: Case) -> Contestant:
    raise MissingPeerError("nothing is installed")


def dies_at_once(case: Case) -> Contestant:
    os._exit(1)


def breaks_off(case: Case) -> Contestant:
    raise ValueError("no such shape")


def dies_later(case: Case) -> Contestant:
    return _after_the_first_run("one that dies", case, lambda: os._exit(1))


def hangs_later(case: Case) -> Contestant:
    return _after_the_first_run("one that hangs", case, lambda: time.sleep(3600))


def _after_the_first_run(name: str, case: Case, then: Callable[[], Any]) -> Contestant:
    ours = layers.ours(case)
    first = ours.run()
    runs: list[None] = []

    def run() -> Any:
        runs.append(None)
        return first if len(runs) == 1 else then()

    return Contestant(name, run, itself)


def main() -> None:
    """Print the process id of a worker that hangs, and wait for it."""
    with Worker("worker") as worker:
        worker.begin(partial(made, hangs_later, Regime("", Shape(2, 1, 8), ())))
        worker.entered()
        print(worker.pid, flush=True)
        worker.turn(Pace())


if __name__ == "__main__":
    main()
