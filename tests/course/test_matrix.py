"""No misconception is left out, and the table in the documentation is what the pages hold."""

from collections.abc import Callable

import pytest

from course.asked import asked, asked_again
from course.chapters import PAGES
from course.matrix import counts, refutations, rows, table
from hiddenstate.course.misconceptions import MISCONCEPTIONS
from pages import DOCS, REFRESH

EVIDENCE = DOCS / "evidence.md"


@pytest.mark.parametrize("name", MISCONCEPTIONS)
def test_a_misconception_is_met_in_every_way(name: str) -> None:
    row = rows()[name]
    assert row.predict, f"{name} has no prediction"
    assert row.exercise, f"{name} has no exercise"
    assert row.refute, f"{name} is refuted nowhere"
    assert row.show, f"no refutation of {name} has a claim that a cell of its page proves"
    assert row.later, f"{name} is met on page {row.met}, and never asked for on a later one"


def test_a_refutation_says_what_one_may_think_and_what_is_so() -> None:
    found = [(page.stem, *each) for page in PAGES for each in refutations(page)]
    assert len(found) >= len(MISCONCEPTIONS)
    for page, name, text in found:
        said = " ".join(text.split())
        assert said.startswith("You may think that "), f"{page}: {name}"
        assert " It is not so" in said, f"{page}: {name}"
    places = [(page, name) for page, name, _ in found]
    assert len(set(places)) == len(places), "a page has one place for each misconception"


@pytest.mark.parametrize("made", [counts, table, asked, asked_again], ids=["counts", "matrix", "asked", "asked again"])
def test_a_table_of_the_documentation_is_that_of_the_pages(made: Callable[[], list[str]]) -> None:
    lines = EVIDENCE.read_text(encoding="utf-8").splitlines()
    start = lines.index(made()[0])
    count = next(k for k, line in enumerate([*lines[start:], ""]) if not line.startswith("|"))
    if REFRESH:
        lines[start : start + count] = made()
        EVIDENCE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        assert lines[start : start + count] == made(), "HIDDENSTATE_REFRESH_DOCS=1 writes it anew"
