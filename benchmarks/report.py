"""Tables of figures: on the terminal as they come, as Markdown, and as JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
NAME_WIDTH, FIGURE_WIDTH = 52, 16


class Column(NamedTuple):
    """A figure of each row: its key, its heading and its format."""

    key: str
    head: str
    write: Callable[[float], str]


class Part(NamedTuple):
    """A part that is measured in one go: its name, and a function that returns its rows in about this many seconds."""

    name: str
    measure: Callable[[float], list[Row]]


@dataclass
class Table:
    """Rows of figures, measured part by part; each row names its regime and its contestant.

    Attributes:
        others: how Markdown writes all contestants of a regime except the first, whose line they then share.
    """

    key: str
    title: str
    columns: Sequence[Column]
    parts: Sequence[Part]
    others: Callable[[Row], str] | None = None
    rows: list[Row] = field(default_factory=list)


def microseconds(seconds: float) -> float:
    return seconds * 1e6


def in_microseconds(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def as_ratio(value: float) -> str:
    return f"{value:.2f}×"


def as_share(value: float) -> str:
    return f"{value:.0%}"


def print_head(table: Table) -> None:
    heads = "".join(f"{column.head:>{FIGURE_WIDTH}}" for column in table.columns)
    print(f"\n{table.title}\n\n{'':{NAME_WIDTH}}{heads}", flush=True)


def print_regime(table: Table, rows: Sequence[Row]) -> None:
    """The rows of one regime, below its name."""
    print(rows[0]["regime"])
    for row in rows:
        figures = "".join(f"{text:>{FIGURE_WIDTH}}" for text in _written(table.columns, row))
        print(f"    {row['contestant']:{NAME_WIDTH - 4}}{figures}", flush=True)


def print_figures(title: str, figures: Mapping[str, float], decimals: int = 2) -> None:
    """A title, and a figure below it for each name."""
    print(f"\n{title}")
    for name, figure in figures.items():
        print(f"  {name:<28}{figure:>12,.{decimals}f}", flush=True)


def write_markdown(path: Path, about: Sequence[str], tables: Sequence[Table]) -> None:
    parts = ["\n".join(f"- {line}" for line in about), *(_markdown(table) for table in tables if table.rows)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def write_json(path: Path, about: Sequence[str], ceilings: Any, tables: Sequence[Table]) -> None:
    data = {"about": list(about), "ceilings": ceilings, **{table.key: table.rows for table in tables}}
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _markdown(table: Table) -> str:
    groups = [list(rows) for _, rows in groupby(table.rows, lambda row: row["regime"])]
    shown = [rows[:1] if table.others else rows for rows in groups]
    columns = [column for column in table.columns if any(row[column.key] is not None for rows in shown for row in rows)]
    more = ["others"] if table.others else []
    lines = [["", "", *(column.head for column in columns), *more]]
    lines += [["---", "---", *("---:" for _ in columns), *("---" for _ in more)]]
    for group, rows in zip(groups, shown, strict=True):
        beside = ["; ".join(map(table.others, group[1:]))] if table.others else []
        for k, row in enumerate(rows):
            lines.append(["" if k else str(row["regime"]), row["contestant"], *_written(columns, row), *beside])
    return f"### {table.title}\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _written(columns: Sequence[Column], row: Row) -> list[str]:
    return ["" if row[column.key] is None else column.write(row[column.key]) for column in columns]
