import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.scoring import measure
from hiddenstate.models.model_folder import load_language_model, save
from language_models import TEXT, make

GIVEN = 'the cat ☃, "sat"\n\n'


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save(make(), folder / "char")
    save(make(level="word"), folder / "word")
    return folder


def run(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)], input=given)


@pytest.mark.parametrize("kind", ["char", "word"])
def test_json_lines(models: Path, kind: str) -> None:
    result = run("-", "--model", models / kind, "--format", "jsonl", given=GIVEN)
    *tokens, last = [json.loads(line) for line in result.stdout.splitlines()]
    summary, model = last["summary"], load_language_model(models / kind)
    done = measure(model, model.tokens.encode(GIVEN))
    pieces = list(GIVEN) if kind == "char" else [*GIVEN.split(), "<eos>", "<eos>"]
    assert [token["token"] for token in tokens] == pieces
    unknown = {"☃", '"'} if kind == "char" else {"☃,", '"sat"'}
    assert {token["token"] for token in tokens if token["unknown"]} == unknown
    assert sum(token["nats"] for token in tokens) == pytest.approx(done.nats, abs=1e-4)
    assert all(token["bits"] == pytest.approx(token["nats"] / math.log(2), abs=1e-5) for token in tokens)
    assert summary["tokens"] == len(tokens)
    assert summary["unknown"] == sum(token["unknown"] for token in tokens)
    assert summary["unknown_share"] == pytest.approx(summary["unknown"] / len(tokens), abs=1e-5)
    assert summary["characters"] == len(GIVEN)
    assert summary["nats"] == pytest.approx(done.nats, abs=1e-4)
    assert summary["perplexity"] == pytest.approx(math.exp(done.nats / len(tokens)), rel=1e-4)
    known = [token["nats"] for token in tokens if not token["unknown"]]
    assert summary["known_perplexity"] == pytest.approx(math.exp(sum(known) / len(known)), rel=1e-4)
    assert summary["bits_per_character"] == pytest.approx(done.nats / math.log(2) / len(GIVEN), rel=1e-4)


def test_csv(models: Path) -> None:
    result = run("-", "--model", models / "char", "--format", "csv", given=GIVEN)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert "".join(row["token"] for row in rows) == GIVEN
    assert list(rows[0]) == ["token", "nats", "bits", "unknown"]
    assert [row["unknown"] for row in rows[8:12]] == ["1", "0", "0", "1"]
    assert "perplexity of known tokens" in result.stderr


def test_table(models: Path) -> None:
    result = run("-", "--model", models / "char", given="a 戦☃\n")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["token", "nats", "bits"]
    assert [line.split()[0] for line in lines[1:6]] == ["a", "'", "戦", "☃", r"'\n'"]
    assert [line.endswith("<unk>") for line in lines[1:6]] == [False, False, False, True, False]
    assert "5, 1 of them <unk> (20.00 %)" in lines[6]
    nats = [float(re.findall(r"\d+\.\d{4}", line)[0]) for line in lines[1:6]]
    all_of_them, known = (math.exp(sum(some) / len(some)) for some in (nats, [*nats[:3], *nats[4:]]))
    given = [float(line.split()[-1]) for line in lines if line.startswith("perplexity")]
    assert given == pytest.approx([all_of_them, known], rel=1e-3)
    assert lines[-1].endswith("(too low: <unk> does not spell out the word it replaces)")


def test_summary_of_a_file(models: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    result = run(tmp_path / "text.txt", "--model", models / "word", "--format", "summary")
    model = load_language_model(models / "word")
    done = measure(model, model.tokens.encode(TEXT))
    assert result.stdout.splitlines()[0].split()[:2] == ["tokens", f"{done.tokens},"]
    assert f"{done.perplexity:.2f}" in result.stdout
    assert "known" not in result.stdout
    out = tmp_path / "scores"
    assert run(tmp_path / "text.txt", "--model", models / "word", "--format", "summary", "--out", out).stdout == ""
    assert out.read_text(encoding="utf-8") == result.stdout


def test_fails(models: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin1.txt").write_bytes(b"caf\xe9")
    char = ("--model", models / "char")
    cases: list[tuple[tuple[str | Path, ...], type[Exception], str]] = [
        ((tmp_path / "empty.txt", *char), FileFormatError, r"empty\.txt: there is no text to score"),
        ((tmp_path / "latin1.txt", *char), FileFormatError, r"latin1\.txt: not UTF-8"),
        ((tmp_path / "none.txt", *char), FileNotFoundError, "none.txt"),
        (("tiny-shakespeare", *char), ArgumentError, "is not a part of a corpus"),
    ]
    for arguments, kind, message in cases:
        result = run(*arguments, given="a")
        assert isinstance(result.exception, kind), result.output
        assert result.stdout == ""  # not the header of a table that never comes
        with pytest.raises(kind, match=message):
            raise result.exception
    out = tmp_path / "scores"
    assert run(tmp_path / "latin1.txt", *char, "--out", out).exit_code == 1
    assert not out.exists()
