"""The ledger of statements: each claim is proved by a cell of its page, or has its source."""

import ast
from pathlib import Path

import pytest

from course.chapters import PAGES, cells, roles
from coursebook.pages import without_proofs

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
LEAST_BY_CELL = 0.85


def claims_of(page: Path) -> dict[str, str]:
    """Claims by id, each with its source, or "" if a cell must prove it."""
    found = {}
    for given in roles(page, "claim"):
        name, _, source = (part.strip() for part in given.partition("|"))
        found[name] = source
    return found


def proofs_of(page: Path) -> list[str]:
    return [name for cell in cells(page) for name in without_proofs(cell.text)[1]]


@each_page
def test_every_claim_is_proved_by_a_cell_or_has_its_source(page: Path) -> None:
    claims = claims_of(page)
    proofs = proofs_of(page)
    assert [name for name, source in claims.items() if not source and name not in proofs] == []
    assert [name for name in proofs if name not in claims] == []
    assert [name for name, source in claims.items() if source and name in proofs] == []
    assert len(set(proofs)) == len(proofs)


def test_a_claim_stands_on_one_page() -> None:
    names = [name for page in PAGES for name in claims_of(page)]
    assert len(set(names)) == len(names)


def test_most_claims_are_proved_by_a_cell() -> None:
    sources = [source for page in PAGES for source in claims_of(page).values()]
    assert sources.count("") / len(sources) >= LEAST_BY_CELL


@each_page
def test_a_proof_stands_below_an_assert_of_its_own(page: Path) -> None:
    for cell in cells(page):
        asserted = False
        for name, node in statements(cell.text):
            if name:
                assert asserted, f"{page.name}: nothing is asserted before proves({name!r})"
                asserted = False
            elif any(isinstance(part, ast.Assert) for part in ast.walk(node)):
                asserted = True


def statements(code: str) -> list[tuple[str, ast.stmt]]:
    """The statements of a cell, each with the claims that it proves."""
    found = []
    for node in ast.parse(code).body:
        call = node.value if isinstance(node, ast.Expr) else None
        proves = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "proves"
        found.append((ast.literal_eval(call.args[0]) if isinstance(call, ast.Call) and proves else "", node))
    return found


def test_a_proof_without_an_assert_is_found() -> None:
    assert [name for name, _ in statements('x = 1\nassert x\nproves("a")')] == ["", "", "a"]
