"""A table of all units of an index, each with the label or token that it correlates with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.corpus.index.folder import IndexFolder
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import sentence, shortened
from hiddenstate.structure.tables import table

QUANTILES = (0.05, 0.5, 0.95)
SHOWN = 20


@dataclass(frozen=True, eq=False, repr=False)
class Units(Measured):
    """All units of an index.

    The label of a unit is chosen on one half of the sequences, as the one with the largest absolute correlation, and
    confirmed on the other half.

    Attributes:
        table: one row per unit. ``chosen`` and ``held_out`` are None if the correlation is unknown, as for a unit or a
            label that is constant there; ``time_constant`` is None if f (z for a GRU) was not indexed. JSON has no
            infinite numbers: see ``never_forgets``.
        steps: the number of steps of the corpus.
        cost: always 0, because nothing was rerun.
    """

    kind: ClassVar[str] = "units"
    _saved = "units=rows steps residual cost"

    table: tuple[Row, ...]
    steps: int
    cost: int = 0

    def rows(self) -> Sequence[Row]:
        """Return one row per unit, the largest held-out correlation first."""
        return list(self.table)

    def __str__(self) -> str:
        head = ["unit", "label", "r chosen", "r held out", "mean", "deviation", "5 %", "95 %", "low", "high", "time"]
        lines = [
            [
                str(row["unit"]),
                shortened(str(row["label"])) if row["label"] else "",
                *(_correlation(row[name], str(row["label"])) for name in ("chosen", "held_out")),
                *(f"{row[name]:+.2f}" for name in ("mean", "deviation", "q05", "q95")),
                *(f"{row[name]:.0%}" for name in ("low", "high")),
                "" if row["time_constant"] is None else f"{row['time_constant']:.1f}",
            ]
            for row in self.table[:SHOWN]
        ]
        more = len(self.table) - len(lines)
        summary = sentence(
            f"{len(self.table):,} units over {self.steps:,} steps, the largest correlation with a label first; the "
            "label was chosen on one half of the sequences, and r held out is that of the other. A correlation is not "
            "an effect: see a unit's card for the effect of zeroing it."
            if any(row["label"] for row in self.table)
            else f"{len(self.table):,} units over {self.steps:,} steps. There are no labels."
        )
        return f"{summary}\n\n{table(head, lines, 'll')}" + (f"\nand {more:,} more" if more > 0 else "")

    def _draw(self, axes: Any) -> None:
        """Draw the correlations on both halves."""
        axes.figure.set_size_inches(4.5, 4.5)
        chosen, held_out = (np.array([row[name] for row in self.table], float) for name in ("chosen", "held_out"))
        axes.scatter(chosen, held_out, s=8)
        axes.axline((0, 0), slope=1, color="0.7", linewidth=1)
        axes.set_xlabel("correlation where the label was chosen")
        axes.set_ylabel("on the other half")


def units(index: IndexFolder) -> Units:
    """Return the table of all units of an index."""
    rows: list[dict[str, Any]] = []
    for name, known in index.statistics.items():
        edges = index.edges(name)
        chosen, held_out = known.correlations(0), known.correlations(1)
        best = known.best_labels(0) if len(known.labels) else np.zeros(known.units, np.int64)
        low, high = known.saturation(edges)
        quantiles = known.quantiles(QUANTILES, edges)
        times = time_constants(index, name)
        numbers = {
            "mean": known.mean,
            "deviation": known.deviation,
            **dict(zip(("q05", "median", "q95"), quantiles.T, strict=True)),
            "lowest": known.bottom[:, 0],
            "highest": known.top[:, 0],
            "low": low,
            "high": high,
        }
        for k in range(known.units):
            r, confirmed = (chosen[best[k], k], held_out[best[k], k]) if len(known.labels) else (np.nan, np.nan)
            row = {
                "unit": f"{name}[{k}]",
                "label": "" if np.isnan(r) else known.labels[best[k]],
                "chosen": known_number(r),
                "held_out": known_number(np.nan if np.isnan(r) else confirmed),
                **{title: float(values[k]) for title, values in numbers.items()},
                "time_constant": known_number(times[k]),
                "never_forgets": bool(np.isposinf(times[k])),
            }
            rows.append(row)
    rows.sort(key=lambda row: -abs(row["held_out"] or 0.0))
    return Units(tuple(rows), index.steps)


def _correlation(r: Any, label: str) -> str:
    return ("unknown" if r is None else f"{r:+.2f}") if label else ""


def known_number(value: float) -> float | None:
    """Return a number, or None for NaN."""
    return None if np.isnan(value) else float(value)


def time_constants(index: IndexFolder, name: str) -> Any:
    """Return the time constants of the memory of a place's units, from the gate that keeps it, or NaN."""
    place = index.place(name)._replace(quantity=index.reader.lstm.sizes.kind.keeper)
    known = index.statistics.get(str(place))
    count = index.statistics[name].units
    return known.time_constant if known is not None and len(known.logarithm) == count else np.full(count, np.nan)
