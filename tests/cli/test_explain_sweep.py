"""``hiddenstate explain sweep``: the library's numbers, in every format."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError, ShapeError
from hiddenstate.models.model_folder import load_tagger, shipped

TEXTS = "I saw the duck swim", "I saw the truck swim"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["explain", "sweep", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_what_the_library_finds() -> None:
    data = json.loads(
        run(TEXTS[0], "--other", TEXTS[1], "--word", "swim", "--label", "NOUN", "--places", "l1.h", "--json")
    )
    want = hs.explain.sweep(load_tagger(shipped()), *TEXTS, of=hs.explain.logit("NOUN", word=4), places="l1.h")
    assert data["effect"][0][3][7] == pytest.approx(want.effect[0, 3, 7], abs=1e-6)
    assert data["words"] == TEXTS[0].split()


def test_without_a_label_it_asks_what_the_texts_tell_apart() -> None:
    for word in (("--word", "1"), ()):
        said = run("I can fish", "--other", "I eat fish", *word, "--places", "l0.c", "--top", "20")
        assert "logit of AUX minus that of VERB at can (step 1)" in said
    assert "Rank correlation" in said


def test_tables_and_pictures(tmp_path: Path) -> None:
    picture = tmp_path / "sweep.png"
    said = run(
        *TEXTS[:1],
        "--other",
        TEXTS[1],
        "--of",
        "l1.c[5]@4",
        "--places",
        "l0.c",
        "--format",
        "csv",
        "--plot",
        str(picture),
    )
    assert said.splitlines()[0] == "place,t,unit,effect,estimate"
    assert picture.stat().st_size > 1000


def test_a_language_model_goes() -> None:
    said = run("the king", "--other", "the ring", "--model", "shakespeare", "--places", "l0.h", "--top", "5")
    assert "minus that of" in said


def test_explain_sweep_fails() -> None:
    for arguments, error, message in (
        ((TEXTS[0], "--other", "I saw"), ShapeError, "the same number of steps"),
        ((TEXTS[0], "--other", "I saw", "--label", "NOUN"), ShapeError, "the same number of steps"),
        ((TEXTS[0], "--other", TEXTS[1], "--json", "--format", "csv"), ArgumentError, "--json is short for"),
    ):
        with pytest.raises(error, match=message):
            run(*arguments)
