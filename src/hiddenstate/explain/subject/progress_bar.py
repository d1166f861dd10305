"""A progress bar on stderr for explanations that take longer than a second, in terminals and notebooks."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from hiddenstate.errors import ArgumentTypeError

Progress = Callable[[int, int], object]  # called with the number of row-steps done and the total
T = TypeVar("T")

DELAY = 1.0  # seconds before a bar appears


@contextmanager
def reporting(progress: Progress | bool | None, unit: str = "steps") -> Iterator[Progress | None]:
    """Turn a ``progress=`` argument into a callback, for a block; None if nobody would see a bar."""
    check_progress(progress)
    if not isinstance(progress, bool):
        yield progress
        return
    console = Console(stderr=True)
    # In a notebook, rich draws a widget.
    is_seen = find_spec("ipywidgets") is not None if console.is_jupyter else console.file.isatty()
    if not progress or not is_seen:
        yield None
        return
    text = TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit)
    bars = Bars(text, BarColumn(), TimeRemainingColumn(), console=console, transient=True)
    task, appears = bars.add_task("", total=1), time.monotonic() + DELAY

    def report(completed: int, total: int) -> None:
        if completed < total and time.monotonic() >= appears:  # not if all work is done by then
            bars.start()
        bars.update(task, completed=completed, total=total)

    try:
        yield report
    finally:
        bars.stop()


def counted(items: Sequence[T], report: Progress | None) -> Iterator[T]:
    """Yield items, and report progress after each."""
    for k, item in enumerate(items):
        yield item
        if report is not None:
            report(k + 1, len(items))


def check_progress(progress: object) -> None:
    """Raise ArgumentTypeError if ``progress=`` is neither a function nor True, False or None."""
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise ArgumentTypeError(
            f"progress must be a function of two numbers, got {type(progress).__name__} (True shows a bar, False none)"
        )
