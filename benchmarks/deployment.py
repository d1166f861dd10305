"""The cost of running one LSTM in each environment: installed size, start-up, memory, and a step.

    python benchmarks/deployment.py --runtime FOLDER --c build/c

FOLDER contains the package `hiddenstate_runtime` (an unpacked wheel of `make runtime`), and build/c what `make c`
installed. Contestants that are not installed are left out. Each one has its own process: it loads the model,
computes a first step, and then times single steps. Start-up is CPU time, which other processes on the machine hardly
change. It and the memory are medians over the runs; a step's time is the minimum.
"""

import argparse
import importlib.metadata
import os
import re
import resource
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import hiddenstate as hs

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs" / "deployment"
HIDDEN = 128
STEPS = 4000
MEGABYTE = 1e6


@dataclass(frozen=True)
class Place:
    """A place to run the model in.

    Attributes:
        command: the process, which takes the folder of the models and the number of steps.
        nbytes: the installed size of all that it needs beyond Python or Node.
        environment: variables of the process.
    """

    name: str
    command: tuple[str, ...]
    nbytes: int
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cost:
    """The cost of one process.

    Attributes:
        start: CPU seconds until the first step was computed.
        memory: the largest resident memory, in bytes.
        step: seconds of the fastest step.
        out: the hidden state after the first step.
    """

    start: float
    memory: int
    step: float
    out: np.ndarray


def size_of(paths: Iterable[Path]) -> int:
    """The bytes of files and of everything in folders, except caches."""
    found = 0
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        found += sum(each.stat().st_size for each in inside if each.is_file() and "__pycache__" not in each.parts)
    return found


def distributions(roots: Iterable[str]) -> Iterator[importlib.metadata.Distribution]:
    """Distributions and all that they require, without extras."""
    waiting, known = list(roots), set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in known:
            continue
        known.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        yield found
        required = [text for text in found.requires or () if "extra ==" not in text]
        waiting += [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required]


def installed(*roots: str) -> int:
    """The bytes of distributions and all that they require."""
    files = {Path(str(file.locate())) for found in distributions(roots) for file in found.files or ()}
    return size_of(path for path in files if path.exists())


def places(folder: Path, runtime: Path | None, library: Path | None) -> Iterator[Place]:
    """Everything that can be measured here."""
    python = (sys.executable, str(PROGRAMS / "step.py"))
    ours = size_of([Path(hs.__file__).parent])
    torch_bytes = installed("torch", "numpy")
    yield Place("torch", (*python, "torch"), torch_bytes)
    yield Place("hiddenstate", (*python, "hiddenstate"), torch_bytes + ours + installed("safetensors"))
    yield Place("onnxruntime", (*python, "onnxruntime"), installed("onnxruntime", "numpy"))
    if runtime is not None:
        size = size_of([runtime / "hiddenstate_runtime"]) + installed("numpy")
        paths = os.pathsep.join([str(runtime), *sys.path])
        yield Place("hiddenstate-runtime", (*python, "runtime"), size, (("PYTHONPATH", paths),))
    if library is not None:
        program = folder / "step"
        libraries = sorted((library / "lib").glob("libhiddenstate.*"))
        command = ["cc", "-O2", "-std=gnu99", f"-I{library / 'include'}", str(PROGRAMS / "step.c"), str(libraries[-1])]
        options = ["-o", str(program), f"-Wl,-rpath,{library / 'lib'}", "-lstdc++", "-lgomp", "-lpthread", "-lm"]
        subprocess.run([*command, *options], check=True)
        files = [program, *(path for path in libraries if ".so" in path.name and not path.is_symlink())]
        yield Place("C", (str(program),), size_of(files))
    if shutil.which("node"):
        build = runpy.run_path(str(HERE.parent / "runtime" / "js" / "build.py"))
        for name in ("JavaScript", "WebAssembly"):
            package = folder / name / "package"
            build["write"](package)
            if name == "WebAssembly" and build["compile_native"](package) is not None:
                continue
            program = shutil.copy(PROGRAMS / "step.mjs", folder / name)
            yield Place(name, ("node", str(program)), size_of([package]))


def measure(place: Place, folder: Path) -> Cost:
    """Run the process once."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **dict(place.environment)}
    command = [*place.command, str(folder), str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    values = dict(line.split("=", 1) for line in done.stdout.splitlines())
    out = np.array(values["out"].split(), np.float32)
    return Cost(float(values["start"]), int(values["memory"]), float(values["step"]), out)


def write_models(folder: Path) -> None:
    """The same LSTM as a model file, as ONNX, and as a state dict."""
    torch.manual_seed(0)
    lstm = hs.LSTM(HIDDEN, HIDDEN)
    torch.save(lstm.state_dict(), folder / "m.pt")
    hs.save(lstm, folder / "m.safetensors")
    hs.export_onnx(lstm, folder / "m.onnx")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", type=Path, help="the folder that contains hiddenstate_runtime")
    parser.add_argument("--c", type=Path, help="where the C library is installed")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_models(folder)
        found = list(places(folder, options.runtime, options.c))
        costs: dict[str, list[Cost]] = {place.name: [] for place in found}
        for _ in range(options.runs):  # in turns, so that a busy minute of the machine affects all of them
            for place in found:
                costs[place.name].append(measure(place, folder))
    wanted = costs["torch"][0].out
    print(
        f"an LSTM of {HIDDEN} units, medians of {options.runs} runs in turns, one thread; load {os.getloadavg()[0]:.1f}"
    )
    print("| | installed size, MB | start-up, CPU ms | memory, MB | one step, µs |\n|---|---:|---:|---:|---:|")
    for place in found:
        mine = costs[place.name]
        gap = max(float(np.abs(cost.out - wanted).max()) for cost in mine)
        if gap > 1e-5:
            raise SystemExit(f"{place.name} gives other numbers than torch, by {gap:.1e}")
        start, memory = (statistics.median(getattr(cost, name) for cost in mine) for name in ("start", "memory"))
        step = min(cost.step for cost in mine)
        figures = (f"{place.nbytes / MEGABYTE:,.1f}", f"{start * 1e3:,.0f}", f"{memory / MEGABYTE:,.0f}")
        print(f"| {' | '.join((place.name, *figures))} | {step * 1e6:.1f} |")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
