"""A grid of sizes: ours against torch and onnxruntime, by task, precision and kind of cell, for each CPU met so far.

    python benchmarks/grid.py              measure the rows that this CPU still lacks: about five minutes
    python benchmarks/grid.py --full       the same for all sizes: an hour or two
    python benchmarks/grid.py --show       measure nothing, and print every row

Each contestant has a process of its own. They take turns, and a row has the best turn of each, because what other
programs do only adds to it. Each row is put into grid.json at once, so that a run can be stopped at any time (or by
``--seconds``) and the next one goes on; it also repeats the rows that other programs disturbed. At the end, the tables
of docs/speed.md are written anew.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import ceilings
import floors
import int8_layers
import layers
import machine
import onnx_peers
from ceilings import Ceilings, Level, Rate
from contestants import SAME, SAME_IN_BFLOAT16, SAME_IN_INT8, Contestant, Entry, MissingPeerError, gap, if_it_runs
from measure import LostError, Pace
from shapes import Case, Shape
from workers import Worker

TABLE = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- The tables of benchmarks/grid.py: -->\n", "<!-- Their end. -->\n"

STEPS = 50
ROWS, UNITS = (1, 16, 64), (64, 128, 256, 512)
ALL_ROWS, ALL_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256), (32, 64, 128, 256, 512, 1024)
FLOATS = ("float32", "bfloat16", "float16")
TOLERANCES = {"float32": SAME, "bfloat16": SAME_IN_BFLOAT16, "float16": SAME_IN_BFLOAT16, "int8": SAME_IN_INT8}
# Ours, torch's and onnxruntime's contestants of each task, for floats and for int8.
TASKS: dict[str, dict[str, tuple[Entry, ...]]] = {
    "step": {
        "float": (layers.ours_stream, layers.torch_stream, onnx_peers.onnxruntime_stream),
        "int8": (int8_layers.ours_int8_stream, int8_layers.torch_int8_stream, onnx_peers.onnxruntime_int8_stream),
    },
    "inference": {
        "float": (layers.ours, layers.torch_no_grad, onnx_peers.onnxruntime),
        "int8": (int8_layers.ours_int8, int8_layers.torch_int8, onnx_peers.onnxruntime_int8),
    },
    "training": {"float": (layers.ours_training, layers.torch_training)},
}
OURS = "hiddenstate"
OTHERS = TORCH, ONNXRUNTIME, OUR_FLOAT32 = "torch", "onnxruntime", "our float32"
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
PACE = Pace(turn=0.03, pause=0.005)
LONG = 0.2  # seconds; a slower row takes one turn
MANY_ROWS = 16  # from which rows count as a batch

Machine = dict[str, Any]


class Problem(NamedTuple):
    """What a row measures."""

    task: str
    precision: str
    kind: str
    N: int
    H: int

    @property
    def shape(self) -> Shape:
        return Shape(1 if self.task == "step" else STEPS, self.N, self.H)

    def entries(self) -> dict[str, Entry]:
        """The contestants. onnxruntime has no recurrent operators in half precision, nor an int8 GRU."""
        floats, narrow = TASKS[self.task]["float"], self.precision != "float32"
        entries = dict(zip((OURS, TORCH, ONNXRUNTIME), TASKS[self.task].get(self.precision, floats), strict=False))
        if narrow and (self.precision, self.kind) != ("int8", "LSTM"):
            entries.pop(ONNXRUNTIME, None)
        return {**entries, OUR_FLOAT32: floats[0]} if narrow else entries

    def floor(self, limits: Ceilings) -> float:
        """Seconds that it takes at least, in float32."""
        return (floors.training if self.task == "training" else floors.forward)(self.shape, limits, GATES[self.kind])


class Row(NamedTuple):
    """Microseconds of each contestant; the share of the machine that other programs took meanwhile, if known."""

    us: dict[str, float]
    others: float | None

    @property
    def disturbed(self) -> bool:
        return (self.others or 0) > machine.DISTURBING

    def ratio(self, other: str) -> float | None:
        """How many times as long as ours another contestant takes."""
        return self.us[other] / self.us[OURS] if other in self.us else None


Rows = dict[Problem, Row]


def problems(options: argparse.Namespace) -> Iterator[Problem]:
    """What is to be measured. Plain RNNs have float32 alone; streams take their steps one row at a time."""
    for task, kind in product(options.task, options.kind):
        for precision, N, H in product(options.precision, (1,) if task == "step" else options.rows, options.units):
            if precision == "float32" or (kind != "RNN" and (precision in FLOATS or "int8" in TASKS[task])):
                yield Problem(task, precision, kind, N, H)


def contestant(who: str, problem: Problem) -> Contestant:
    """Make one of a problem's contestants, in its worker."""

    def make() -> Contestant:
        wide = who == OUR_FLOAT32 or problem.precision not in FLOATS
        dtype = torch.float32 if wide else getattr(torch, problem.precision)
        return problem.entries()[who](Case(problem.shape, getattr(nn, problem.kind), dtype))

    narrow = who == TORCH and problem.precision in ("bfloat16", "float16")
    return (if_it_runs(make) if narrow else make())._replace(tolerance=TOLERANCES[problem.precision])


class Contest:
    """A process for each contestant, from problem to problem; a lost one is replaced."""

    def __init__(self, ends: ExitStack) -> None:
        self._ends = ends
        self._workers: dict[str, Worker] = {}

    def measured(self, problem: Problem, turns: int) -> Row:
        """The row of a problem. Those that do not exist here are left out, and so are those with other numbers."""
        for who in problem.entries():
            if who not in self._workers:
                self._workers[who] = self._ends.enter_context(Worker(who))
            self._workers[who].begin(partial(contestant, who, problem))
        shown = {who: self._tried(who, lambda worker: worker.entered().shown) for who in problem.entries()}
        times: dict[str, list[float]] = {who: [] for who in shown if self._agrees(problem, who, shown)}
        watch = machine.Watch(self._workers[who].pid for who in times)
        for _ in range(turns):
            for who in [*times]:
                if (seconds := self._tried(who, lambda worker: worker.turn(PACE))) is None:
                    del times[who]
                else:
                    times[who].append(seconds)
            if OURS not in times:
                raise SystemExit(f"{problem}: ours is not there")
            if max(map(max, times.values())) > LONG:
                break
        others = watch.others()
        us = {who: round(min(seconds) * 1e6, 1) for who, seconds in times.items()}
        return Row(us, None if others is None else round(others, 3))

    def _tried(self, who: str, ask: Callable[[Worker], Any]) -> Any:
        """A worker's answer, or None if it has none."""
        try:
            return ask(self._workers[who])
        except MissingPeerError as reason:
            print(reason)
        except LostError as reason:
            print(reason)
            self._workers.pop(who).close()
        return None

    def _agrees(self, problem: Problem, who: str, shown: dict[str, Any]) -> bool:
        if shown[OURS] is None or shown[who] is None:
            return False
        difference = gap(shown[OURS], shown[who])
        if difference > TOLERANCES[problem.precision]:
            print(f"{problem}: {who} differs by {difference:.2g} and is left out")
        return difference <= TOLERANCES[problem.precision]


def rows_of(one: Machine) -> Rows:
    return {Problem(*(row[name] for name in Problem._fields)): Row(row["us"], row["others"]) for row in one["rows"]}


def this_machine(table: list[Machine]) -> Machine:
    """This CPU's entry of the table: a new one if it has none, or one measured with other versions."""
    mine: Machine = {"cpu": machine.cpu_model(), "threads": machine.threads(), "about": machine.described()}
    same_cpu = [one for one in table if (one["cpu"], one["threads"]) == (mine["cpu"], mine["threads"])]
    if same_cpu and same_cpu[0]["about"] == mine["about"]:
        return same_cpu[0]
    mine["caches"] = {f"L{level}": ceilings.cache_size(level) for level in (1, 2, 3)}
    try:
        mine["ceilings"] = ceilings.as_data(ceilings.measure(mine["threads"]))
    except ceilings.CeilingsError as reason:
        print(reason)
        mine["ceilings"] = None
    mine["rows"] = []
    table[:] = [one for one in table if one not in same_cpu] + [mine]
    return mine


def keep(table: list[Machine], one: Machine, rows: Rows) -> None:
    """Write a machine's rows into the file, a line for each, so that changes show line by line."""
    one["rows"] = [{**problem._asdict(), **row._asdict()} for problem, row in sorted(rows.items())]
    machines = []
    for each in table:
        about = json.dumps({name: value for name, value in each.items() if name != "rows"}, indent=1)[:-2]
        lines = ",\n".join(f"  {json.dumps(row)}" for row in each["rows"])
        machines.append(f'{about},\n "rows": [\n{lines}\n ]\n}}')
    TABLE.write_text("[" + ",\n".join(machines) + "]\n", encoding="utf-8")


def tables(table: Sequence[Machine]) -> str:
    """The tables of docs/speed.md, one for each CPU."""
    return "\n".join(text for one in table for text in table_of(one))


def table_of(one: Machine) -> Iterator[str]:
    """A CPU's table: how the ratios of each kind, task and precision lie, and in which rows another one is faster."""
    rows = {problem: row for problem, row in rows_of(one).items() if not row.disturbed}
    caches = ", ".join(f"{level} {size >> 10:,} KiB" for level, size in one["caches"].items())
    heads = [f"{other}, N {of}" for other in OTHERS for of in (f"< {MANY_ROWS}", f">= {MANY_ROWS}")]
    yield f"### {one['cpu']}, {one['threads']} threads\n"
    yield f"{one['about'][1]}. {caches}. {one['about'][2]}. {len(rows)} rows.\n"
    yield f"|  | {' | '.join(heads)} | floor / ours |"
    yield "| --- |" + " ---: |" * (len(heads) + 1)
    for kind, task, precision in product(GATES, TASKS, TOLERANCES):
        some = {problem: row for problem, row in rows.items() if problem[:3] == (task, precision, kind)}
        if not some:
            continue
        cells = [
            spread([row.ratio(other) for problem, row in some.items() if (problem.N >= MANY_ROWS) is many])
            for other, many in product(OTHERS, (False, True))
        ]
        share = share_of_floor(some, one["ceilings"]) if precision == "float32" else ""
        yield f"| {kind}, {task}, {precision} | {' | '.join([*cells, share])} |"
    for other in OTHERS:
        ratios = {problem: ratio for problem, row in rows.items() if (ratio := row.ratio(other)) is not None}
        if not ratios:
            continue
        faster = [
            f"{problem.kind} {problem.task} {problem.precision} N {problem.N} H {problem.H} ({ratio:.2f})"
            for problem, ratio in ratios.items()
            if round(ratio, 2) < 1
        ]
        yield f"\nRows in which {other} is faster: {', '.join(faster) or 'none'}."
    yield ""


def spread(ratios: Sequence[float | None]) -> str:
    """The median, the least and the greatest."""
    known = [ratio for ratio in ratios if ratio is not None]
    return f"{statistics.median(known):.2f} ({min(known):.2f} to {max(known):.2f})" if known else ""


def share_of_floor(rows: Rows, limits: Machine | None) -> str:
    """The median share of the least possible time in ours."""
    if limits is None:
        return ""
    levels = [Level(level["name"], level["bytes"], Rate(**level["read"])) for level in limits["levels"]]
    known = Ceilings(limits["threads"], Rate(**limits["flops"]), levels)
    return f"{statistics.median(problem.floor(known) * 1e6 / row.us[OURS] for problem, row in rows.items()):.0%}"


def as_text(problem: Problem, row: Row) -> str:
    """A row for the terminal."""
    us = [f"{who} {us:,.1f} us" + (f" ({us / row.us[OURS]:.2f})" if who != OURS else "") for who, us in row.us.items()]
    name = f"{problem.kind} {problem.task} {problem.precision} N {problem.N} H {problem.H}"
    return f"{name:<38} {'  '.join(us)}" + ("  disturbed" if row.disturbed else "")


def main() -> None:
    """Measure what is asked for and lacking, and keep it; or show what is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all sizes")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--again", action="store_true", help="first forget the rows that are asked for")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no row after this time")
    parser.add_argument("--turns", type=int, default=5, help="of each contestant, for a row")
    for name, known in (("task", TASKS), ("precision", TOLERANCES), ("kind", GATES)):
        parser.add_argument(f"--{name}", choices=known, nargs="+", default=list(known))
    parser.add_argument("--rows", type=int, nargs="+", metavar="N")
    parser.add_argument("--units", type=int, nargs="+", metavar="H")
    options = parser.parse_args()
    options.rows = options.rows or (ALL_ROWS if options.full else ROWS)
    options.units = options.units or (ALL_UNITS if options.full else UNITS)
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else []
    if options.show:
        for one in table:
            print(f"{one['cpu']}, {one['threads']} threads")
            for problem, row in rows_of(one).items():
                print(as_text(problem, row))
        return
    end = time.monotonic() + options.seconds
    one = this_machine(table)
    rows, wanted = rows_of(one), dict.fromkeys(problems(options))
    rows = {problem: row for problem, row in rows.items() if not (options.again and problem in wanted)}
    lacking = [problem for problem in wanted if problem not in rows or rows[problem].disturbed]
    with ExitStack() as ends:
        contest = Contest(ends)
        for k, problem in enumerate(lacking):
            if time.monotonic() > end:
                print(f"{len(lacking) - k} of {len(wanted)} rows are still to be measured")
                break
            rows[problem] = contest.measured(problem, options.turns)
            print(as_text(problem, rows[problem]), flush=True)
            keep(table, one, rows)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{tables(table)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
