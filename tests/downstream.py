"""Runs other projects' test suites unchanged and with our layers, and writes the table in tests/DOWNSTREAM.md.

``python tests/downstream.py`` runs all of them, ``python tests/downstream.py torchrl opacus`` some. Each gets its own
Python in build/downstream, on top of this one's packages, and the tests of its version through git. If a repository
can't be reached, ``--source torch=FOLDER`` names a folder with it, or git's ``url.<base>.insteadOf`` a mirror.
"""

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import suites
from suites import outcomes, surroundings
from suites.outcomes import OURS, Outcome
from suites.suite import Suite, read

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tests" / "DOWNSTREAM.md"
SUITES = Path(suites.__path__[0])
LIMIT = 3600  # maximum seconds for one run


def main() -> None:
    """Read the command line, run the suites, save each result as soon as it is known, and write the table."""
    every = read()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="suite", help=f"which; all without: {', '.join(every)}")
    parser.add_argument("--source", action="append", default=[], metavar="SUITE=FOLDER", help="where its tests lie")
    parser.add_argument("--way", action="append", choices=OURS, help="only this way beside as it is; nothing is kept")
    parser.add_argument("--only-prepare", action="store_true", help="make their Pythons and fetch their tests")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - every.keys())
    if unknown:
        parser.error(f"there is no suite {unknown[0]!r}: choose of {', '.join(every)}")
    sources = {name: Path(folder).resolve() for name, _, folder in (one.partition("=") for one in options.source)}
    for name in options.names or every:
        outcome = run(every[name], sources.get(name), () if options.only_prepare else options.way or OURS)
        if not options.way and not options.only_prepare:
            outcomes.keep({name: outcome})
    write_table(every)


def run(suite: Suite, source: Path | None, ways: Sequence[str]) -> Outcome:
    """Run a suite unchanged and in each variant."""
    room = ROOT / "build" / "downstream" / suite.name
    room.mkdir(parents=True, exist_ok=True)
    try:
        folder = surroundings.prepare(suite, room, source)
    except surroundings.NotFetchedError as error:
        print(f"{suite.name}: {error}", flush=True)
        return Outcome(missing=str(error), torch=version("torch"), day=_today())
    if suite.untested or not ways:
        return Outcome(missing=suite.untested)
    found: dict[str, outcomes.Run] = {}
    plain: dict[str, str] = {}
    for way in ("as it is", *ways):
        tests, report = _run_once(suite, room, folder, way)
        plain = plain or tests
        found[way] = outcomes.run_of(tests, plain, report)
        _say(suite, way, found[way])
        if not found["as it is"].passed:
            return Outcome(
                missing=f"no test passes here as it is ({_why_not(room)})", torch=version("torch"), day=_today()
            )
    return Outcome(surroundings.version_of(suite, room, folder), version("torch"), _today(), found)


def _why_not(room: Path) -> str:
    """The first error in the log of the unchanged suite."""
    lines = (room / "as-it-is.log").read_text(encoding="utf-8").splitlines()
    return next((line[1:].strip() for line in lines if line.startswith("E  ")), "see its log")


def _today() -> str:
    return datetime.date.today().isoformat()


def _run_once(suite: Suite, room: Path, folder: Path, way: str) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    stem = room / way.replace(" ", "-")
    junit, report, log = (stem.with_suffix(suffix) for suffix in (".xml", ".json", ".log"))
    for path in (junit, report):
        path.unlink(missing_ok=True)
    pytest = [surroundings.python_of(room), "-m", "pytest", "-p", "hiddenstate_downstream", "-p", "no:cacheprovider"]
    with log.open("w", encoding="utf-8") as file:
        try:
            subprocess.run(
                [
                    *map(str, pytest),
                    *[part.format(suites=SUITES) for part in suite.tests],
                    f"--junitxml={junit}",
                    "-q",
                    "--tb=short",
                ],
                cwd=folder,
                env=surroundings.environment(way, report, suite.recipe if way == "convert" else ""),
                timeout=LIMIT,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        except subprocess.TimeoutExpired:
            print(f"{suite.name}, {way}: not done after {LIMIT} seconds", flush=True)
    tests = outcomes.read_tests(junit) if junit.exists() else {}
    return tests, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}


def _say(suite: Suite, way: str, run: outcomes.Run) -> None:
    print(f"{suite.name}, {way}: {run.passed} passed, {run.failed} failed", flush=True)
    for name in run.worse:
        print(f"    not as it is: {name}", flush=True)


def write_table(every: dict[str, Suite]) -> None:
    """Write the table of all saved results into the documentation."""
    kept = outcomes.kept() if outcomes.FILE.exists() else {}
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(outcomes.into_page(page, outcomes.table(every, kept)), encoding="utf-8")
    for one in outcomes.unexplained(every, kept):
        print(f"suites.toml does not say why fewer pass: {one}", file=sys.stderr)


if __name__ == "__main__":
    main()
