"""Outcomes of a suite: those of each test in each way, read, compared, stored, and shown as a table."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from suites.suite import Suite

FILE = Path(__file__).with_name("outcomes.json")
BEGIN, END = "<!-- downstream: begin -->", "<!-- downstream: end -->"
OURS = ("accelerate", "convert", "class")


@dataclass(frozen=True)
class Run:
    """One run of a suite.

    Attributes:
        passed: tests that passed.
        failed: tests that failed or raised an error.
        worse: names of tests that pass with torch's layers, but not here.
        served: calls of torch's layers and cells that ran on the engine.
        left: those that torch computed, by reason.
    """

    passed: int
    failed: int
    worse: tuple[str, ...] = ()
    served: int = 0
    left: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a suite: its versions, the day, and a run for each way; or why it was not run."""

    version: str = ""
    torch: str = ""
    day: str = ""
    runs: Mapping[str, Run] | None = None
    missing: str = ""


def read_tests(junit: Path) -> dict[str, str]:
    """Read pytest's JUnit file: ``passed``, ``failed`` or ``skipped`` by the name of each test."""
    found = {}
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        bad = kinds & {"failure", "error"}
        found[f"{case.get('classname')}::{case.get('name')}"] = (
            "failed" if bad else "skipped" if "skipped" in kinds else "passed"
        )
    return found


def run_of(tests: Mapping[str, str], plain: Mapping[str, str], report: Mapping[str, Any]) -> Run:
    """Summarise a run; ``plain`` has the suite's outcomes with torch's layers, ``report`` is the plugin's output."""
    counts = Counter(tests.values())
    worse = sorted(name for name, outcome in plain.items() if outcome == "passed" and tests.get(name) != "passed")
    served = sum(report.get("served", {}).values())
    return Run(counts["passed"], counts["failed"], tuple(worse), served, report.get("left"))


def keep(outcomes: Mapping[str, Outcome], path: Path = FILE) -> None:
    """Add outcomes to a file, keeping those of other suites."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept |= {name: asdict(outcome) for name, outcome in outcomes.items()}
    path.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")


def kept(path: Path = FILE) -> dict[str, Outcome]:
    """Read the outcomes in a file, by suite."""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {name: _outcome(values) for name, values in found.items()}


def _outcome(values: dict[str, Any]) -> Outcome:
    runs = {way: Run(**{**run, "worse": tuple(run["worse"])}) for way, run in (values["runs"] or {}).items()}
    return Outcome(**{**values, "runs": runs})


def table(suites: Mapping[str, Suite], outcomes: Mapping[str, Outcome]) -> str:
    """Write the table of the documentation."""
    head = (
        "suite",
        "as it is",
        "`accelerate`",
        "its calls on the engine",
        "`convert`",
        "the class",
        "what differs, and why",
    )
    rows = [_row(suite, outcomes[name]) for name, suite in suites.items() if name in outcomes]
    return "\n".join(map(_line, [head, ("---",) * len(head), *rows]))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(suite: Suite, outcome: Outcome) -> tuple[str, ...]:
    if not outcome.runs:
        return suite.name, "", "", "", "", "", f"not run: {outcome.missing}"
    named = f"{suite.name} {outcome.version}, {outcome.day}"
    runs = [outcome.runs[way] for way in ("as it is", *OURS)]
    plain, accelerated, converted, swapped = (f"{run.passed} / {run.failed}" for run in runs)
    return named, plain, accelerated, _share(outcome.runs["accelerate"]), converted, swapped, _why(suite, outcome.runs)


def _share(run: Run) -> str:
    calls = run.served + sum((run.left or {}).values())
    return f"{run.served:,} of {calls:,}" if calls else "none made"


def _why(suite: Suite, runs: Mapping[str, Run]) -> str:
    """The suite's reasons for differences, each once, for the ways that differ."""
    wanted = [way for way in OURS if runs[way].worse] + ["as it is", "calls"]
    if not runs["convert"].worse:
        wanted.append("recipe")
    return "; ".join(dict.fromkeys(suite.why[way] for way in wanted if way in suite.why))


def unexplained(suites: Mapping[str, Suite], outcomes: Mapping[str, Outcome]) -> list[str]:
    """Ways in which fewer tests of a suite pass with our layers, without a stated reason."""
    ran = [(suite, outcomes[name].runs) for name, suite in suites.items() if name in outcomes]
    return [
        f"{suite.name}, {way}"
        for suite, runs in ran
        for way in OURS
        if runs and runs[way].worse and way not in suite.why
    ]


def into_page(page: str, written: str) -> str:
    """Insert the table into a page, between its markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{written}\n\n{END}{rest.split(END)[1]}"
