"""Commands that run in the test's process, and end as they would in their own."""

import signal
import sys

import pytest

from hiddenstate.cli import main


def status_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run the command line in this process, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["hiddenstate", *arguments])
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    return end.value.code
