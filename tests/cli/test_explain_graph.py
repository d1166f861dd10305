"""``hiddenstate explain graph``: the library's numbers, in every format."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError
from hiddenstate.models.model_folder import load_tagger, shipped

TEXT = "The old man the boats ."


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["explain", "graph", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_what_the_library_finds(tmp_path: Path) -> None:
    picture = tmp_path / "graph.png"
    data = json.loads(run(TEXT, "--word", "man", "--label", "NOUN", "--json", "--plot", str(picture)))
    want = hs.explain.graph(load_tagger(shipped()), TEXT, of=hs.explain.logit("NOUN", word="man"))
    assert data["value"] == pytest.approx(want.value, abs=1e-5)
    assert [node["name"] for node in data["nodes"]][:5] == [node.name for node in want.nodes][:5]
    assert picture.stat().st_size > 1000


def test_other_targets() -> None:
    assert "l1.c[5] at man" in run(TEXT, "--of", "l1.c[5]@2", "--units", "5")
    assert run("the king", "--model", "shakespeare", "--units", "5", "--format", "csv").startswith("source,target,kind")


def test_edges_are_checked_unless_they_should_not_be() -> None:
    said = run(TEXT, "--word", "man", "--units", "5")
    assert "In brackets: what the target really loses" in " ".join(said.split())
    assert all(len(line) <= 80 for line in said.splitlines())
    plain = run(TEXT, "--word", "man", "--units", "5", "--no-check")
    assert "In brackets" not in plain
    assert "check(" not in said + plain, "no Python on the command line"


def test_explain_graph_fails() -> None:
    with pytest.raises(ArgumentError, match="linear in c or h"):
        run(TEXT, "--of", "l1.f[5]@2")
