"""Measures the slow-down when every core is also busy with something else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import layers
import machine
from measure import Pace, take_turns
from regime import Regime, entered
from report import Column, Part, Row, Table, as_ratio, as_share, in_microseconds, microseconds
from shapes import Shape
from speed import Notes

# Ends by itself when the process that started it is gone.
BUSY_LOOP = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
# Without pauses, and for longer than a time slice: a process that sleeps is scheduled first, unlike real work.
STEADY = Pace(turn=0.2, pause=0)

REGIMES = (
    Regime("stream, one step", Shape(1, 1, 128), (layers.ours_stream, layers.torch_stream)),
    Regime("sequence", Shape(100, 1, 128), (layers.ours, layers.torch_no_grad)),
    Regime("batch", Shape(64, 64, 128, 2), (layers.ours, layers.torch_no_grad)),
    Regime("forward + backward", Shape(64, 64, 128, 2), (layers.ours_training, layers.torch_training)),
)
COLUMNS = (
    Column("alone_us", "alone, µs", in_microseconds),
    Column("beside_us", "beside, µs", in_microseconds),
    Column("slower", "slower", as_ratio),
    Column("others", "others, alone", as_share),
)


def table(notes: Notes) -> Table:
    """Measure these regimes, and note the contestants that were left out."""
    parts = [Part(regime.name, partial(_measure, regime, notes)) for regime in REGIMES]
    return Table("company", f"Beside {machine.cores()} busy loops, one a core", COLUMNS, parts)


def _measure(regime: Regime, notes: Notes, seconds: float) -> list[Row]:
    """Figures of ours and torch's, alone and in company."""
    with entered(regime) as found:
        watch = machine.Watch(worker.pid for worker in found.contestants)
        alone = take_turns(found.contestants, seconds, STEADY, found.lost)
        others = watch.others()
        with busy_cores():
            beside = take_turns(found.contestants, seconds, STEADY, found.lost)
    notes.add(regime, found)
    return [
        {
            "regime": regime.name,
            "contestant": worker.name,
            "alone_us": microseconds(before),
            "beside_us": microseconds(after),
            "slower": after / before,
            "others": others,
        }
        for worker, before, after in zip(found.contestants, alone, beside, strict=True)
        if before is not None and after is not None
    ]


@contextmanager
def busy_cores() -> Iterator[None]:
    """Run a busy process on each core."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY_LOOP]) for _ in range(machine.cores())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
