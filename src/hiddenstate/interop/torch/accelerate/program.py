"""Runs a Python script or module inside `hiddenstate.accelerate`."""

import argparse
import runpy
import sys
from pathlib import Path

from hiddenstate.interop.torch.accelerate.acceleration import accelerate
from hiddenstate.interop.torch.accelerate.launchers import is_torchrun, torchrun_arguments


def main() -> None:
    """Read the command line, and run the program as ``python`` would, with its own arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m hiddenstate.run",
        description="Runs a Python program with every torch.nn.LSTM in it on the engine of hiddenstate.",
        usage="%(prog)s [--report] [-m] program [arguments ...]",
    )
    parser.add_argument(
        "--report", action="store_true", help="print how often each path ran, and why torch ran other calls"
    )
    parser.add_argument("-m", dest="is_module", action="store_true", help="the program is a module, not a file")
    parser.add_argument("program", help="a script, or with -m a module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its own arguments")
    options = parser.parse_args()
    if not options.is_module and not Path(options.program).exists():
        parser.error(f"there is no file {options.program!r}")
    if is_torchrun(options.program, is_module=options.is_module):
        try:
            options.arguments = torchrun_arguments(options.arguments, report=options.report)
        except ValueError as error:
            parser.error(str(error))
        options.report = False  # the launcher itself calls no LSTM, so it needs no report
    _run(options.program, options.arguments, is_module=options.is_module, report=options.report)


def _run(program: str, arguments: list[str], *, is_module: bool, report: bool) -> None:
    sys.argv = [program, *arguments]
    with accelerate(report=report):
        if is_module:  # like python -m, which searches the working directory first
            sys.path[0] = str(Path.cwd())
            names = runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(program).resolve().parent)
            names = runpy.run_path(program, run_name="__main__")
    del names  # kept until here, so that the report finds the program's models
