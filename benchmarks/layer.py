"""Speed of the layer against torch's, as ratios measured in one run.

Each regime's contestants take turns, so that what else the machine does falls on all of them alike; the figure is the
median. Above 1 means that hiddenstate is faster.

    python benchmarks/layer.py [--seconds 1.0] [--json FILE]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import hiddenstate as hs
from hiddenstate import native

Run = Callable[[], object]


class Regime(NamedTuple):
    name: str
    ours: Run
    theirs: Run
    against: str


class Figure(NamedTuple):
    regime: str
    against: str
    ours_us: float
    theirs_us: float

    @property
    def ratio(self) -> float:
        return self.theirs_us / self.ours_us


def main() -> None:
    options = _options()
    print(
        f"{platform.processor() or native.machine()} {' '.join(native.cpu_features())}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, hiddenstate {hs.__version__}\n"
    )
    print(f"{'regime':58}{'against':30}{'ours µs':>10}{'theirs µs':>11}{'ratio':>8}")
    figures = []
    for regime in regimes():
        figure = measure(regime, options.seconds)
        figures.append(figure)
        print(
            f"{figure.regime:58}{figure.against:30}{figure.ours_us:10.0f}{figure.theirs_us:11.0f}{figure.ratio:8.2f}",
            flush=True,
        )
    if options.json:
        rows = [{**figure._asdict(), "ratio": figure.ratio} for figure in figures]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(regime: Regime, seconds: float) -> Figure:
    """Let the two take turns for so many seconds, at least seven times each."""
    regime.ours(), regime.theirs()  # warm up
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 7:
        for run, measured in zip((regime.ours, regime.theirs), times, strict=True):
            start = time.perf_counter()
            run()
            measured.append(time.perf_counter() - start)
    ours, theirs = (statistics.median(measured) * 1e6 for measured in times)
    return Figure(regime.name, regime.against, ours, theirs)


def regimes() -> list[Regime]:
    found = [_stream(H) for H in (64, 128, 256)]
    found += [_plain(*shape) for shape in ((100, 1, 128, 1), (100, 32, 256, 1), (64, 64, 128, 2))]
    found += [_trace_against_plain(*shape) for shape in ((100, 1, 128), (100, 32, 256))]
    found += [_trace_against_cells(*shape) for shape in ((100, 1, 128), (100, 32, 256))]
    found += [_ragged(train) for train in (False, True)]
    return found


def _pair(C: int, H: int, L: int) -> tuple[hs.LSTM, nn.LSTM]:
    theirs = nn.LSTM(C, H, L)
    return hs.from_torch(theirs), theirs


def _name(what: str, T: int, N: int, H: int, L: int = 1) -> str:
    return f"{what} (T {T}, N {N}, H {H}, {L} layer{'s' if L > 1 else ''})"


@torch.no_grad()
def _without_gradient(run: Run) -> object:
    return run()


def _inference(run: Run) -> Run:
    return lambda: _without_gradient(run)


def _stream(H: int) -> Regime:
    ours, theirs = _pair(H, H, 1)
    stream, x = ours.stream(), torch.randn(1, H)
    state = (torch.zeros(1, 1, H), torch.zeros(1, 1, H))
    return Regime(
        _name("one step of a stream", 1, 1, H),
        lambda: stream.step(x),
        _inference(lambda: theirs(x[None], state)),
        "torch.nn.LSTM, one step",
    )


def _plain(T: int, N: int, H: int, L: int) -> Regime:
    ours, theirs = _pair(H, H, L)
    x = torch.randn(T, N, H)
    return Regime(
        _name("plain", T, N, H, L), _inference(lambda: ours(x)), _inference(lambda: theirs(x)), "torch.nn.LSTM"
    )


def _trace_against_plain(T: int, N: int, H: int) -> Regime:
    ours, _ = _pair(H, H, 1)
    x = torch.randn(T, N, H)
    return Regime(
        _name("trace", T, N, H), _inference(lambda: ours.trace(x)), _inference(lambda: ours(x)), "our plain call"
    )


def _trace_against_cells(T: int, N: int, H: int) -> Regime:
    ours, _ = _pair(H, H, 1)
    x = torch.randn(T, N, H)
    return Regime(
        _name("trace", T, N, H),
        _inference(lambda: ours.trace(x)),
        _inference(lambda: gates_by_hand(ours, x)),
        "loop that records the gates",
    )


def gates_by_hand(lstm: hs.LSTM, x: Tensor) -> list[tuple[Tensor, ...]]:
    """What one writes today to see the gates: the equations in a Python loop."""
    h, c = x.new_zeros(x.shape[1], lstm.hidden_size), x.new_zeros(x.shape[1], lstm.hidden_size)
    ((w_ih, w_hh, b_ih, b_hh),) = lstm.all_weights
    seen: list[tuple[Tensor, ...]] = []
    for x_t in x:
        z = x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        i, f, g, o = z.chunk(4, dim=1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        seen.append((i, f, g, o, c, h))
    return seen


def _ragged(train: bool) -> Regime:
    ours, theirs = _pair(128, 128, 2)
    x, lengths = torch.randn(64, 64, 128), torch.randint(32, 65, (64,))
    lengths[0] = 64

    def our_run() -> object:
        return ours(x, lengths=lengths)[0]

    def their_run() -> object:
        return theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))[0].data

    name = _name("ragged, forward + backward" if train else "ragged", 64, 64, 128, 2)
    wrap = _training if train else _inference
    return Regime(name, wrap(our_run), wrap(their_run), "torch.nn.LSTM, packed")


def _training(run: Callable[[], Any]) -> Run:
    return lambda: run().sum().backward()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="measuring time of each regime")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
