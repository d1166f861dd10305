"""The commands of the page on running without torch: linking without CMake, and compiling for another architecture."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import hiddenstate as hs
from runtime.built import ROOT
from runtime.c_programs import COMPILER, ENGINE, EXAMPLES, LIBRARY, NATIVE, library, needs_c, run

PAGE = (ROOT / "docs" / "howto" / "without_torch.md").read_text().splitlines()


def commands(start: str, **other: str) -> list[list[str]]:
    """Return the page's commands that begin so, with some of their words replaced."""
    lines = [line for line in PAGE if line.startswith(start)]
    for old, new in other.items():
        lines = [line.replace(old.replace("__", "/"), new) for line in lines]
    assert lines
    return [line.split() for line in lines]


def check(numbers: list[str], folder: Path, tolerance: float) -> None:
    """Compare the output of the example with the layer's."""
    torch.manual_seed(0)
    lstm, x = hs.LSTM(3, 17, num_layers=2), torch.randn(20, 3)
    hs.save(lstm, folder / "m.safetensors")
    text = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in x.tolist())
    lines = run(*numbers, folder / "m.safetensors", data=text.encode()).splitlines()
    with torch.no_grad():
        np.testing.assert_allclose(
            np.array([line.split() for line in lines], float), lstm(x)[0], rtol=0, atol=tolerance
        )


@pytest.mark.slow
@needs_c
def test_linking_without_cmake(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    # A script of ar reads names up to the next space, which the checkout's path may have.
    assert ENGINE is not None
    copies = {f"{number}.o": path for number, path in enumerate(library())}
    for name, path in {**copies, "engine.a": ENGINE}.items():
        shutil.copy(path, tmp_path / name)
    members = "".join(f"addmod {name}\n" for name in copies)
    script = f"create lib/libhiddenstate.a\n{members}addlib engine.a\nsave\nend\n"
    subprocess.run(["ar", "-M"], input=script.encode(), cwd=tmp_path, check=True)
    shutil.copy(EXAMPLES / "numbers.c", tmp_path / "program.c")
    shutil.copytree(ROOT / "native" / "runtime", tmp_path / "include", ignore=shutil.ignore_patterns("*.cpp", "wasm"))
    (command,) = commands("gcc program.c", build__c=".")
    subprocess.run(command, cwd=tmp_path, check=True)
    check([str(tmp_path / "program")], tmp_path, 1e-6)


@pytest.mark.skipif(os.environ.get("HIDDENSTATE_CROSS") != "1", reason="compiles for minutes: make native-test-aarch64")
def test_compiling_for_aarch64(tmp_path: Path) -> None:
    folders = {"build__c-aarch64": f"{tmp_path}/objects", "build__aarch64": f"{tmp_path}/installed"}
    for command in commands("cmake ", **folders):
        subprocess.run(command, cwd=ROOT, check=True)
    shutil.copy(EXAMPLES / "numbers.c", tmp_path / "program.c")
    (command,) = commands("gcc program.c", gcc="aarch64-linux-gnu-gcc", build__c=f"{tmp_path}/installed")
    subprocess.run(command, cwd=tmp_path, check=True)
    check(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", str(tmp_path / "program")], tmp_path, 1e-6)


@pytest.mark.slow
@needs_c
def test_the_library_has_no_warning_on_32_bits() -> None:
    def compiles(source: str | Path, *options: str) -> bool:
        command = [str(COMPILER), "-m32", "-std=c++17", "-fsyntax-only", *options, "-x", "c++", source]
        return subprocess.run(command, input="#include <map>\n", text=True, check=False).returncode == 0

    if not compiles("-"):
        pytest.skip("the compiler has no headers of 32-bit programs, as with Debian's g++-multilib")
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", f"-I{NATIVE}")
    assert [source.name for source in LIBRARY if not compiles(source, *warnings)] == []
