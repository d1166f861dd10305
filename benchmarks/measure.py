"""Timing by turns: other load on the machine affects all contestants equally; figures are medians."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from contestants import Contestant

FEWEST_TURNS = 7
FEWEST_SLOW_TURNS = 5
# A contestant this many times slower than the first takes the fewest turns, and leaves the time to the others.
SLOW = 20
# Before a turn, this many untimed runs wake threads and warm caches.
WARMING = 4


class Pace(NamedTuple):
    """How turns follow one another, in seconds.

    Attributes:
        turn: short runs are repeated for this long in a turn, so that the clock's own cost is negligible.
        pause: before each turn; in it, the spinning threads of the previous contestant fall asleep.
    """

    turn: float = 0.1
    pause: float = 0.01


PACE = Pace()


class Taker(Protocol):
    """A participant: a contestant in this process, or a worker, which has one in its own process."""

    def turn(self, pace: Pace) -> float:
        """Return the seconds of one run of the work; before the first turn, warm up.

        Raises:
            LostError: the participant is gone.
        """


class LostError(Exception):
    """A participant died, hung or failed; the message says which and how."""


class Turns:
    """A contestant in this process, as a participant."""

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


def take_turns(
    takers: Sequence[Taker],
    seconds: float,
    pace: Pace,
    lost: list[str],
    of_turns: Callable[[list[float]], float] = statistics.median,
) -> list[float | None]:
    """Median seconds of one run of each, over turns taken for ``seconds`` in all, or until each had the minimum.

    A participant that is lost gets None, and ``lost`` is called with the reason. Without the first, to which others are
    compared, all get None. ``of_turns`` may replace the median.
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
    return [of_turns(times[k]) if {0, k} <= going else None for k in range(len(takers))]


def _has_had_enough(measured: Sequence[float], first: Sequence[float]) -> bool:
    return len(measured) >= FEWEST_SLOW_TURNS and statistics.median(measured) > SLOW * statistics.median(first)


def _repeats(contestant: Contestant, pace: Pace) -> int:
    """How many runs fill a turn, determined by runs that also warm up."""
    repeat = 1
    while (lasted := repeat * (_timed(contestant, repeat) + contestant.idle)) < pace.turn / WARMING:
        repeat *= 2
    return max(1, int(repeat * pace.turn / lasted))


def _timed(contestant: Contestant, repeat: int) -> float:
    """Seconds per run, the mean of several; waits between them are not included."""
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
