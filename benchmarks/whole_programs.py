"""Whole programs that use other libraries, unchanged and under ``python -m hiddenstate.run``, in turns.

    python benchmarks/whole_programs.py [--turns 5] [--threads 1] [--size 2] [program ...]

Each runs in the Python that `make downstream` made for the suite of its library, or in that of ``--python``, and
reports how many seconds its main part took, without imports and data. Medians of subprocesses are compared, which take
turns so that other load on the machine affects both.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# The suite whose Python a program runs in.
PROGRAMS = {"recurrent_ppo": "sb3-contrib", "deep_ar": "pytorch-forecasting", "tagger": "skorch"}
FRONT: dict[str, list[str]] = {"torch": [], "accelerate": ["-m", "hiddenstate.run", "--report"]}


def main() -> None:
    """Read the command line, and print a row for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", metavar="program", help=f"which of {', '.join(PROGRAMS)}; all without")
    parser.add_argument("--turns", type=int, default=5, help="runs of each kind")
    parser.add_argument("--threads", type=int, help="threads of torch and of the engine")
    parser.add_argument("--size", type=int, help="steps or epochs, of one program; without, as each says itself")
    parser.add_argument("--python", type=Path, help="the Python for all of them")
    options = parser.parse_args()
    unknown = sorted(set(options.programs) - PROGRAMS.keys())
    if unknown:
        parser.error(f"there is no program {unknown[0]!r}: choose of {', '.join(PROGRAMS)}")
    print("| program | torch | accelerate | faster | on the engine |\n|---|---:|---:|---:|---|")
    for name in options.programs or PROGRAMS:
        python = options.python or python_of(PROGRAMS[name])
        program = [str(HERE / "programs" / f"{name}.py"), *([str(options.size)] if options.size else [])]
        print(row(name, [str(python)], program, options.turns, options.threads), flush=True)


def python_of(suite: str) -> Path:
    """Return the Python of a suite.

    Raises:
        SystemExit: there is no Python for it yet.
    """
    python = HERE.parent / "build" / "downstream" / suite / "python" / "bin" / "python"
    if not python.exists():
        sys.exit(f"there is no Python of {suite} yet: python tests/downstream.py --only-prepare {suite}")
    return python


def row(name: str, python: list[str], program: list[str], turns: int, threads: int | None) -> str:
    """Measure a program in turns; return its line of the table."""
    seconds: dict[str, list[float]] = {kind: [] for kind in FRONT}
    said = ""
    for _ in range(turns):
        for kind, front in FRONT.items():
            took, errors = run([*python, *front, *program], threads)
            seconds[kind].append(took)
            said = share_in(errors) or said
    torch, ours = (statistics.median(seconds[kind]) for kind in FRONT)
    return f"| {name} | {torch:.2f} s | {ours:.2f} s | {torch / ours:.2f}× | {said} |"


def run(command: list[str], threads: int | None) -> tuple[float, str]:
    """Run a program; return the seconds that it reports, and its standard error.

    Raises:
        SystemExit: it failed.
    """
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = re.search(r"^seconds ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        sys.exit(f"{' '.join(command)} broke off:\n{done.stderr}")
    return float(found[1]), done.stderr


def share_in(errors: str) -> str:
    r"""Return the share of calls that ran on the engine, as the report says.

    >>> share_in("x\n12 of 12 calls ran on the engine (100.0%)\n  12 on the path 'fast'")
    '12 of 12 calls'
    """
    found = re.search(r"([\d,]+ of [\d,]+ calls) ran on the engine", errors)
    return found[1] if found else ""


if __name__ == "__main__":
    main()
