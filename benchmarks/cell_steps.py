"""A step of `hiddenstate.LSTMCell` against torch's cell, over rows, units and types, with and without gradients.

    python benchmarks/cell_steps.py [--seconds S] [--threads K]

Figures are the ratio of ours to torch's time, medians of turns, as in run.py; below 1 ours is faster.
"""

import argparse
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

import hiddenstate as hs
import machine
from contestants import Contestant, itself
from measure import Pace, medians

ROWS, UNITS = (1, 2, 4, 8, 16, 64, 512), (16, 64, 128, 256, 512, 1024)
TYPES = (torch.float32, torch.float64, torch.bfloat16)
PACE = Pace(turn=0.01, pause=0.0)


def step(cell: nn.Module, x: Tensor, state: tuple[Tensor, Tensor], grad: bool) -> Tensor:
    """Run a step; with gradients also its backward pass."""
    with torch.set_grad_enabled(grad):
        h: Tensor = cell(x, state)[0]
    if grad:
        h.backward(x.new_ones(1).expand_as(h))
    return h


def ratio(dtype: torch.dtype, H: int, N: int, grad: bool, seconds: float) -> tuple[float, float]:
    """Return ours against torch's, and torch's time in microseconds."""
    torchs = nn.LSTMCell(H, H, dtype=dtype)
    x, *state = torch.randn(3, N, H, dtype=dtype)
    runs = [
        Contestant(name, partial(step, cell, x, tuple(state), grad), itself)
        for name, cell in (("ours", hs.convert(torchs)), ("torch", torchs))
    ]
    ours, theirs = medians(runs, seconds, PACE)
    return ours / theirs, 1e6 * theirs


def main() -> None:
    """Print a table for each type, without and with gradients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.1, help="measuring time of each cell of the tables")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print("\n".join(machine.described()))
    for dtype, grad in product(TYPES, (False, True)):
        print(f"\n{dtype}, {'with' if grad else 'without'} gradients: ratio (torch's time in us)")
        print("units  " + "".join(f"{'N=' + str(N):>16}" for N in ROWS))
        for H in UNITS:
            found = [ratio(dtype, H, N, grad, given.seconds) for N in ROWS]
            print(f"{H:<7}" + "".join(f"{f'{r:.2f} ({us:,.0f})':>16}" for r, us in found), flush=True)


if __name__ == "__main__":
    main()
