"""The page's modules, checked in TypeScript's strictest mode: their types are in comments."""

import shutil
import subprocess
from pathlib import Path

import pytest

from studio.chromium import STATIC

COMMAND = ["npm", "exec", "--yes", "--package", "typescript@5", "--", "tsc", "--pretty", "false", "-p"]


def tsc(config: Path) -> str:
    """Return the compiler's complaints; skip if it is neither installed nor installable."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on this machine")
    done = subprocess.run([*COMMAND, str(config)], capture_output=True, text=True, timeout=300, check=False)
    if "error TS" not in done.stdout and done.returncode:
        pytest.skip(f"npm can't get TypeScript: {done.stderr[-300:]}")
    return done.stdout


def test_types() -> None:
    assert tsc(STATIC / "jsconfig.json") == ""


def test_types_fail(tmp_path: Path) -> None:
    (tmp_path / "jsconfig.json").write_text((STATIC / "jsconfig.json").read_text())
    (tmp_path / "wrong.js").write_text("/** @type {number} */\nexport const wrong = 'text';\n")
    assert "wrong.js" in tsc(tmp_path / "jsconfig.json")
