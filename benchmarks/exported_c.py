"""A step of a model as one C file, beside the C library's step of the same model, with each compiler that is installed.

    make c && python benchmarks/exported_c.py [--library build/c]

Both take the same inputs in turns, on one thread of one process; times are medians of 1,001 turns of 100 steps.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import hiddenstate as hs

HERE = Path(__file__).parent
COMPILERS = ("gcc", *(f"clang{version}" for version in ("", *(f"-{number}" for number in range(14, 24)))))
FLAGS = ("-O3 -march=native", "-O3")


class Layer(nn.Module):
    """A recurrent layer alone."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        outputs: Tensor = self.layer(x)[0]
        return outputs


class Denoiser(nn.Module):
    """The recurrent part of RNNoise's shape: three GRUs of 24, after one dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.gru, self.gains = nn.Linear(42, 24), nn.GRU(24, 24, 3, batch_first=True), nn.Linear(24, 22)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gains of all steps."""
        return torch.sigmoid(self.gains(self.gru(torch.tanh(self.dense(x)))[0]))


def models() -> dict[str, tuple[nn.Module, tuple[int, int]]]:
    """Return modules by name, with the sizes of their inputs and outputs."""
    torch.manual_seed(0)
    alone = {size: Layer(hs.LSTM(size, size, batch_first=True)) for size in (64, 128)}
    return {
        "Linear, GRU(24) × 3, Linear": (Denoiser(), (42, 22)),
        "GRU(128)": (Layer(hs.GRU(128, 128, batch_first=True)), (128, 128)),
        **{f"LSTM({size})": (model, (size, size)) for size, model in alone.items()},
        "LSTM(128), int8": (hs.convert(alone[128], weights="int8"), (128, 128)),
    }


def times(folder: Path, library: Path, compiler: str, flags: str, sizes: tuple[int, int]) -> tuple[float, float, float]:
    """Compile a model; return the microseconds of the library and of the file, and how far apart their results are."""
    program = HERE / "programs" / "exported_step.c"
    include = ["-I", str(library / "include"), "-I", str(folder), f"-DIN={sizes[0]}", f"-DOUT={sizes[1]}"]
    linked = [str(library / "lib" / "libhiddenstate.a"), "-fopenmp", "-pthread", "-lm"]
    for command in (
        [compiler, "-std=c99", *flags.split(), "-c", "model.c", "-o", "model.o"],
        ["gcc", "-std=gnu99", "-O2", *include, "-c", str(program), "-o", "main.o"],
        ["g++", "main.o", "model.o", *linked, "-o", "step"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    report = subprocess.check_output(["./step", "model.safetensors"], cwd=folder, text=True, env=environment)
    ours, exported, apart = map(float, report.split())
    return ours, exported, apart


def main() -> None:
    """Print a row for each model and compiler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, default=HERE.parent / "build" / "c", help="where `make c` installed it")
    library = parser.parse_args().library.resolve()
    print("| model | compiler | library, µs | file, µs | ratio | apart |\n|---|---|---:|---:|---:|---:|")
    for name, (model, sizes) in models().items():
        with tempfile.TemporaryDirectory() as temporary:
            folder, example = Path(temporary), (torch.randn(1, 5, sizes[0]),)
            hs.export_c(model.eval(), folder / "model.c", args=example)
            hs.save(model, folder / "model.safetensors", args=example)
            for compiler in filter(shutil.which, COMPILERS):
                for flags in FLAGS:
                    ours, exported, apart = times(folder, library, compiler, flags, sizes)
                    ratio = f"{ours:.1f} | {exported:.1f} | {exported / ours:.2f} | {apart:.0e}"
                    print(f"| {name} | {compiler} {flags} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
