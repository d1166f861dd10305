"""Tables as plain text, for a terminal, and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: str = "") -> str:
    """Lay out rows under a header; ``left`` has a letter for each column: l for left-aligned, r for right-aligned.

    >>> print(table(["word", "part"], [["a", "+1.0"], ["longer", "-0.5"]], "lr"))
    word    part
    a       +1.0
    longer  -0.5
    """
    lines = [head, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    sides = left.ljust(len(head), "r")
    return "\n".join("  ".join(map(_aligned, line, widths, sides)).rstrip() for line in lines)


def _aligned(cell: str, width: int, side: str) -> str:
    return set_cell_size(cell, width) if side == "l" else " " * (width - cell_len(cell)) + cell


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same columns as CSV, with a header line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
