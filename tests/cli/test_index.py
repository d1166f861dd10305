"""``hiddenstate index``, ``units`` and ``search``, and the folders of ``tag`` and ``score``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError
from hiddenstate.text.conllu import read_conllu

pytest.importorskip("pyarrow")

DATA = Path(__file__).parents[1] / "data"


def said(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_index_is_made_shown_and_searched(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    said("index", "tagger-en", DATA / "tiny-train.conllu", "-o", folder, "--places", "l1.h")
    table = said("units", folder)
    assert "128 units" in table
    assert "l1.h[12]" in said("units", folder, "l1.h[12]")
    rows = json.loads(said("units", folder, "--json"))["units"]
    assert len(rows) == 128
    found = json.loads(said("search", folder, "label = NOUN, l1.h[12] <= 0.1234", "--json"))
    assert found["kind"] == "found"
    assert len(found["matches"]) == min(10, found["count"])
    words = [row for sentence in read_conllu(DATA / "tiny-train.conllu") for row in sentence.upos]
    assert found["clauses"][0]["steps"] == words.count("NOUN")


def test_tagged_shards_are_what_tag_writes(tmp_path: Path) -> None:
    one, folder = tmp_path / "one.conllu", tmp_path / "shards"
    source = DATA / "tiny-train.conllu"
    said("tag", source, "-o", one)
    said("tag", source, "-o", folder, "--shards", "--format", "conllu")
    assert "".join(path.read_text() for path in sorted(folder.glob("part-*"))) == one.read_text()
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "columns").mkdir()
    said("tag", source, "-o", tmp_path / "columns")  # a folder means shards
    said("tag", source.with_name("tiny-tra*.conllu"), "-o", tmp_path / "glob")
    shard = "part-00000.parquet"
    assert (tmp_path / "glob" / shard).read_bytes() == (tmp_path / "columns" / shard).read_bytes()
    rows = parquet.read_table(tmp_path / "columns" / "part-00000.parquet").to_pylist()
    tagged = read_conllu(one)
    assert [row["words"] for row in rows] == [list(each.forms) for each in tagged]
    assert [row["upos"] for row in rows] == [list(each.upos) for each in tagged]
    assert all(0 < share <= 1 for row in rows for share in row["upos_probability"])


def test_scored_shards_are_what_score_says_of_short_texts(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    text = tmp_path / "text.txt"
    text.write_text("Speak, speak.\nWhat say you?\n")
    lines = said("score", text, "--json").splitlines()
    whole = [json.loads(line) for line in lines if "token" in json.loads(line)]
    said("score", text, text, "-o", tmp_path / "out", "--shards")
    parts = [parquet.read_table(tmp_path / "out" / f"part-0000{k}.parquet").to_pylist() for k in range(2)]
    for rows in parts:
        assert [row["token"] for row in rows] == [line["token"] for line in whole]
        assert [row["nats"] for row in rows] == pytest.approx([line["nats"] for line in whole], abs=1e-5)


def test_the_report_counts_the_shards_that_were_written(tmp_path: Path) -> None:
    text, folder = tmp_path / "text.txt", tmp_path / "out"
    text.write_text("Speak, speak.\n")
    reports = []
    for _ in range(2):
        result = CliRunner().invoke(app, ["score", str(text), str(text), "-o", str(folder), "--shards"])
        assert result.exit_code == 0, result.output
        reports.append(result.stderr.splitlines()[0])
        left = sorted(folder.glob("part-*"))
    left[0].unlink()
    result = CliRunner().invoke(app, ["score", str(text), str(text), "-o", str(folder), "--shards"])
    assert [*reports, result.stderr.splitlines()[0]] == [
        f"wrote 2 shards to {folder}",
        f"wrote 0 of 2 shards to {folder}; the others were already there",
        f"wrote 1 of 2 shards to {folder}; the others were already there",
    ]


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    source = DATA / "tiny-train.conllu"
    for arguments in (
        ["tag", source, "--shards"],
        ["tag", DATA / "tiny-*.conllu"],
        ["score", tmp_path / "text.parquet"],
        ["score", source, source],
        ["score", source, "-o", tmp_path, "--json"],
    ):
        with pytest.raises(ArgumentError):
            CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
