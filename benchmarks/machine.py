"""The machine on which figures are measured."""

import os
import platform
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import torch

import hiddenstate as hs
from hiddenstate.engine import kernels

STAT = Path("/proc/stat")
# Fields of its first line: the ticks that all cores spent in user, nice, system, irq, softirq and stolen by a host.
BUSY_FIELDS = (1, 2, 3, 6, 7, 8)
# Above this share of the machine, other processes affect the figures.
DISTURBING = 0.1
PACKAGES = ("torch", "onnxruntime", "openvino")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that torch, and therefore our engine, uses."""
    return torch.get_num_threads()


def described() -> list[str]:
    """The machine and the relevant versions, in a few lines."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"{cpu_model()}, {cores()} cores, {threads()} threads, {platform.system()}",
        f"Instruction sets: {' '.join(kernels.cpu_features()) or 'not known'}; our engine runs {kernels.isa()}",
        f"hiddenstate {hs.__version__}, Python {platform.python_version()}, {versions}",
    ]


class Watch:
    """The share of the machine that other processes take, from the moment it is created.

    Turns and medians do not help against constant load: threads that wait for one another then wait for the
    scheduler, and a contestant of one thread looks hundreds of times as fast as one of two.

    Args:
        pids: processes that count as ours, besides this one and its children that have ended.
    """

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = tuple(pids)
        self._busy, self._own, self._wall = _busy_seconds(), self._own_seconds(), time.perf_counter()

    def others(self) -> float | None:
        """Their share of all cores' time, or None if the system does not report it."""
        if self._busy is None or (busy := _busy_seconds()) is None:
            return None
        taken = (busy - self._busy) - (self._own_seconds() - self._own)
        return max(0.0, taken / (cores() * (time.perf_counter() - self._wall)))

    def warning(self) -> str | None:
        """The warning if others disturb, or None."""
        others = self.others()
        return f"others took {others:.0%} of the machine" if others is not None and others > DISTURBING else None

    def _own_seconds(self) -> float:
        """Seconds for which the cores have worked for our processes."""
        return sum(os.times()[:4]) + sum(map(_seconds_of, self._pids))


def _busy_seconds() -> float | None:
    """Seconds for which the cores have worked in total."""
    if not STAT.exists():
        return None
    ticks = STAT.read_text().split("\n", 1)[0].split()
    return sum(int(ticks[k]) for k in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")


def _seconds_of(pid: int) -> float:
    """Seconds for which they have worked for a process; 0 once it has ended, or if the system does not report it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def cpu_model() -> str:
    """The processor's name, with the numbers of its model: on rented machines several generations share a name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n\n", 1)[0].splitlines() if cpuinfo.exists() else []
    of = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = of.get("model name") or platform.processor() or kernels.machine()
    return f"{name} (family {of['cpu family']}, model {of['model']})" if {"cpu family", "model"} <= of.keys() else name
