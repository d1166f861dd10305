"""What a forked process must do before anything else: it has none of the other threads, whatever they were doing."""

import os
from collections.abc import Callable


def in_forked_children(function: Callable[[], None]) -> None:
    """Run a function in every process that is forked from now on; where the system has no fork, nothing."""
    if hasattr(os, "fork"):
        os.register_at_fork(after_in_child=function)
