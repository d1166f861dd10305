"""Every broken lesson of chapters 3 to 6, 8 and 9 and of the questions is found by a proof of its page.

Every proof finds one.

A page is run once. Before a cell that a lesson breaks, the broken cell and those after it are run separately until a
proof fails.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from course.chapters import PAGES, cells
from course.subjects import SUBJECTS, Lesson
from course.test_claims import proofs_of, statements
from course.test_mutants import holds

Names = dict[str, Any]
pytestmark = pytest.mark.slow  # runs whole pages with their training
NUMBERS = ("03", "04", "05", "06", "08", "09", "11", "12", "13", "14", "15", "16", "17")


def page_of(number: str) -> Path:
    return next(page for page in PAGES if page.stem.startswith(number))


def failing(code: str, names: Names) -> Iterator[str]:
    """Run a cell past failures, and return each proof with a failure since the previous proof."""
    failed = False
    for name, node in statements(code):
        if name and failed:
            yield name
        failed = not name and (not holds(node, names) or failed)


@cache
def found_on(number: str) -> dict[Lesson | None, list[str]]:
    """The proofs that fail on a page, for each broken lesson and (None) for the intact page."""
    codes = [cell.text for cell in cells(page_of(number))]
    names: Names = {"__name__": number, "FULL": True}
    found: dict[Lesson | None, list[str]] = {None: []}
    torch.manual_seed(0)
    for k, code in enumerate(codes):
        for lesson in (each for each in SUBJECTS if each[0] == number and each[1] in code):
            with torch.random.fork_rng(devices=[]):
                found[lesson] = first_found([code.replace(*lesson[1:]), *codes[k + 1 :]], dict(names))
        found[None] += failing(code, names)
    return found


def first_found(codes: list[str], names: Names) -> list[str]:
    """The proofs that fail in the first cell in which any does."""
    return next((proofs for code in codes if (proofs := list(failing(code, names)))), [])


@pytest.mark.parametrize("lesson", SUBJECTS, ids=lambda lesson: f"{lesson[0]}: {lesson[2]}"[:60])
def test_a_broken_lesson_is_found(lesson: Lesson) -> None:
    found = found_on(lesson[0])
    assert lesson in found, f"{lesson[1]} stands on page {lesson[0]} no longer"
    assert found[lesson]


@pytest.mark.parametrize("number", NUMBERS)
def test_nothing_is_found_where_nothing_is_broken_and_every_proof_finds_something(number: str) -> None:
    found = found_on(number)
    assert found[None] == []
    finding = {proof for proofs in found.values() for proof in proofs}
    assert [proof for proof in proofs_of(page_of(number)) if proof not in finding] == []
