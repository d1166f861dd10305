"""Runs work in a separate process, and reports the outcome."""

import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk that waits for nothing


def _child(work: Callable[..., None], *given: Any) -> None:
    try:
        work(*given)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def outcome(work: Callable[..., None], *given: Any, way: str = "fork") -> tuple[int | None, str]:
    """Do work in a separate process, in a folder; return its exit code, and the position it reported last.

    A process that is spawned, rather than forked, computes on any number of threads.
    """
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        arguments = (work, *given, Path(folder))
        context: Any = multiprocessing.get_context(way)
        child = context.Process(target=_child, args=arguments)
        child.start()
        child.join()
        at = Path(folder, "at")
        return child.exitcode, at.read_text().strip() if at.exists() else "nothing"


def done(name: str, work: Callable[..., None], *given: Any, way: str = "fork") -> bool:
    """Do work in a separate process, in a folder, print the outcome, and return whether all is well."""
    code, at = outcome(work, *given, way=way)
    print(f"{name}: {at}" if code == 0 else f"{name}: FAILED at {at}, exit code {code}", flush=True)
    return code == 0
