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
from typing import Any

import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.cells.kinds import CELLS
from hiddenstate.interop.build import build_cell
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes

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
    """Try all kinds of work on a layer drawn with the seed: an LSTM, a GRU, a plain RNN."""
    failing, seed = ctypes.CDLL(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    torch.manual_seed(seed)
    kind = CELLS[list(CELLS)[seed % len(CELLS)]]
    C, H = draw.choice(((4, 3), (17, 33)))
    projection = draw.choice((0, 0, 2)) if kind.name == "LSTM" else 0
    sizes = Sizes(C, H, draw.randint(1, 3), draw.random() < 0.8, proj_size=projection, cell=kind.name)
    dtype = draw.choice((torch.float32, torch.float64, torch.bfloat16))
    layer: Any = new_layer(sizes, dtype=dtype)
    cell = build_cell(new_layer(Sizes(C, H, cell=kind.name), dtype=dtype))
    x = torch.randn(5, 2, C, dtype=dtype)
    edit = hs.set(f"l0.{kind.quantities[0]}", to=0.5, unit=[0, 2], t=[1, 3], row=[0])

    def stream() -> Any:
        stream = layer.stream(2)
        return torch.stack([stream.step(one) for one in x])

    def some_rows() -> Any:
        stream = layer.stream(2)
        stream.step(x[0])
        return stream.step(x[1, :1], rows=[1])

    def traced() -> Any:
        return layer.trace(x)[f"l0.{kind.memory}"]

    def edited() -> Tensor:
        with layer.edit(edit):
            out: Tensor = layer(x)[0]
        return out

    def backward() -> Tensor:
        return torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))[0]

    def plain() -> Tensor:
        with torch.no_grad():
            out: Tensor = layer(x)[0]
        return out

    def steps() -> Tensor:
        h, *_ = kind.parts_of(cell(x[1], cell(x[0])))
        return torch.autograd.grad(h.sum(), list(cell.parameters()))[1]

    is_native = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # a cell's step: with torch 2.8 it is torch's own
    for work in (stream, some_rows, traced, edited, backward, plain, *([steps] if is_native else [])):
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
