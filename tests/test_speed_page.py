"""Statements about speed in README and docs/speed.md follow from benchmarks/RESULTS.md and grid.json, row by row."""

import json
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest

import grid
from pages import DOCS, ROOT

SPEED = (DOCS / "speed.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENGINE = (DOCS / "engine.md").read_text(encoding="utf-8")


class Row(NamedTuple):
    """A contestant of a regime: its time, its time relative to ours, its share of the floor."""

    time: float
    ratio: float
    share: int


def tables() -> dict[str, dict[str, Row]]:
    """The contestants of each regime on the page, ours first."""
    found: dict[str, dict[str, Row]] = {}
    for line in RESULTS.split("## Medians")[1].splitlines()[4:]:
        if line.startswith("| "):
            regime, name, time, share, others = (cell.strip() for cell in line.strip("|\n").split("|"))
            found[regime] = {name: Row(number(time), 1, int(share.rstrip("%") or 0))}
            for other in others.split("; "):
                ((name, time, ratio),) = re.findall(r"^(.+) ([\d.,]+) \(([\d.]+)×\)$", other)
                found[regime][name] = Row(number(time), float(ratio), 0)
    return found


def number(written: str) -> float:
    return float(written.replace(",", ""))


TABLES = tables()


def regimes(pattern: str) -> list[dict[str, Row]]:
    """The regimes whose name and shape match, at least one."""
    found = [rows for name, rows in TABLES.items() if re.fullmatch(pattern, name)]
    assert found, f"no regime is called {pattern}"
    return found


def ratios(pattern: str, peer: str) -> list[float]:
    return [row.ratio for rows in regimes(pattern) for name, row in rows.items() if re.fullmatch(peer, name)]


def shares(pattern: str) -> list[int]:
    return [rows["hiddenstate"].share for rows in regimes(pattern)]


def span(values: Iterable[float], form: str = ".1f") -> str:
    return f"{min(values := list(values)):{form}} to {max(values):{form}}"


def recording(pattern: str) -> float:
    """How much longer a traced call takes than a plain one, in percent."""
    (rows,) = regimes(pattern)
    return 100 * (rows["hiddenstate"].time / rows["hiddenstate, plain call"].time - 1)


FLOAT = "hiddenstate, float32"
LARGE = r".*H (128|256|512|650|1024)\b.*"
ONE_ROW = rf"sequence \(T 100, N 1, {LARGE}"
BATCH = r"batch \(.*"
INT8_ROW, INT8_STREAM = rf"int8 \(T 100, N 1, {LARGE}", rf"int8 stream, {LARGE}"
INT8_BATCH = r"int8 \(T \d+, N (8|64).*"
TRACES = (r"trace \(T 100, N 32, H 256\)", r"trace \(T 100, N 1, H 128\)")
CELL_64 = "| 64 | 4.7 | 14.7 | 3.1 |"


def torchs_batches() -> str:
    return f"torch takes {span(ratios(BATCH, 'torch, no_grad'), '.2f')} times as long"


def recordings() -> str:
    return f"takes {recording(TRACES[0]):.0f} to {recording(TRACES[1]):.0f} % more time than a plain call"


# The page of a sentence, and the words in it that come from the table.
SAID: dict[str, tuple[str, Callable[[], str]]] = {
    "one row": (SPEED, lambda: f"at {span(shares(ONE_ROW), 'd')} % of the floor"),
    "batches, floor": (SPEED, lambda: f"at {span(shares(BATCH), 'd')} % of the floor"),
    "batches, torch": (SPEED, torchs_batches),
    "layers": (SPEED, lambda: f"{span(ratios('layers,.*', 'hiddenstate, 4 layers'))} times as long as one"),
    "int8, sequence": (SPEED, lambda: f"{span(ratios(INT8_ROW, FLOAT))} times as fast as float32 for a sequence"),
    "int8, stream": (SPEED, lambda: f"{span(ratios(INT8_STREAM, FLOAT))} times for a step of a stream"),
    "int8, batch": (SPEED, lambda: f"{span(ratios(INT8_BATCH, FLOAT))} times in batches"),
    "int8, onnxruntime": (SPEED, lambda: "{}, {} and {} times as long".format(*(
        span(ratios(kind, "onnxruntime, int8")) for kind in (INT8_ROW, INT8_STREAM, INT8_BATCH)))),
    "trace": (SPEED, lambda: " and ".join(f"{recording(kind):.0f} %" for kind in TRACES)),
    "readme, trace": (README, recordings),
    "readme, batches, floor": (README, lambda: f"at {span(shares(BATCH), 'd')} % of the machine's limit"),
    "readme, batches, torch": (README, torchs_batches),
    "readme, int8, sequence": (README, lambda: f"{span(ratios(INT8_ROW, FLOAT))} times as fast as in float32"),
    "readme, int8, stream": (README, lambda: f"a step of a stream {span(ratios(INT8_STREAM, FLOAT))} times"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_sentence_about_speed_follows_from_the_table(name: str) -> None:
    text, expected = SAID[name]
    assert expected() in " ".join(text.split())


@pytest.mark.parametrize("text", [SPEED, README], ids=["speed", "README"])
def test_a_torch_figure_of_a_stream_says_which_layer_of_torchs_it_is(text: str) -> None:
    """torch's layer for single steps is `nn.LSTMCell`, not `nn.LSTM` called for one step."""
    assert CELL_64 in ENGINE
    said = " ".join(text.split())
    assert "`nn.LSTM`" in said
    assert "`nn.LSTMCell` takes 3.1 times as long as `hs.LSTMCell` at 64 units" in said


# The rows of README's table, and the regime that each comes from.
README_ROWS = {
    "one step of a stream, H 64": "stream, one step (T 1, N 1, H 64)",
    "100 steps, one row, H 128": "sequence (T 100, N 1, H 128)",
    "100 steps, one row, H 512": "sequence (T 100, N 1, H 512)",
    "100 steps, 32 rows, H 256": "batch (T 100, N 32, H 256)",
    "64 ragged rows, 2 layers of 128, forward and backward": "ragged, forward + backward (T 64, N 64, H 128, 2 layers)",
    "100 steps, one row, H 128, recorded in full (217 without)": "trace (T 100, N 1, H 128)",
}


def test_a_row_of_the_readmes_table_is_one_regime() -> None:
    table = README.split("| ours | torch | onnxruntime |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == list(README_ROWS)
    for about, ours, *others in rows:
        contestants = list(TABLES[README_ROWS[about]].values())
        assert float(ours.replace(",", "")) == contestants[0].time
        for cell in others:
            found = re.match(r"([\d.,]+) [a-z ]*\(([\d.]+)×\)", cell)
            if found:
                time, ratio = float(found[1].replace(",", "")), found[2]
                digits = len(ratio.partition(".")[2])
                (row,) = (row for row in contestants if row.time == time)
                assert abs(row.ratio - float(ratio)) <= 0.5 * 10**-digits + 1e-9, about
    assert f"({TABLES['trace (T 100, N 1, H 128)']['hiddenstate, plain call'].time:.0f} without)" in table


def test_the_page_shows_rows_of_the_table() -> None:
    rows = [line for line in SPEED.partition(grid.BEGIN)[0].splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert [row for row in rows if row not in RESULTS] == []


def test_the_tables_of_the_grid_are_those_of_its_rows() -> None:
    table = json.loads(grid.TABLE.read_text(encoding="utf-8"))
    assert all(one["rows"] for one in table)
    assert f"{grid.BEGIN}\n{grid.tables(table)}\n{grid.END}" in SPEED


def test_the_table_of_a_corpus_follows_from_what_was_measured() -> None:
    page = (DOCS / "howto" / "corpora.md").read_text(encoding="utf-8")
    rates = [
        re.search(rf"^\| {row}.* ([\d,]+) \|$", page, re.MULTILINE)
        for row in ("words or", "bytes read", "bytes written")
    ]
    words, read, written = (number(found[1]) for found in rates if found)  # of an index, the last column
    table = re.findall(r"^\| (\d+) \| ([\d.]+) million \| ([\d,]+), ([\d,]+) \|", page, re.MULTILINE)
    assert len(table) == 3
    for machines, *row in table:
        each = 8 * words * int(machines) / 1e6
        assert [number(cell) for cell in row] == [
            pytest.approx(each, abs=0.01),
            round(each * read),
            round(each * written),
        ]
