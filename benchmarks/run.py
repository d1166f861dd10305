"""Speed of the layer against torch's and others', as ratios measured in one run, and relative to the machine's peak.

Each contestant of a regime runs in its own process, with the same weights and input. They are compared first: one whose
numbers differ from ours is not measured. Then they take turns, so that other load on the machine affects all of them
equally; figures are medians over the turns. Floors are explained in floors.py.

    python benchmarks/run.py [--quick] [--only TEXT] [--json FILE] [--markdown FILE]
    python benchmarks/run.py --company
"""

import argparse
from pathlib import Path

import ceilings
import company
import machine
import python_cost
import speed
from ceilings import Ceilings, CeilingsError
from machine import Watch
from measure import PACE, Pace
from regimes import REGIMES
from report import Table, print_head, print_regime, write_json, write_markdown
from speed import Notes

SECONDS, QUICK_SECONDS = 3.0, 0.5
QUICK_PACE = Pace(turn=0.02)


def main() -> int:
    options = _options()
    about, notes = machine.described(), Notes()
    limits = None if options.company else _ceilings(about)
    print("\n".join(about))
    for table in (tables := _tables(options, limits, notes)):
        _fill(table, options.only, options.seconds or (QUICK_SECONDS if options.quick else SECONDS))
    print("\n" + "\n".join(notes.lines()))
    if options.json:
        write_json(options.json, about + notes.lines(), limits and ceilings.as_data(limits), tables)
    if options.markdown:
        write_markdown(options.markdown, about + notes.lines(), tables)
    return 1 if notes.failed() else 0


def _ceilings(about: list[str]) -> Ceilings | None:
    """Measure the ceilings and print them, or the reason why not."""
    watch = Watch()
    try:
        limits = ceilings.measure(machine.threads())
    except CeilingsError as reason:
        about.append(f"No ceilings, and so no floors: {reason}")
        return None
    about.append(ceilings.described(limits))
    if disturbed := watch.warning():
        about.append(f"Meanwhile {disturbed}: these ceilings are too low, and shares of floors too high")
    return limits


def _tables(options: argparse.Namespace, limits: Ceilings | None, notes: Notes) -> list[Table]:
    if options.company:
        return [company.table(notes)]
    regimes = [regime for regime in REGIMES if regime.quick or not options.quick]
    pace = QUICK_PACE if options.quick else PACE
    return [speed.table(regimes, limits, notes, pace), python_cost.table(pace)]


def _fill(table: Table, only: str, seconds: float) -> None:
    """Measure the parts whose name contains ``only``, and print each as soon as it is measured."""
    chosen = [part for part in table.parts if only in part.name]
    if chosen:
        print_head(table)
    for part in chosen:
        if rows := part.measure(seconds):
            print_regime(table, rows)
            table.rows += rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer regimes, less time: under two minutes in all")
    parser.add_argument("--company", action="store_true", help="measure beside busy loops instead, one a core")
    parser.add_argument("--only", default="", metavar="TEXT", help="regimes that have this in their name")
    parser.add_argument(
        "--seconds", type=float, help=f"measuring time of a regime (default: {SECONDS}), or seven turns each"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables to this file")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
