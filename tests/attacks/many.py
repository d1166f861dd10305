"""Very many damaged files of all formats: half of them spread evenly, half on the formats that are read fast."""

import time
from collections import Counter

from attacks.files import read_damaged
from attacks.formats import FORMATS
from attacks.processes import outcome

_TRIED, _BATCH = 200, 4000  # files by which a format's time is measured; of one process


def read_many(total: int, first: int, seconds: float) -> bool:
    """Read so many, or as many as the time lets, and say what came of each format; return whether all is well."""
    began, costs, read, refused = time.monotonic(), dict[str, float](), Counter[str](), Counter[str]()
    failures: list[str] = []

    def batch(name: str, count: int) -> None:
        """Read some of a format. One that fails ends its process, so it goes on behind it in another."""
        at, end = first + read[name], first + read[name] + count
        while at < end:
            code, said = outcome(read_damaged, name, at, end - at)
            if code == 0:
                refused[name] += int(said.split()[0])
                at = end
            else:
                failures.append(f"{said}, exit code {code}")
                print(f"FAILED at {failures[-1]}", flush=True)
                at = int(said.split()[-1]) + 1 if said.startswith(f"{name} ") else end
        read[name] += count

    for name in FORMATS:
        start = time.monotonic()
        batch(name, _TRIED)
        costs[name] = (time.monotonic() - start) / _TRIED
    even, speed = total / 2 / len(FORMATS), sum(1 / cost for cost in costs.values())
    wanted = {name: int(even + total / 2 / costs[name] / speed) + 1 for name in FORMATS}
    while time.monotonic() - began < seconds and any(read[name] < wanted[name] for name in FORMATS):
        name = min(FORMATS, key=lambda name: read[name] / wanted[name])  # so that all end together
        batch(name, min(_BATCH, wanted[name] - read[name]))
        print(f"{sum(read.values()):,} files in {time.monotonic() - began:.0f} s", flush=True)
    for name in FORMATS:
        print(f"{name}: {read[name]:,} read, {refused[name]:,} refused, {1000 * costs[name]:.2f} ms each")
    print(f"all: {sum(read.values()):,} read, {len(failures)} failed", *failures, sep="\n")
    return not failures
