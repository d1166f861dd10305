"""Launchers such as torchrun: the programs that they start also run under `hiddenstate.run`."""

from collections.abc import Sequence
from pathlib import Path

TORCHRUN = ("torch.distributed.run", "torch.distributed.launch")


def is_torchrun(program: str, *, is_module: bool) -> bool:
    """Whether a program is torchrun."""
    return program in TORCHRUN if is_module else Path(program).stem == "torchrun"


def torchrun_arguments(arguments: Sequence[str], *, report: bool) -> list[str]:
    """Return arguments for torchrun that start each worker as ``python -m hiddenstate.run``.

    Args:
        arguments: torchrun's arguments: its options, the workers' program, and the program's own arguments.
        report: whether each worker prints its report.

    Raises:
        SystemExit: torchrun does not take these arguments, or only asks for its help.
        ValueError: the workers are not Python programs (``--no-python``).
    """
    from torch.distributed.run import parse_args

    options = parse_args(list(arguments))
    if options.no_python:
        raise ValueError("torchrun --no-python starts no Python program: put python -m hiddenstate.run before yours")
    own = list(arguments[: len(arguments) - len(options.training_script_args) - 1])
    worker = ["-m", options.training_script] if options.module else [options.training_script]
    as_module = [] if options.module else ["-m"]
    return [*own, *as_module, "hiddenstate.run", *(["--report"] * report), *worker, *options.training_script_args]
