"""Every broken LSTM and every broken lesson is found by a proof of the course, and every proof finds one."""

import ast
import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import hiddenstate as hs
from course.chapters import PAGES, cells
from course.lessons import LESSONS
from course.mutants import BROKEN
from course.test_claims import proofs_of, statements

NUMBERS = (
    "00",
    "01",
    "02",
    "07",
    "10",
)  # the beginning, the chapters on the LSTM itself, the final check, the appendix
pytestmark = pytest.mark.slow  # each broken LSTM runs four pages
BROKEN_PAGES = [page for page in PAGES if page.stem[:2] in NUMBERS]


def proofs_that_fail(page: Path, before: str = "", after: str = "") -> Iterator[str]:
    """Run a page's cells past failures, and return each proof with a failure since the previous proof.

    Cells that train are left out, unless altered.
    """
    namespace: dict[str, Any] = {"__name__": page.stem, "FULL": True}
    for cell in cells(page):
        altered = bool(before) and before in cell.text
        if "FULL" in cell.text and not altered:
            continue
        failed = False
        for name, node in statements(cell.text.replace(before, after) if altered else cell.text):
            if name and failed:
                yield name
            failed = not name and (not holds(node, namespace) or failed)


def holds(node: ast.stmt, namespace: dict[str, Any]) -> bool:
    try:
        with redirect_stdout(io.StringIO()):
            exec(compile(ast.Module([node], []), "cell", "exec"), namespace)
    except Exception:
        return False
    return True


# Proofs that have found something. Once no other has yet to, what is broken next need only be found by one.
FINDING: set[str] = set()


def finders(pages: list[Path], before: str = "", after: str = "") -> list[str]:
    """The first proof that finds what is broken, and more while any of its page has yet to find something."""
    proofs: list[str] = []
    for page in pages:
        if proofs and set(proofs_of(page)) <= FINDING:
            continue
        for proof in proofs_that_fail(page, before, after):
            proofs.append(proof)
            FINDING.add(proof)
            if set(proofs_of(page)) <= FINDING:
                break
    return proofs


@cache
def found_in_lstm(name: str) -> list[str]:
    """The proofs that find a broken LSTM; only the reference can be broken."""
    with pytest.MonkeyPatch.context() as patch, hs.backend("reference"):
        if name:
            BROKEN[name](patch)
        return finders(BROKEN_PAGES)


@cache
def found_in_lesson(lesson: tuple[str, str, str]) -> list[str]:
    """The proofs that find a broken lesson."""
    number, before, after = lesson
    page = next(page for page in PAGES if page.stem.startswith(number))
    assert any(before in cell.text for cell in cells(page)), f"{before} stands on {page.name} no longer"
    torch.manual_seed(0)
    return finders([page], before, after)


def test_nothing_is_found_where_nothing_is_broken() -> None:
    assert found_in_lstm("") == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: f"{lesson[0]}: {lesson[2]}"[:60])
def test_a_broken_lesson_is_found(lesson: tuple[str, str, str]) -> None:
    assert found_in_lesson(lesson)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_lstm_is_found(name: str) -> None:
    assert found_in_lstm(name), f"no proof minds: {name}"


def test_every_proof_finds_something_that_is_broken() -> None:
    for name in BROKEN:
        found_in_lstm(name)
    for lesson in LESSONS:
        found_in_lesson(lesson)
    assert [proof for page in BROKEN_PAGES for proof in proofs_of(page) if proof not in FINDING] == []
