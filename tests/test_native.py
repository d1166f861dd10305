"""The scans against the equations in C++, without Python: builds tests/native with the module's object files."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
# The object files of the native module. `make native-test` recompiles everything, with different compilers and options.
SCANS = sorted(ROOT.glob("build/*/libscan.a"), key=os.path.getmtime)

# Waiting threads do not spin: other tests need the cores.
PATIENT = {**os.environ, "OMP_WAIT_POLICY": "passive"}


@pytest.mark.skipif(COMPILER is None or not SCANS, reason="no compiler, or the native module was not built here")
def test_scans_in_cpp(tmp_path: Path) -> None:
    source, program = ROOT / "tests" / "native" / "test_scan.cpp", tmp_path / "test_scan"
    options = "-std=c++17", "-O1", "-pthread", "-fopenmp", "-I", str(ROOT / "native")
    for command in ([str(COMPILER), *options, str(source), str(SCANS[-1]), "-o", str(program)], [str(program)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=PATIENT)
        assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
