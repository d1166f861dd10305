"""Peak memory and time of training, with gates saved and recomputed, compared with torch's layer.

    python benchmarks/training_memory.py [--turns N] [--shape T N H L]

Each contestant runs in its own process, whose peak is measured; contestants take turns. What the process has before its
first step (Python, torch, weights and input) is subtracted.

The expected numbers for float32, in units of T·N·H: the gates (4 per layer), c and out (1 each per layer), and during
backward the gradients of the output and of the input (2). Recomputing leaves out the gates, 4 L of 6 L + 2. It adds the
two forward products again to a layer's six (two forward, four backward): at the same rate 8/6 of the time, minus the
time to write and read the gates.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

import machine
from contestants import Contestant
from layers import ours_training, torch_training
from shapes import Case, Shape

NAMES = ("hiddenstate", "hiddenstate, recomputed", "torch")
SHAPE = Shape(512, 32, 512, 2)
STEPS = 2  # timed steps of a turn, after one that is not timed
MIB = 2**20


def contestant(name: str, case: Case) -> Contestant:
    case.ours.recompute_gates = name == NAMES[1]
    return torch_training(case) if name == NAMES[2] else ours_training(case)


def measured(name: str, shape: Shape) -> tuple[float, float]:
    """Peak MiB above the initial memory, and seconds per step, in this process."""
    run = contestant(name, Case(shape)).run
    before = _peak()
    run()
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return (_peak() - before) / MIB, min(times)


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _measured_apart(name: str, shape: Shape) -> tuple[float, float]:
    command = [sys.executable, __file__, "--child", name, "--shape", *map(str, shape[:4])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = json.loads(done.stdout.splitlines()[-1])
    return peak, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=4, default=SHAPE[:4], metavar=("T", "N", "H", "L"))
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = Shape(*options.shape)
    if options.child:
        print(json.dumps(measured(options.child, shape)))
        return
    print("\n".join(machine.described()), f"\nforward + backward ({shape})")
    watch = machine.Watch()
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    for _ in range(options.turns):
        for name in NAMES:
            turns[name].append(_measured_apart(name, shape))
    medians = {name: [statistics.median(part) for part in zip(*found, strict=True)] for name, found in turns.items()}
    of_torch, of_ours = medians[NAMES[2]], medians[NAMES[0]]
    for name, (peak, seconds) in medians.items():
        print(
            f"  {name:<26}{peak:>8,.0f} MiB  {peak / of_torch[0]:.2f} of torch's   {1000 * seconds:>9,.1f} ms  "
            f"{seconds / of_ours[1]:.2f} of keeping"
        )
    if warning := watch.warning():
        print(f"\nMeanwhile {warning}")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
