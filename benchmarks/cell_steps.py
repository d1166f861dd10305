"""A step of `hiddenstate.LSTMCell` against torch's cell, over rows, units and types, with and without gradients.

    python benchmarks/cell_steps.py [--seconds S] [--threads K]

Figures are the ratio of ours to torch's time, medians of turns, as in run.py; below 1 ours is faster. Each contestant
has its own process.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

import hiddenstate as hs
import machine
from contestants import SAME, SAME_IN_BFLOAT16, Contestant, gap, itself
from measure import LostError, Pace, take_turns
from workers import Worker

ROWS, UNITS = (1, 2, 4, 8, 16, 64, 512), (16, 64, 128, 256, 512, 1024)
TYPES = (torch.float32, torch.float64, torch.bfloat16)
PACE = Pace(turn=0.01)
OURS = "ours"


def step(cell: nn.Module, x: Tensor, state: tuple[Tensor, Tensor], grad: bool) -> Tensor:
    """Run a step; with gradients also its backward pass."""
    with torch.set_grad_enabled(grad):
        h: Tensor = cell(x, state)[0]
    if grad:
        h.backward(x.new_ones(1).expand_as(h))
    return h


class Problem(NamedTuple):
    """One cell of the tables: a type, units, rows, and whether there are gradients."""

    dtype: torch.dtype
    H: int
    N: int
    grad: bool


def contestant(name: str, problem: Problem) -> Contestant:
    """Steps of our cell, or of torch's, with the same weights and input."""
    dtype, H, N, grad = problem
    torch.manual_seed(0)
    torchs = nn.LSTMCell(H, H, dtype=dtype)
    x, *state = torch.randn(3, N, H, dtype=dtype)
    cell = hs.convert(torchs) if name == OURS else torchs
    return Contestant(name, partial(step, cell, x, tuple(state), grad), itself)


def ratio(workers: Sequence[Worker], problem: Problem, seconds: float) -> tuple[float, float]:
    """Return ours against torch's, and torch's time in microseconds.

    Raises:
        LostError: one of the two died, hung or failed.
    """
    for worker in workers:
        worker.begin(partial(contestant, worker.name, problem))
    ours, theirs = (worker.entered().shown for worker in workers)
    assert (difference := gap(ours, theirs)) <= tolerance(problem.dtype), f"{problem} differs by {difference:.3g}"
    lost: list[str] = []
    times = take_turns(workers, seconds, PACE, lost)
    if times[0] is None or times[1] is None:
        raise LostError(", ".join(lost))
    return times[0] / times[1], 1e6 * times[1]


def tolerance(dtype: torch.dtype) -> float:
    """The largest difference allowed, as a share of the largest value."""
    return SAME_IN_BFLOAT16 if dtype is torch.bfloat16 else SAME


def main() -> None:
    """Print a table for each type, without and with gradients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.1, help="measuring time of each cell of the tables")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("\n".join(machine.described()))
    with Worker(OURS) as ours, Worker("torch") as torchs:
        for dtype, grad in product(TYPES, (False, True)):
            print(f"\n{dtype}, {'with' if grad else 'without'} gradients: ratio (torch's time in us)")
            print("units  " + "".join(f"{'N=' + str(N):>16}" for N in ROWS))
            for H in UNITS:
                found = [ratio((ours, torchs), Problem(dtype, H, N, grad), given.seconds) for N in ROWS]
                print(f"{H:<7}" + "".join(f"{f'{r:.2f} ({us:,.0f})':>16}" for r, us in found), flush=True)


if __name__ == "__main__":
    main()
