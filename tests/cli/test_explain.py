"""``hiddenstate explain``, run as by a user, on the shipped models."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError, FileFormatError, NameUnknownError
from hiddenstate.models.model_folder import load_any, load_language_model, load_tagger, shipped

TEXT = "The old man the boats."


def run(*arguments: str, text: str | None = None) -> str:
    result = CliRunner().invoke(app, ["explain", *arguments], input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def data(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_attribute_says_why_this_tag_and_not_the_next_best() -> None:
    lines = run("attribute", TEXT, "--word", "man").splitlines()
    assert lines[0].startswith("What makes the logit of NOUN minus that of VERB at man (step 2) +6.4")
    rows = [line for line in lines if "│" in line]
    assert [row.split()[1] for row in rows] == ["The", "old", "man", "the", "boats", "."]
    want = hs.explain.attribute(load_tagger(shipped()), TEXT, of=hs.explain.logit("NOUN", word="man", against="VERB"))
    assert want.occlusion is not None
    for column, values in ((2, want.occlusion[0]), (3, want.scores)):
        assert [float(row.split()[column]) for row in rows] == pytest.approx(values.tolist(), abs=6e-4)
    assert "+2.222 with all replaced" in lines[-2]
    assert lines[-1] == "Most for it: man (2), old (1). Most against it: the (3)."
    assert all(len(line) <= 80 for line in lines)


def test_json_has_the_numbers_of_the_library() -> None:
    found = data("attribute", TEXT, "--word", "man", "--label", "NOUN", "--method", "frozen")
    of = hs.explain.logit("NOUN", word="man")
    want = hs.explain.attribute(load_tagger(shipped()), TEXT, of=of, method="frozen")
    assert found["parts"] == want.parts.tolist()
    assert found["words"] == ["The", "old", "man", "the", "boats", "."]
    assert (found["format"], found["method"]) == ("hiddenstate.explanation/1", "frozen")


def test_without_a_word_the_one_that_is_least_sure_is_explained() -> None:
    probabilities = load_tagger(shipped()).tag([["They", "can", "fish", "."]])[0].top(2)
    margins = [best / second for best, second in (list(shares.values()) for shares in probabilities)]
    assert f"(step {margins.index(min(margins))})" in run("attribute", "They can fish.").splitlines()[0]


@pytest.mark.parametrize("command", ["attribute", "ledger"])
def test_files_are_written(command: str, tmp_path: Path) -> None:
    names = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "svg")}
    out = run(command, TEXT, "--plot", str(names["svg"]))
    assert "man" in out
    assert run(command, TEXT, "--json", "-o", str(names["json"])) == ""
    assert run(command, TEXT, "--format", "csv", "--out", str(names["csv"])) == ""
    assert run(command, TEXT, "-o", str(tmp_path / "out.txt")) == ""
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == out
    assert json.loads(names["json"].read_text(encoding="utf-8"))["words"][2] == "man"
    rows = list(csv.DictReader(io.StringIO(names["csv"].read_text(encoding="utf-8"))))
    assert {row["word"] for row in rows} == {"The", "old", "man", "the", "boats", "."}
    assert names["svg"].read_text(encoding="utf-8").count("<svg") == 1
    assert list(csv.DictReader(io.StringIO(run(command, TEXT, "--format", "csv")))) == rows


def test_spans_baselines_and_the_initial_state() -> None:
    found = data("attribute", TEXT, "--spans", "0-1,2", "--baseline", "zero", "--baseline", "unk", "--state")
    assert [player["name"] for player in found["players"]] == ["initial state", "The old", "man"]
    assert found["baselines"] == ["zero", "unk"]
    assert "Two together" in run("attribute", TEXT, "--spans", "0-1,2", "--method", "occlusion")


def test_a_state_or_gate_is_explained() -> None:
    assert data("attribute", TEXT, "--of", "l1.f[3]@2")["target"] == "l1.f[3] at man (step 2)"
    ledger = data("ledger", TEXT, "--place", "l1.c[125]", "--word", "the")
    assert (ledger["place"], ledger["units"], ledger["t"]) == ("l1.c", [125], 3)
    assert len(data("ledger", TEXT, "--place", "l0r.c")["units"]) == 128
    assert run("ledger", TEXT, "--place", "l1.c[125]@3").startswith(
        "Who wrote unit 125 of the cell state l1.c at step 3"
    )


def test_the_ledger_of_a_tag() -> None:
    found = data("ledger", TEXT, "--word", "2", "--label", "NOUN", "--against", "ADJ")
    assert found["target"] == "logit of NOUN minus that of ADJ at man (step 2)"
    assert found["places"] == ["l1.h", "l1r.h"]


def test_a_language_model_says_what_made_the_next_character_likely() -> None:
    found = data("attribute", "To b", "--model", "shakespeare")
    assert found["target"] == "log-probability of e after b (step 4)"
    assert [player["name"] for player in found["players"]] == ["'\\n'", "T", "o", "' '", "b"]
    by_word = data("attribute", "To be, or not to b", "--model", "shakespeare")
    assert [player["name"] for player in by_word["players"]] == ["'\\nTo'", " be,", " or", " not", " to", " b"]
    assert data("attribute", "To b", "--by", "word", "--model", "shakespeare")["players"][1]["name"] == " b"
    linear = data("attribute", "To b", "--method", "cd", "--label", "e", "--model", str(shipped("shakespeare")))
    assert linear["target"] == "logit of e after b (step 4)"
    end = data("attribute", "To b", "--label", "\\n", "--model", "shakespeare")
    assert end["target"] == "log-probability of '\\n' after b (step 4)"
    assert "What makes the logit of e after b" in run("ledger", "To b", "--model", "shakespeare")


def test_the_text_comes_from_standard_input() -> None:
    assert run("attribute", "-", "--word", "man", text=f"{TEXT}\n") == run("attribute", TEXT, "--word", "man")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (["attribute", TEXT, "--word", "dog"], NameUnknownError, "'dog' stands nowhere"),
        (["attribute", TEXT, "--label", "QQ"], NameUnknownError, "this model has no label 'QQ'"),
        (["attribute", TEXT, "--json", "--format", "csv"], ArgumentError, "--json is short for --format json"),
        (["attribute", TEXT, "--of", "l1.c[0]", "--word", "man"], ArgumentError, "--of names the whole target"),
        (["attribute", TEXT, "--spans", "a-b"], ArgumentError, "--spans takes word numbers"),
        (["attribute", "", "--word", "man"], ArgumentError, "only one sentence can be explained at a time, got 0"),
        (["attribute", TEXT, "--model", "nowhere"], FileFormatError, "no model at nowhere"),
        (["ledger", TEXT, "--place", "l1.c@2", "--word", "man"], ArgumentError, "drop one"),
        (["ledger", TEXT, "--place", "l1.c", "--label", "NOUN"], ArgumentError, "give only one of the two"),
        (["ledger", TEXT, "--place", "l1.f[2]"], ArgumentError, "the ledger needs a target that is linear"),
    ],
)
def test_what_cannot_be_explained_fails(arguments: list[str], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        run(*arguments)


@pytest.mark.parametrize("option", ["--out", "--plot"])
@pytest.mark.parametrize("command", ["attribute", "ledger", "graph", "dynamics", "compare", "sweep"])
def test_files_that_cannot_be_written_are_refused_before_anything_is_read(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("the model was loaded")

    monkeypatch.setattr("hiddenstate.models.model_folder.load_any", refuse)
    other = ("--other", TEXT) if command in ("compare", "sweep") else ()
    with pytest.raises((OSError, ArgumentError), match="there is no folder"):
        run(command, TEXT, *other, option, str(tmp_path / "nowhere" / "out.png"))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        run(command, TEXT, *other, option, str(tmp_path / "folder.png"))


def test_any_model_is_loaded_by_its_folder() -> None:
    assert type(load_any(shipped())) is type(load_tagger(shipped()))
    assert type(load_any(shipped("shakespeare"))) is type(load_language_model(shipped("shakespeare")))
    with pytest.raises(FileFormatError, match="there is no such folder"):
        load_any("nowhere")
