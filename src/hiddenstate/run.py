"""``python -m hiddenstate.run PROGRAM``: runs a program with torch's LSTMs, GRUs and RNNs on the engine."""

import argparse
import builtins
import os
import pkgutil
import runpy
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from hiddenstate.interop.torch.accelerate.acceleration import accelerate


def main() -> None:
    """Read the command line, and run the program as ``python`` would, with its own arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m hiddenstate.run",
        description="Runs a Python program with torch's LSTMs, GRUs and RNNs on the engine of hiddenstate.",
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
    sys.argv = [options.program, *options.arguments]
    with accelerate(report=options.report):
        if options.is_module:  # like python -m, which searches the working directory first
            sys.path[0] = str(Path.cwd())
            runpy.run_module(options.program, run_name="__main__", alter_sys=True)
        else:
            _run_file(options.program)


def _run_file(program: str) -> None:
    """Run a script as ``__main__``, as ``python`` does, and keep its module for threads and exit handlers."""
    # Absolute, because programs change the working directory; otherwise as typed, which pathlib would normalise.
    path = os.path.join(os.getcwd(), program)  # noqa: PTH109, PTH118
    code, module = _script(path) if pkgutil.get_importer(path) is None else _folder(path)
    vars(module)["__builtins__"] = builtins
    sys.modules["__main__"] = module
    exec(code, vars(module))


def _script(path: str) -> tuple[CodeType, ModuleType]:
    sys.path[0] = str(Path(path).resolve().parent)
    module = ModuleType("__main__")
    loader = (SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader)("__main__", path)
    vars(module).update(__file__=path, __loader__=loader, __cached__=None)
    if isinstance(loader, SourceFileLoader):  # not get_code, which would write a cache file
        return loader.source_to_code(loader.get_data(path), path), module
    code = loader.get_code("__main__")
    assert code is not None
    return code, module


def _folder(path: str) -> tuple[CodeType, ModuleType]:
    sys.path[0] = path
    finder: Any = pkgutil.get_importer(path)
    spec = finder.find_spec("__main__")
    if spec is None:
        sys.exit(f"there is no __main__.py in {path!r}")
    return spec.loader.get_code("__main__"), module_from_spec(spec)


if __name__ == "__main__":
    main()
