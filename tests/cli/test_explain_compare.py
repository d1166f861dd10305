"""``hiddenstate explain compare`` gives the library's numbers."""

import json

import pytest
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError
from hiddenstate.models.model_folder import load_tagger, shipped


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["explain", "compare", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_two_texts() -> None:
    data = json.loads(run("I can fish", "--other", "I eat fish", "--json"))
    tagger = load_tagger(shipped())
    want = hs.compare(tagger, tagger, "I can fish", "I eat fish")
    assert data["first"]["t"] == want.first.t if want.first else None
    assert data["mean"] == pytest.approx(want.mean, rel=1e-3)


def test_two_models() -> None:
    said = run("The old man the boats .", "--with", "tagger-en")
    assert "differ by at most" in said


def test_explain_compare_fails() -> None:
    with pytest.raises(ArgumentError, match="nothing to compare with"):
        run("I can fish")
