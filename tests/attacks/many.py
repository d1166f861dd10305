"""Damaged files, of one format or of all: each must load, or be rejected with one of our errors."""

import os
import re
import time
from dataclasses import dataclass, field

from attacks import hdf5
from attacks.files import read_damaged
from attacks.formats import FORMATS
from attacks.processes import outcome

APART = 10  # one in this many HDF5 files is read in a separate process, as usual
_TRIED, _BATCH = 200, 2000  # files that measure a format's time; files per process


@dataclass
class Count:
    """The outcome for the files of one format."""

    read: int = 0
    refused: int = 0
    crashed: int = 0  # HDF5 files that crash the library, or keep it busy: rejected if it runs in a separate process
    seconds: float = 0.0  # of a processor
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        crashed = f", {self.crashed} of them crash the HDF5 library" if self.crashed else ""
        return f"{self.refused} of {self.read} refused{crashed}"

    def add(self, name: str, first: int, count: int, apart: int) -> None:
        """Read some more. A file that ends its process is reported, and another process continues after it."""
        began, at, end = _processor_time(), first, first + count
        while at < end:
            code, said = outcome(read_damaged, name, at, end - at, apart)
            if code == 0:
                self.refused += int(said.split()[0])
                at = end
                continue
            k = at
            if place := re.match(rf"{re.escape(name)} (\d+), (\d+) refused", said):
                k, self.refused = int(place[1]), self.refused + int(place[2])
            if place and name in hdf5.FORMATS and k % apart and outcome(read_damaged, name, k, 1, 1)[0] == 0:
                self.crashed, self.refused = self.crashed + 1, self.refused + 1
            else:
                self.failed.append(f"{said}, exit code {code}")
                print(f"FAILED at {self.failed[-1]}", flush=True)
            at = k + 1 if place else end
            self.read -= 0 if place else end - k  # none of them was read
        self.read += count
        self.seconds += _processor_time() - began


def _processor_time() -> float:
    """The CPU seconds of this process's finished children."""
    spent = os.times()
    return spent.children_user + spent.children_system


def read_format(name: str, first: int, count: int) -> bool:
    """Read this many files of one format, and print the outcome; return whether all is well."""
    found = Count()
    found.add(name, first, count, APART)
    print(f"{name}: {found}", flush=True)
    return not found.failed


def read_many(total: int, first: int, seconds: float) -> bool:
    """Read this many files of all formats, a fifth of them spread evenly, the rest in equal time, as far as the time
    allows."""
    began, found = time.monotonic(), {name: Count() for name in FORMATS}
    for name in FORMATS:
        found[name].add(name, first, _TRIED, _TRIED)
    speeds = {name: each.read / each.seconds for name, each in found.items()}
    even, rest = total / 5 / len(FORMATS), total * 4 / 5 / sum(speeds.values())
    wanted = {name: int(even + rest * speeds[name]) + 1 for name in FORMATS}
    while time.monotonic() - began < seconds and any(found[name].read < wanted[name] for name in FORMATS):
        name = min(FORMATS, key=lambda name: found[name].read / wanted[name])  # so that all end together
        done = found[name].read
        found[name].add(name, first + done, min(_BATCH, wanted[name] - done), _TRIED)
        total_read = sum(each.read for each in found.values())
        print(f"{total_read:,} files in {time.monotonic() - began:.0f} s; {name}: {found[name]}", flush=True)
    for name, each in found.items():
        print(f"{name}: {each}, {1000 * each.seconds / each.read:.2f} ms each")
    print(f"all: {sum(each.read for each in found.values()):,} files", flush=True)
    return not any(each.failed for each in found.values())
