"""What runs in forked processes: in a process of its own, as what is registered stays."""

import os
import subprocess
import sys

import pytest

CODE = """
import os
{without}
from hiddenstate.base.forks import in_forked_children
in_forked_children(lambda: os.write(1, b"in the child "))
{fork}
"""
FORK = "child = os.fork()\nos._exit(0) if child == 0 else os.waitpid(child, 0)\nos.write(1, b'over')"


def told(without: str, fork: str) -> str:
    code = CODE.format(without=without, fork=fork)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_runs_it() -> None:
    assert told("", FORK) == "in the child over"


def test_a_system_without_fork_has_nothing_to_run() -> None:
    # torch looks for them, too, where the system should have them.
    without = "import torch\nfor name in ('fork', 'register_at_fork'): vars(os).pop(name, None)"
    assert told(without, "import hiddenstate\nos.write(1, b'over')") == "over"
