"""No misconception is left out, and the table in the documentation is what the pages hold."""

import re
from collections.abc import Callable
from pathlib import Path

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


def test_a_refutation_says_what_is_so() -> None:
    found = [(page.stem, *each) for page in PAGES for each in refutations(page)]
    assert len(found) >= len(MISCONCEPTIONS)
    for page, name, text in found:
        assert not re.search(r"You may think|It is not so", text), f"{page}: {name}: the wrong idea is in the questions"
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


def test_what_is_called_wrong_in_other_texts_is_listed_line_by_line() -> None:
    text = EVIDENCE.read_text(encoding="utf-8")
    names = ("U1", "U2", "U3", "D", "F", "V", "K")
    counted = dict.fromkeys(names, 0)
    for row in re.findall(r"^\| (?:of these wrong|faults in code[^|]*) \|(.*)\|$", text, re.MULTILINE):
        for name, cell in zip(names, row.split("|"), strict=True):
            counted[name] += int(re.sub(r"\D+", "", cell) or 0)
    listed = dict.fromkeys(names, 0)
    table = text.split("### What is wrong, and where")[1].split("\n\n")[1]
    for where in re.findall(r"^\| ([UDFVK]\d?), (.*?) \|", table, re.MULTILINE):
        listed[where[0]] += len(re.findall(r"^lines \d+(?:, \d+)+$", where[1])) + 1
    assert listed == counted


PROVING = re.compile(r"\b(?:prov(?:e|es|ed|en|ing)|proofs?)\b", re.IGNORECASE)


@pytest.mark.parametrize("page", [*PAGES, EVIDENCE], ids=lambda page: page.stem)
def test_what_is_checked_on_examples_is_not_called_proved(page: Path) -> None:
    allowed = ("less than a proof", "proves(", "Prove that the model uses it")
    for line in page.read_text(encoding="utf-8").splitlines():
        assert not PROVING.search(line) or any(words in line for words in allowed), line
