"""Compiles programs in C and C++ against the C library, and that against the engine that the package was built from."""

import functools
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from runtime.built import ROOT, SCANS

ENGINE = SCANS[-1] if SCANS else None
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
needs_c = pytest.mark.skipif(
    ENGINE is None or COMPILER is None or sys.platform != "linux",
    reason="needs Linux, a compiler and the engine's build",
)

# One set of options for all tests: the library is compiled once for each.
CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")
HERE, NATIVE, EXAMPLES = Path(__file__).parent, ROOT / "native", ROOT / "examples" / "c"
LIBRARY = [
    NATIVE / "runtime" / f"{name}.cpp"
    for name in ("c_api", "graph", "graph_run", "graph_state", "model", "model_file", "tagger", "text")
]


def objects(folder: Path, *sources: Path, options: tuple[str, ...] = ()) -> list[Path]:
    """Compile sources into object files."""
    compiled = []
    for source in sources:
        compiler = ["gcc", "-std=c99"] if source.suffix == ".c" else [str(COMPILER), "-std=c++17"]
        # Examples only see the installed header.
        paths = [f"-I{NATIVE / 'runtime'}", *([] if source.parent == EXAMPLES else [f"-I{NATIVE}"])]
        compiled.append(folder / f"{source.stem}.o")
        warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        subprocess.run([*compiler, *warnings, *options, *paths, "-c", source, "-o", compiled[-1]], check=True)
    return compiled


@functools.cache
def library(options: tuple[str, ...] = ()) -> list[Path]:
    """Compile the library's own sources as one file, which is faster, once for each state and set of options."""
    version = subprocess.check_output([str(COMPILER), "--version"])
    states = [version, *(path.read_bytes() for path in sorted(NATIVE.rglob("*.*")))]
    state = ROOT / "build" / "test-library" / hashlib.sha256(b"\0".join(states)).hexdigest()[:16]
    kept = state / f"{' '.join(options) or 'plain'}.o"
    if not kept.exists():
        for other in state.parent.glob("*"):
            if other != state:
                shutil.rmtree(other, ignore_errors=True)
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=state) as folder:
            whole = Path(folder, "library.cpp")
            whole.write_text("".join(f'#include "runtime/{source.name}"\n' for source in LIBRARY), encoding="utf-8")
            [compiled] = objects(Path(folder), whole, options=options)
            compiled.rename(kept)
    return [kept]


def linked(target: Path, parts: list[Path], options: tuple[str, ...] = ()) -> Path:
    """Link a program with the engine."""
    subprocess.run([str(COMPILER), *options, "-o", target, *parts, str(ENGINE), "-fopenmp", "-lpthread"], check=True)
    return target


def program(folder: Path, source: Path, options: tuple[str, ...] = ()) -> Path:
    """Build a program from one source and the library."""
    return linked(folder / source.stem, objects(folder, source, options=options) + library(options), options)


def run(*command: Any, data: bytes = b"", memory: int | None = None, **environment: str) -> bytes:
    """Run a program that must succeed, with so much memory in bytes, and return its output."""

    def limit() -> None:
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    result = subprocess.run(
        [str(part) for part in command],
        input=data,
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
        preexec_fn=limit,
    )
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    return result.stdout
