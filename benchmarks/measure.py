"""Timing by turns: what else the machine does falls on all contestants alike; figures are medians."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from contestants import Contestant

FEWEST_TURNS = 7
FEWEST_SLOW_TURNS = 5
# A contestant so many times slower than the first takes the fewest turns, and leaves the time to the others.
SLOW = 20
# Before a turn of so many runs comes one that is not timed: they wake threads, and bring memory near.
WARMING = 4


class Pace(NamedTuple):
    """How turns follow one another, in seconds.

    Attributes:
        turn: short runs are repeated for so long in a turn, so that the clock's own cost is nothing beside them.
        pause: before each turn; the threads of whoever ran before spin for a while in the hope of more work, and fall
            asleep in it.
    """

    turn: float = 0.1
    pause: float = 0.01


PACE = Pace()


class Taker(Protocol):
    """Who takes turns: a contestant of this process, or a worker, which has one in a process of its own."""

    def turn(self, pace: Pace) -> float:
        """Return the seconds of one run of the work; before the first turn, warm up.

        Raises:
            LostError: whoever it is, is no longer there.
        """


class LostError(Exception):
    """One of those who take turns died, hangs or broke off: its message says who, and how."""


class Turns:
    """A contestant of this process, as one who takes turns."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant, self._repeat = contestant, 0

    def turn(self, pace: Pace) -> float:
        self._repeat = self._repeat or _repeats(self._contestant, pace)
        time.sleep(pace.pause)
        if self._repeat > 1:
            _timed(self._contestant, max(1, self._repeat // WARMING))
        seconds = _timed(self._contestant, self._repeat)
        time.sleep(self._contestant.rest)
        return seconds * self._contestant.scale


def medians(contestants: Sequence[Contestant], seconds: float, pace: Pace = PACE) -> list[float]:
    """Median seconds of one run of each of these, all in this process; see `take_turns`."""
    times = take_turns([Turns(contestant) for contestant in contestants], seconds, pace, [])
    return [median for median in times if median is not None]


def take_turns(takers: Sequence[Taker], seconds: float, pace: Pace, lost: list[str]) -> list[float | None]:
    """Median seconds of one run of each, over turns taken for ``seconds`` in all, or until each had the fewest.

    Who is lost meanwhile has None, and ``lost`` is told why. Without the first, which others are held to, all have.
    """
    times: list[list[float]] = [[] for _ in takers]
    going = set(range(len(takers)))
    end = time.perf_counter() + seconds
    while 0 in going and (time.perf_counter() < end or len(times[0]) < FEWEST_TURNS):
        for k in sorted(going):
            if _has_had_enough(times[k], times[0]):
                continue
            try:
                times[k].append(takers[k].turn(pace))
            except LostError as reason:
                lost.append(str(reason))
                going.remove(k)
    return [statistics.median(times[k]) if {0, k} <= going else None for k in range(len(takers))]


def _has_had_enough(measured: Sequence[float], first: Sequence[float]) -> bool:
    return len(measured) >= FEWEST_SLOW_TURNS and statistics.median(measured) > SLOW * statistics.median(first)


def _repeats(contestant: Contestant, pace: Pace) -> int:
    """How many runs fill a turn, found by runs that warm up as well."""
    repeat = 1
    while (lasted := repeat * (_timed(contestant, repeat) + contestant.idle)) < pace.turn / WARMING:
        repeat *= 2
    return max(1, int(repeat * pace.turn / lasted))


def _timed(contestant: Contestant, repeat: int) -> float:
    """Seconds of a run, the mean of so many; what it waits between them is not among them."""
    if contestant.idle:
        return sum(_after(contestant.idle, contestant) for _ in range(repeat)) / repeat
    start = time.perf_counter()
    for _ in range(repeat):
        contestant.run()
    return (time.perf_counter() - start) / repeat


def _after(seconds: float, contestant: Contestant) -> float:
    time.sleep(seconds)
    start = time.perf_counter()
    contestant.run()
    return time.perf_counter() - start
