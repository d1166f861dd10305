"""Work in a process of its own, and what came of it."""

import multiprocessing
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _child(work: Callable[..., None], *given: Any) -> None:
    try:
        work(*given)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def done(name: str, work: Callable[..., None], *given: Any) -> bool:
    """Do work in a process of its own, in a folder, say what came of it, and return whether all is well."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (work, *given, Path(folder))
        child = multiprocessing.get_context("fork").Process(target=_child, args=arguments)
        child.start()
        child.join()
        at = Path(folder, "at").read_text() if Path(folder, "at").exists() else "nothing"
    well = child.exitcode == 0
    print(f"{name}: {at}" if well else f"{name}: FAILED at {at}, exit code {child.exitcode}", flush=True)
    return well
