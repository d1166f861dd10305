"""What the page repeats of Python is what Python says."""

import page_facts
import pytest

from hiddenstate.cells.kinds import CELLS
from hiddenstate.studio.messages import VIEW


def test_the_pages_facts_are_those_of_python() -> None:
    assert page_facts.FACTS.read_text(encoding="utf-8") == page_facts.facts(), "write them again: make facts"
    assert page_facts.KINDS.read_text(encoding="utf-8") == page_facts.kinds(), "write them again: make facts"


def test_the_facts_of_cells_and_views() -> None:
    text = page_facts.facts()
    for cell in CELLS.values():
        assert f"gates: {page_facts.literal(cell.gate_names, 80)}" in text
    for name, part in VIEW.items():
        part.check(part.first)
        assert f"  {name}: {part.type};" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5], "b c": None}, '{ a: [1, 2.5], "b c": null }'),
        (("σ", True), '["σ", true]'),
        (1e-8, "1e-8"),
        ([], "[]"),
        ({}, "{}"),
        ({"first": "x" * 8, "second": "y" * 8}, '{\n  first: "xxxxxxxx",\n  second: "yyyyyyyy",\n}'),
    ],
)
def test_literals(value: object, text: str) -> None:
    assert page_facts.literal(value, 40) == text
