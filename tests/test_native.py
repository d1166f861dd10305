"""The scans against the equations in C++, without Python: builds tests/native with the module's object files.

`make native-test` recompiles everything instead, with other compilers and options.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.built import ROOT, SCANS

COMPILER = shutil.which(os.environ.get("CXX", "c++"))
# Waiting threads do not spin: other tests need the cores.
PATIENT = {**os.environ, "OMP_WAIT_POLICY": "passive"}


pytestmark = pytest.mark.skipif(
    COMPILER is None or not SCANS, reason="no compiler, or the native module was not built here"
)


def output(source: str, tmp_path: Path) -> str:
    """Build a program of tests/native on the compiled scans, and run it."""
    program = tmp_path / "program"
    folders = "-I", str(ROOT / "native"), "-I", str(ROOT / "tests" / "native")
    options = "-std=c++17", "-O1", "-Wno-psabi", "-Werror=switch", "-pthread", "-fopenmp", *folders
    said = ""
    for command in (
        [str(COMPILER), *options, str(ROOT / "tests" / "native" / source), str(SCANS[-1]), "-o", str(program)],
        [str(program)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=PATIENT)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
    return said


@pytest.mark.slow
def test_scans_in_cpp(tmp_path: Path) -> None:
    assert " 0 failed" in output("test_scan.cpp", tmp_path)


def test_a_fourth_cell_is_one_header(tmp_path: Path) -> None:
    assert "22 comparisons, 0 failed" in output("fourth_cell.cpp", tmp_path)
