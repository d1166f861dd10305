"""``hiddenstate version``: what is installed, and which engine runs."""

import platform
from importlib.metadata import version as version_of

import torch
import typer

from hiddenstate import engine


def version() -> None:
    """Show versions, CPU features and which engine computes."""
    native = engine.native_version()
    lines = {
        "hiddenstate": version_of("hiddenstate"),
        "python": platform.python_version(),
        "torch": f"{torch.__version__} ({torch.get_num_threads()} threads)",
        "native module": f"{native} (CPU detection)" if native else "could not be loaded",
        "CPU": f"{engine.machine()} {' '.join(engine.cpu_features()) or '(features unknown)'}",
        "engine": "plain and ragged calls: torch's kernels; traces, edits, resets, streams: the reference path (plain "
        "torch)",
    }
    for name, value in lines.items():
        typer.echo(f"{name:14} {value}")
