"""The standing attack (`attack.py`), short: bombs, and some hundred damaged files of every format."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = "200"

if sys.platform != "linux":
    pytest.skip("limits of memory are Linux's", allow_module_level=True)

import attack  # noqa: E402 (needs these limits)


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What the attack says of each bomb and format, and what it printed of failures."""
    script = Path(attack.__file__)
    paths = [str(script.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(script), "--count", COUNT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    return {**lines, "failures": done.stderr}


@pytest.mark.parametrize("name", attack.BOMBS)
def test_small_files_that_ask_for_much_are_refused_or_read_within_bounds(told: dict[str, str], name: str) -> None:
    expected = "refused" if attack.BOMBS[name].said else "read"
    assert told[f"bomb {name}"] == expected, told["failures"]


@pytest.mark.parametrize("name", attack.FORMATS)
def test_damaged_files_load_or_are_refused_by_an_error_with_their_name(told: dict[str, str], name: str) -> None:
    assert told[name].endswith(f"of {COUNT} refused"), f"{told[name]}\n{told['failures']}"
