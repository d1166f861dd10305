"""A grid of sizes, ours against torch, inference and training, kept for each kind of CPU in grid.json.

    python benchmarks/grid.py              measure, and put this CPU's rows into grid.json
    python benchmarks/grid.py --show       a summary of all CPUs in it

Each of the two has a process of its own. They take turns, and a row has the best turn of each, because what other
programs do only adds to it. The whole grid is measured several times, since a shared machine may be slower for minutes.
Rows that are measured again replace those before, unless more disturbed than those.
"""

import argparse
import copy
import json
import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import ceilings
import floors
import layers
import machine
from ceilings import Ceilings
from contestants import SAME, gap
from measure import Pace
from regime import Regime, made
from shapes import Shape
from workers import Worker

TABLE = Path(__file__).with_suffix(".json")
STEPS = 50
ROWS = (1, 8, 16, 32, 64, 128, 256)
UNITS = (64, 128, 256, 448, 480, 512, 528, 640, 768, 1024)
LAYERS = (1, 2)
TASKS = {
    "inference": ((layers.ours, layers.torch_no_grad), floors.forward),
    "training": ((layers.ours_training, layers.torch_training), floors.training),
}
PACE = Pace(turn=0.03, pause=0.005)
LONG = 0.2  # seconds; a slower row takes one turn in each run
MANY_ROWS = 16  # from which a batch is summarised

Row = dict[str, Any]


def measured(task: str, shapes: Sequence[Shape], found: Ceilings | None, turns: int) -> Iterator[Row]:
    """The rows of a task: microseconds, torch's as a multiple of ours, and the floors as shares of them."""
    entries, floor = TASKS[task]
    with Worker("hiddenstate") as ours, Worker("torch") as theirs:
        both = (ours, theirs)
        for shape in shapes:
            regime = Regime(task, shape, entries)
            for worker, entry in zip(both, entries, strict=True):
                worker.begin(partial(made, entry, regime))
            shown = [worker.entered().shown for worker in both]
            if gap(*shown) > SAME:
                raise SystemExit(f"{regime.name}: torch's numbers are others")
            watch = machine.Watch(worker.pid for worker in both)
            taken = [[worker.turn(PACE) for worker in both]]
            if max(taken[0]) < LONG:
                taken += [[worker.turn(PACE) for worker in both] for _ in range(turns - 1)]
            best = [min(times) for times in zip(*taken, strict=True)]
            others = watch.others()
            yield {
                "task": task, **shape._asdict(),
                "us": [round(seconds * 1e6, 1) for seconds in best],
                "ratio": round(best[1] / best[0], 3),
                "of_floor": [round(floor(shape, found) / seconds, 3) for seconds in best] if found else None,
                "others": None if others is None else round(others, 3),
            }  # fmt: skip


def joined(row: Row, before: Row | None) -> Row:
    """A row of two runs, with the best turn of each contestant; only the less disturbed run counts if one was."""
    if before is None:
        return row
    if any((one["others"] or 0) > machine.DISTURBING for one in (row, before)):
        return min(row, before, key=lambda one: one["others"] or 0)
    ours, theirs = map(min, zip(row["us"], before["us"], strict=True))
    floor = row["of_floor"] and row["of_floor"][0] * row["us"][0]
    return {
        **row,
        "us": [ours, theirs],
        "ratio": round(theirs / ours, 3),
        "of_floor": floor and [round(floor / us, 3) for us in (ours, theirs)],
        "others": None if row["others"] is None else max(row["others"], before["others"] or 0),
    }


def key(row: Row) -> tuple[Any, ...]:
    return row["task"], row["L"], row["N"], row["H"]


def kept(table: list[Row], rows: Sequence[Row], found: Ceilings | None) -> list[Row]:
    """The table with these rows of this CPU instead of those of the same sizes before."""
    name, threads = machine.cpu_model(), machine.threads()
    mine = next((one for one in table if (one["cpu"], one["threads"]) == (name, threads)), None)
    if mine is None:
        table.append(mine := {"cpu": name, "threads": threads, "rows": []})
    mine["about"] = machine.described()
    mine["caches"] = {f"L{level}": ceilings.cache_size(level) for level in (1, 2, 3)}
    mine["ceilings"] = ceilings.as_data(found) if found else None
    by_key = {key(row): row for row in mine["rows"]}
    for row in rows:
        before = by_key.get(key(row))
        if before is None or (row["others"] or 0) <= max(before["others"] or 0, machine.DISTURBING):
            by_key[key(row)] = row
    mine["rows"] = [by_key[one] for one in sorted(by_key)]
    return table


def written(table: Sequence[Row]) -> str:
    """As JSON, a line for each row, so that changes show line by line."""
    machines = []
    for one in table:
        about = json.dumps({name: value for name, value in one.items() if name != "rows"}, indent=1).removesuffix("\n}")
        rows = ",\n".join(f"  {json.dumps(row)}" for row in one["rows"])
        machines.append(f'{about},\n "rows": [\n{rows}\n ]\n}}')
    return "[" + ",\n".join(machines) + "]\n"


def summary(one: Row) -> Iterator[str]:
    """Lines on a CPU: how its ratios lie, and each row in which torch is faster."""
    disturbed = sum((row["others"] or 0) > machine.DISTURBING for row in one["rows"])
    yield f"{one['cpu']}, {one['threads']} threads; {disturbed} rows left out, which other programs disturbed"
    for task in TASKS:
        rows = [row for row in one["rows"] if row["task"] == task and (row["others"] or 0) <= machine.DISTURBING]
        many = [row["ratio"] for row in rows if row["N"] >= MANY_ROWS]
        if not many:
            continue
        least, middle = min(row["ratio"] for row in rows), statistics.median(many)
        yield f"  {task}: {len(rows)} rows, least {least:.2f}, median from N {MANY_ROWS} on {middle:.2f}"
        shares = [row["of_floor"] for row in rows if row["of_floor"]]
        if shares:
            ours, theirs = (statistics.median(each) for each in zip(*shares, strict=True))
            yield f"    median floor / ours {ours:.0%}, floor / torch's {theirs:.0%}"
        yield from (
            f"    below 1: T {row['T']}, N {row['N']}, H {row['H']}, {row['L']} layers: {row['ratio']:.2f}"
            for row in rows
            if row["ratio"] < 1
        )


def main() -> None:
    """Measure what is asked for, and keep it; or show what is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--task", choices=TASKS, action="append", help="of one task only")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, metavar="N")
    parser.add_argument("--units", type=int, nargs="+", default=UNITS, metavar="H")
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS, metavar="L")
    parser.add_argument("--turns", type=int, default=3, help="turns of each in a run")
    parser.add_argument("--runs", type=int, default=3, help="times that the whole grid is measured")
    given = parser.parse_args()
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else []
    if not given.show:
        found = ceilings.measure(machine.threads())
        shapes = [Shape(STEPS, N, H, L) for L, H, N in product(given.layers, given.units, given.rows)]
        best: dict[tuple[Any, ...], Row] = {}
        for _, task in product(range(given.runs), given.task or TASKS):
            for row in measured(task, shapes, found, given.turns):
                print(json.dumps(row), flush=True)
                best[key(row)] = joined(row, best.get(key(row)))
                TABLE.write_text(written(kept(copy.deepcopy(table), [*best.values()], found)), encoding="utf-8")
        table = kept(table, [*best.values()], found)
    for one in table:
        print("\n".join(summary(one)))


if __name__ == "__main__":
    main()
