"""Makes each allocation of native code fail in turn. Run as ``python allocations.py LIBRARY SEED`` in `run`."""

import ctypes
import itertools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import hiddenstate as hs

SOURCE = Path(__file__).parents[1] / "native" / "failing_new.cpp"


def compiler() -> str | None:
    """The C++ compiler, if there is one on a system on which this works."""
    return (shutil.which("c++") or shutil.which("g++")) if sys.platform.startswith("linux") else None


def compiled(folder: Path) -> Path:
    """The library that makes allocations fail."""
    library = folder / "failing.so"
    options = ["-std=c++17", "-shared", "-fPIC", "-O1"]
    subprocess.run([compiler() or "c++", *options, SOURCE, "-o", library, "-ldl"], check=True)
    return library


def run(library: Path, seed: int) -> "subprocess.CompletedProcess[str]":
    """Run this file with the library."""
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    command = [sys.executable, __file__, str(library), str(seed)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def main() -> None:
    """Try all kinds of work on an LSTM drawn with the seed."""
    failing, seed = ctypes.CDLL(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    torch.manual_seed(seed)
    if seed == 0:
        lstm = hs.LSTM(4, 3, 2)
    else:
        size, dtype = draw.choice(((4, 3), (17, 33))), draw.choice((torch.float32, torch.float64, torch.bfloat16))
        projection = draw.choice((0, 0, 2))
        lstm = hs.LSTM(*size, draw.randint(1, 3), proj_size=projection, bias=draw.random() < 0.8, dtype=dtype)
    x = torch.randn(5, 2, lstm.input_size, dtype=lstm.weight("l0.W_ii").dtype)
    edit = hs.set("l0.f", to=0.5, unit=[0, 2], t=[1, 3], row=[0])

    def stream() -> Tensor:
        stream = lstm.stream(2)
        return torch.stack([stream.step(one) for one in x])

    def some_rows() -> Tensor:
        stream = lstm.stream(2)
        stream.step(x[0])
        return stream.step(x[1, :1], rows=[1])

    def traced() -> Tensor:
        return lstm.trace(x)["l0.c"]

    def edited() -> Tensor:
        with lstm.edit(edit):
            out: Tensor = lstm(x)[0]
        return out

    def backward() -> Tensor:
        return torch.autograd.grad(lstm(x)[0].sum(), list(lstm.parameters()))[0]

    def plain() -> Tensor:
        with torch.no_grad():
            out: Tensor = lstm(x)[0]
        return out

    for work in (stream, some_rows, traced, edited, backward, plain):
        fail_everywhere(work, failing)


def fail_everywhere(work: Callable[[], Tensor], failing: ctypes.CDLL) -> None:
    """Let each allocation of one kind of work fail; print how many there are, and how many raised."""
    want, failed = work(), 0
    for n in itertools.count():
        failing.arm(n)
        try:
            work()
        except MemoryError:
            failed += 1
        finally:
            seen = failing.disarm()
        assert torch.equal(work(), want), (work.__name__, n)
        if seen <= n:
            break
    print(work.__name__, n, failed)
    assert failed > 0, work.__name__


if __name__ == "__main__":
    main()
