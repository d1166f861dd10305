import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError
from hiddenstate.text import corpora
from hiddenstate.text.corpora import CACHE_VARIABLE, CORPORA, Corpus, CorpusPart, Remote

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def test_list() -> None:
    result = CliRunner().invoke(app, ["corpus", "list"], catch_exceptions=False)
    assert result.exit_code == 0
    for name, known in CORPORA.items():
        assert name in result.stdout
        assert known.licence in result.stdout
        assert known.source in result.stdout
        assert f"{name}:train" in result.stdout
    assert result.stdout.count("cached   no") == len(CORPORA)


def test_get_shows_the_licence_and_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Corpus("Nothing", "no terms", "https://example.org", "http://127.0.0.1:9/", (Remote("a.txt", EMPTY, 0),), {
        "train": CorpusPart("a.txt")
    })  # fmt: skip
    monkeypatch.setitem(vars(corpora), "CORPORA", {"nothing": known})
    (tmp_path / "cache" / "nothing").mkdir(parents=True)
    (tmp_path / "cache" / "nothing" / "a.txt").touch()
    result = CliRunner().invoke(app, ["corpus", "get", "nothing"], catch_exceptions=False)
    assert "licence  no terms" in result.stdout
    assert f"train    {tmp_path / 'cache' / 'nothing' / 'a.txt'}" in result.stdout


def test_get_fails() -> None:
    with pytest.raises(ArgumentError, match="there is no corpus named 'x'"):
        CliRunner().invoke(app, ["corpus", "get", "x"], catch_exceptions=False)


def test_tag_and_evaluate_take_parts_of_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (Path(__file__).parents[1] / "data" / "tiny-dev.conllu").read_bytes()
    file = Remote("all.conllu", hashlib.sha256(content).hexdigest(), len(content))
    known = Corpus(
        "Toys", "none", "https://example.org", "http://127.0.0.1:9/", (file,), {"dev": CorpusPart("all.conllu")}
    )
    monkeypatch.setitem(vars(corpora), "CORPORA", {"toys": known})
    path = tmp_path / "cache" / "toys" / "all.conllu"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for command in (["tag"], ["evaluate"], ["evaluate", "--train", "toys:dev"]):
        named = CliRunner().invoke(app, [*command, "toys:dev"], catch_exceptions=False)
        assert named.exit_code == 0
        given = [*command[:-1], str(path)] if "--train" in command else command
        assert named.stdout == CliRunner().invoke(app, [*given, str(path)], catch_exceptions=False).stdout != ""
