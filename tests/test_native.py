"""The scans against the equations in C++, without Python: builds and runs tests/native."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("cmake", "make", os.environ.get("CXX", "c++"))


@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}")
def test_scans_in_cpp(tmp_path: Path) -> None:
    commands: tuple[list[str | Path], ...] = (
        ["cmake", "-S", ROOT, "-B", tmp_path, "-G", "Unix Makefiles", "-DHIDDENSTATE_TESTS=ON"],
        ["cmake", "--build", tmp_path, "--parallel", str(os.cpu_count())],
        [tmp_path / "test_scan"],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
