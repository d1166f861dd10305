"""Timing by turns: what else the machine does falls on all contestants alike; figures are medians."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from contestants import Contestant

FEWEST_TURNS = 7
FEWEST_SLOW_TURNS = 5
# A contestant so many times slower than the first takes the fewest turns, and leaves the time to the others.
SLOW = 20


class Pace(NamedTuple):
    """How turns follow one another, in seconds.

    Attributes:
        turn: short runs are repeated for so long in a turn, so that the clock's own cost is nothing beside them.
        pause: before each turn; the threads of whoever ran before spin for a while in the hope of more work, and fall
            asleep in it.
    """

    turn: float = 0.005
    pause: float = 0.01


PACE = Pace()


def medians(contestants: Sequence[Contestant], seconds: float, pace: Pace = PACE) -> list[float]:
    """Median seconds of one run of each, over turns taken for ``seconds`` in all, or until each had the fewest."""
    repeats = [_repeats(contestant, pace) for contestant in contestants]
    times: list[list[float]] = [[] for _ in contestants]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < FEWEST_TURNS:
        for contestant, repeat, measured in zip(contestants, repeats, times, strict=True):
            if not _has_had_enough(measured, times[0]):
                measured.append(_turn(contestant, repeat, pace))
    return [
        statistics.median(measured) * contestant.scale for contestant, measured in zip(contestants, times, strict=True)
    ]


def _has_had_enough(measured: Sequence[float], first: Sequence[float]) -> bool:
    return len(measured) >= FEWEST_SLOW_TURNS and statistics.median(measured) > SLOW * statistics.median(first)


def _repeats(contestant: Contestant, pace: Pace) -> int:
    return max(1, int(pace.turn / min(_timed(contestant, 1) for _ in range(2))))


def _turn(contestant: Contestant, repeat: int, pace: Pace) -> float:
    time.sleep(pace.pause)
    if repeat > 1:  # a first run wakes threads and brings memory near, which is no part of a short run's time
        contestant.run()
    seconds = _timed(contestant, repeat)
    time.sleep(contestant.rest)
    return seconds


def _timed(contestant: Contestant, repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        contestant.run()
    return (time.perf_counter() - start) / repeat
