"""``hiddenstate explain dynamics``: every view, in every format."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError
from hiddenstate.models.model_folder import load_tagger, shipped


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["explain", "dynamics", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_what_the_library_finds(tmp_path: Path) -> None:
    picture = tmp_path / "view.png"
    data = json.loads(run("The old man the boats .", "--json", "--plot", str(picture)))
    want = hs.explain.dynamics(load_tagger(shipped()), "The old man the boats .").timescales()
    assert data["constants"]["l1r"] == pytest.approx(want.constants["l1r"].tolist(), rel=1e-4)
    assert picture.stat().st_size > 1000


def test_other_views() -> None:
    assert "always open" in run("A dog barked .", "--view", "saturation")
    assert run("ab", "--view", "saturation", "--format", "csv", "--model", "shakespeare").startswith(
        "place,unit,shut,open"
    )


@pytest.mark.slow
def test_every_view_can_be_shown_without_naming_a_model() -> None:
    shown = run("To", "--view", "fixed-points", "--starts", "2", "--json")
    assert json.loads(shown)["kind"] == "fixed points"
    spectrum = "T", "--view", "spectrum", "--json"
    assert run(*spectrum) == run(*spectrum, "--model", "shakespeare")


def test_explain_dynamics_fails() -> None:
    with pytest.raises(ArgumentError, match="is not a map from state to state: give a unidirectional one"):
        run("A dog", "--view", "fixed-points", "--model", "tagger-en")
