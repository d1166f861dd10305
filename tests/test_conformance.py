"""The tables in CONFORMANCE.md and RELIABILITY.md are true: the tests that they name exist."""

import re
from pathlib import Path

from test_torch_module_db import NOT_AS_TORCH

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "conformance.md").read_text(encoding="utf-8")
TABLES = (TESTS / "CONFORMANCE.md").read_text(encoding="utf-8")
RELIABILITY = (TESTS / "RELIABILITY.md").read_text(encoding="utf-8")
# Only the file is named: it is run by hand, since it needs models that others have trained.
BY_HAND = {"examples/models_of_others.py"}


def named() -> set[tuple[str, str]]:
    """Files, and tests in them, that the pages name; the test is "" for a whole file."""
    return set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE + TABLES + RELIABILITY))


def defined_in(file: str) -> set[str]:
    path = TESTS / file
    return set(re.findall(r"^def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)) if path.is_file() else set()


def test_every_test_that_is_named_is_there() -> None:
    found = {file: defined_in(file) for file, _ in named()}
    missing = [f"{file}::{name}" for file, name in named() if name and name not in found[file]]
    assert sorted(missing) == []
    assert {file for file, name in named() if not name and not (TESTS / file).is_file()} == BY_HAND
    assert all((TESTS.parent / file).is_file() for file in BY_HAND)


def test_every_row_names_a_test() -> None:
    rows = [line for line in TABLES.splitlines() if line.startswith("| ") and not line.startswith("| feature |")]
    assert [row for row in rows if not re.search(r"\.py(::test_\w+)?`", row)] == []
    assert len(rows) > 50


def test_every_promise_names_a_test() -> None:
    promises, _ = RELIABILITY.split("## Counts")
    rows = [line for line in promises.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    assert [row for row in rows if not re.search(r"\.py(::test_\w+)?` \|$|\(../docs/conformance.md\) \|$", row)] == []
    assert len(rows) >= 15


def test_what_is_not_as_in_torchs_tests_is_said() -> None:
    own = PAGE.split("## torch's own tests")[1].split("## Other people's suites")[0]
    said = dict(re.findall(r"^\| `?([^|`]+)`? \| ([^|]+) \|$", own, re.MULTILINE))
    assert {name: reason.replace("`", "") for name, reason in said.items() if name != "what"} == {
        name: reason.replace("`", "") for name, reason in NOT_AS_TORCH.items()
    }


def test_a_test_that_is_not_there_fails() -> None:
    assert "test_every_test_that_is_named_is_there" in defined_in("test_conformance.py")
    assert defined_in("test_of_nothing.py") == set()
