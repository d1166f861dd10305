"""The peak performance of this machine, measured by a small program (ceilings.cpp) that is compiled on the spot."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).with_name("ceilings.cpp")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
# If the system does not report it: what most cores have at least.
COMMON_SIZES = {1: 32 << 10, 2: 512 << 10, 3: 8 << 20}
GETCONF_NAMES = {1: "LEVEL1_DCACHE_SIZE", 2: "LEVEL2_CACHE_SIZE", 3: "LEVEL3_CACHE_SIZE"}


class CeilingsError(Exception):
    """The ceilings could not be measured; the message says why."""


class Rate(NamedTuple):
    """Work per second, for one thread and for all threads together."""

    one: float
    all: float


class Level(NamedTuple):
    """A level of memory: its size per core, and the bytes read per second."""

    name: str
    bytes: int
    read: Rate


class Ceilings(NamedTuple):
    """Float32 operations per second, and the levels of memory from the nearest to the farthest."""

    threads: int
    flops: Rate
    levels: list[Level]

    def read_rate(self, total: int) -> float:
        """Bytes per second at which all cores together repeatedly read ``total`` bytes, each its share."""
        share = total / self.threads
        return next((level.read.all for level in self.levels if share <= level.bytes), self.levels[-1].read.all)


def measure(threads: int) -> Ceilings:
    """Compile the program and run it.

    Raises:
        CeilingsError: there is no compiler, or it fails.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise CeilingsError("no C++ compiler found")
    sizes = {f"L{level}": cache_size(level) for level in COMMON_SIZES}
    # Each core gets its share of a cache that all cores share.
    sizes["L3"] = max(sizes["L3"] // threads, 2 * sizes["L2"])
    buffers = [size // 2 for size in sizes.values()] + [8 * sizes["L3"]]
    buffers[2] = min(buffers[2], 4 * sizes["L2"])
    with tempfile.TemporaryDirectory() as folder:
        found = json.loads(_output(compiler, Path(folder) / "ceilings", [threads, *buffers]))
    levels = [*sizes.items(), ("memory", 1 << 62)]
    reads = [Rate(**read["rate"]) for read in found["read"]]
    return Ceilings(
        threads,
        Rate(**found["flops"]),
        [Level(name, size, read) for (name, size), read in zip(levels, reads, strict=True)],
    )


def _output(compiler: str, program: Path, arguments: Sequence[int]) -> str:
    flags = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-pthread"]
    try:
        _checked([compiler, *flags, str(SOURCE), "-o", str(program)])
        return _checked([str(program), *map(str, arguments)])
    except subprocess.CalledProcessError as error:
        raise CeilingsError(f"{SOURCE.name} failed: {error.stderr.strip()[:500]}") from error


def _checked(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cache_size(level: int) -> int:
    """Bytes of the data cache of this level, as reported by the kernel or the C library."""
    for index in CACHES.glob("index*"):
        described = {name: (index / name).read_text().strip() for name in ("level", "type", "size")}
        if described["level"] == str(level) and described["type"] != "Instruction":
            return int(described["size"].removesuffix("K")) << 10
    return _getconf(GETCONF_NAMES[level]) or COMMON_SIZES[level]


def _getconf(name: str) -> int:
    try:
        return int(_checked(["getconf", name]))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 0


def described(ceilings: Ceilings) -> str:
    reads = ", ".join(f"{level.name} {_both(level.read)}" for level in ceilings.levels)
    return (
        f"Ceilings (one thread / {ceilings.threads}): float32 multiply-add {_both(ceilings.flops)} GFLOP/s; "
        f"reads in GB/s: {reads}"
    )


def _both(rate: Rate) -> str:
    return f"{rate.one / 1e9:.0f}/{rate.all / 1e9:.0f}"


def as_data(ceilings: Ceilings) -> dict[str, Any]:
    """For JSON."""
    return {
        "threads": ceilings.threads,
        "flops": ceilings.flops._asdict(),
        "levels": [{**level._asdict(), "read": level.read._asdict()} for level in ceilings.levels],
    }
