"""Compares two builds of hiddenstate, row by row: alternating subprocesses of each, and bounds of the slow-down.

    python benchmarks/compare_builds.py BEFORE AFTER

Each is a folder to put in front of Python's path: one in which ``import hiddenstate`` finds a build. Only the public
interface is used, so that any versions can be compared.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

Times = dict[str, float]  # microseconds of a row
TURNS = 15  # of each row in one process
TURN = 0.02  # seconds


def rows() -> Iterator[tuple[str, Callable[[], Any]]]:
    """The measurements, by name."""
    import hiddenstate as hs

    generator = torch.Generator().manual_seed(0)

    def x(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def trained(lstm: hs.LSTM, given: torch.Tensor) -> Callable[[], Any]:
        def run() -> None:
            lstm(given)[0].sum().backward()

        return run

    def edited(lstm: hs.LSTM, given: torch.Tensor, grad: bool = False) -> Callable[[], Any]:
        def run() -> None:
            with torch.set_grad_enabled(grad), lstm.edit(hs.set("l0.f", to=0.5, unit=1, t=3)):
                out = lstm(given)[0]
            if grad:
                out.sum().backward()

        return run

    def silent(run: Callable[[], Any]) -> Callable[[], Any]:
        def quiet() -> None:
            with torch.no_grad():
                run()

        return quiet

    for H in (8, 64, 256):
        one = hs.LSTM(H, H).eval()
        given = x(20, 1, H)
        yield f"call T=20 N=1 H={H}", silent(partial(one, given))
        yield f"trace T=20 N=1 H={H}", silent(partial(one.trace, given))
        yield f"edited call T=20 N=1 H={H}", edited(one, given)
        yield f"call and backward T=20 N=1 H={H}", trained(hs.LSTM(H, H), given)
        stream, step = one.stream(), x(H)
        yield f"stream.step H={H}", partial(stream.step, step)
    deep, batch = hs.LSTM(64, 64, num_layers=3, bidirectional=True), x(20, 8, 64)
    yield "call 3 layers, 2 directions", silent(lambda: deep(batch))
    yield "call and backward 3 layers, 2 directions", trained(deep, batch)
    yield "trace 3 layers, 2 directions", silent(lambda: deep.trace(batch))
    yield "trace keep= 3 layers, 2 directions", silent(lambda: deep.trace(batch, keep=["l0.c", "l2r.h"]))
    yield "trace with gradients 3 layers, 2 directions", lambda: deep.trace(batch)["l0.c"].sum().backward()
    yield "edited call 3 layers, 2 directions", edited(deep, batch)
    yield "edited call and backward 3 layers, 2 directions", edited(deep, batch, grad=True)
    reset = torch.rand(20, 8, generator=generator) < 0.1
    yield "reset= 3 layers, 2 directions", silent(lambda: deep(batch, reset=reset))
    small, few = hs.LSTM(8, 8, num_layers=3), x(5, 1, 8)
    yield "edited call small 3 layers", edited(small, few)
    yield "trace keep= small 3 layers", silent(lambda: small.trace(few, keep=["l0.c"]))
    cell, state = hs.LSTMCell(64, 64), (x(1, 64), x(1, 64))
    yield "cell H=64", silent(lambda: cell(state[0], state))
    low, low_x = hs.LSTM(128, 128).bfloat16(), x(20, 8, 128).bfloat16()
    yield "call bfloat16 T=20 N=8 H=128", silent(lambda: low(low_x))
    large, large_x = hs.LSTM(650, 650, num_layers=2), x(35, 20, 650)
    yield "call and backward T=35 N=20 H=650, 2 layers", trained(large, large_x)


def measure() -> Times:
    """Fastest turn of each row, in microseconds."""
    found = {}
    for name, run in rows():
        run(), run()
        start = time.perf_counter()
        run()
        repeat = max(1, int(TURN / (time.perf_counter() - start)))
        turns = []
        for _ in range(TURNS if repeat > 1 else 5):
            start = time.perf_counter()
            for _ in range(repeat):
                run()
            turns.append((time.perf_counter() - start) / repeat)
        found[name] = min(turns) * 1e6
    return found


def measured(build: str) -> Times:
    """The times of a build, in its own process."""
    environment = {**os.environ, "PYTHONPATH": build}
    arguments = [sys.executable, __file__, "--worker"]
    done = subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def report(before: list[Times], after: list[Times]) -> str:
    """A line for each row: medians, ratio, and the 95 % bounds of the mean ratio over the pairs."""
    lines = [f"{'row':50s} {'before':>10s} {'after':>10s} {'ratio':>6s}  95 % bounds"]
    for name in before[0]:
        logs = [math.log(b[name] / a[name]) for a, b in zip(before, after, strict=True)]
        mean = statistics.fmean(logs)
        error = 1.96 * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
        old, new = (statistics.median(times[name] for times in all_times) for all_times in (before, after))
        low, high = math.exp(mean - error), math.exp(mean + error)
        verdict = "slower" if low > 1.03 and (new - old) > 0.2 else ""
        lines.append(f"{name:50s} {old:8.1f} us {new:8.1f} us {math.exp(mean):6.3f}  {low:.3f} {high:.3f} {verdict}")
    return "\n".join(lines)


def main() -> None:
    """Run the builds in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("builds", nargs="*", metavar="BUILD", help="the build before, and the build after")
    parser.add_argument("--pairs", type=int, default=8, help="how many processes of each")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measure()))
        return
    if len(given.builds) != 2:
        parser.error("give two builds: before and after")
    times: tuple[list[Times], list[Times]] = ([], [])
    for k in range(given.pairs):
        for which in (0, 1) if k % 2 == 0 else (1, 0):
            times[which].append(measured(given.builds[which]))
    print(report(*times))


if __name__ == "__main__":
    main()
