import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import programs
from hiddenstate.cli import tag_stream
from hiddenstate.cli.tag import tag
from hiddenstate.errors import FileFormatError, HiddenStateError
from hiddenstate.models.model_folder import save
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import parse_conllu, read_conllu

DATA = Path(__file__).parents[1] / "data"
ODD = DATA / "odd.conllu"
TEXT = "Anna sees the dog. It's old!"
SMALL = TaggerConfig(word_size=4, char_size=4, char_hidden_size=4, hidden_size=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    save(Tagger.build(SMALL, read_conllu(DATA / "tiny-train.conllu")), path)
    return path


def run(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    app = typer.Typer()
    app.command()(tag)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)


def said(*arguments: str | Path, given: str | bytes | None = None) -> str:
    result = run(*arguments, given=given)
    assert result.exception is None, result.output
    return result.stdout


def test_conllu_keeps_everything_but_the_tags(model: Path) -> None:
    before, after = read_conllu(ODD), parse_conllu(said(ODD, "--model", model))
    assert [s.forms for s in before] == [s.forms for s in after]
    for old, new in zip(before, after, strict=True):
        assert None not in new.upos
        rows = [(a.split("\t"), b.split("\t")) for a, b in zip(old.lines, new.lines, strict=True)]
        assert all(a[:3] + a[4:] == b[:3] + b[4:] for a, b in rows)


def test_conllu_with_probabilities(model: Path) -> None:
    (sentence, _) = parse_conllu(said(ODD, "--model", model, "--top-k", "2"))
    misc = [sentence.lines[place].split("\t")[9] for place in sentence.places]
    assert all(entry.count("UposProb=") == 1 and entry.count(":") == 2 for entry in misc)
    assert [entry.split("UposProb=")[1].split(":")[0] for entry in misc] == list(sentence.upos)


def test_a_model_of_xpos_fills_xpos(tmp_path: Path) -> None:
    config = TaggerConfig(columns=("xpos",), word_size=4, hidden_size=4)
    save(Tagger.build(config, read_conllu(DATA / "tiny-train.conllu")), tmp_path / "model")
    after, before = parse_conllu(said(ODD, "--model", tmp_path / "model")), read_conllu(ODD)
    assert after[0].upos == before[0].upos
    assert None not in after[0].xpos


def test_text_from_standard_input(model: Path) -> None:
    lines = said("-", "--model", model, given=TEXT).splitlines()
    first, second = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in first] == ["Anna", "sees", "the", "dog", "."]
    assert [line.split()[0] for line in second] == ["It", "'s", "old", "!"]
    assert all(len(line.split()) == 1 + 2 * 3 for line in first + second)
    assert len({len(line) for line in first}) == 1


def test_jsonl(model: Path) -> None:
    first, second = (
        json.loads(line) for line in said("-", "--model", model, "--format", "jsonl", given=TEXT).splitlines()
    )
    assert (first["words"], len(second["tags"])) == (["Anna", "sees", "the", "dog", "."], 4)
    for word, best in zip(first["probabilities"], first["tags"], strict=True):
        assert next(iter(word)) == best
        assert sum(word.values()) == pytest.approx(1, abs=1e-4)
    short = json.loads(said("-", "--model", model, "--format", "jsonl", "--top-k", "1", given="Anna"))
    assert [len(word) for word in short["probabilities"]] == [1]


def test_text_to_conllu(model: Path) -> None:
    first, second = parse_conllu(said("-", "--model", model, "--format", "conllu", given=TEXT))
    assert first.lines[0] == "# text = Anna sees the dog."
    assert (second.forms, None in second.upos) == (("It", "'s", "old", "!"), False)


def test_input_overrides_what_it_looks_like(model: Path) -> None:
    text = said(ODD, "--model", model, "--input", "text", "--format", "jsonl")
    assert json.loads(text.splitlines()[0])["words"][0] == "#"
    result = run("-", "--model", model, "--input", "conllu", given=TEXT)
    assert isinstance(result.exception, FileFormatError)
    assert "line 1: expected 10 columns" in str(result.exception)


@pytest.mark.parametrize("given", ["", "\n \n", "\ufeff"])
@pytest.mark.parametrize("output", ["conllu", "jsonl", "table"])
def test_nothing_in_nothing_out(model: Path, given: str, output: str) -> None:
    assert said("-", "--model", model, "--format", output, given=given) == ""


def test_out(model: Path, tmp_path: Path) -> None:
    wanted = said(ODD, "--model", model)
    assert said(ODD, "--model", model, "--out", tmp_path / "out.conllu") == ""
    assert (tmp_path / "out.conllu").read_bytes() == wanted.encode()
    result = run(ODD, "--model", model, "--out", tmp_path / "none" / "out.conllu")
    assert "there is no folder" in str(result.exception)


def test_wide_words_stay_aligned(model: Path) -> None:
    lines = said("-", "--model", model, given="東京 is big").splitlines()
    assert lines[0].index(lines[0].split()[1]) == lines[1].index(lines[1].split()[1]) - 2


def test_fails(model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "latin1.txt"
    bad.write_bytes("naïve".encode("latin-1"))
    for arguments, kind, message in [
        ((bad, "--model", model), FileFormatError, r"latin1.txt: not UTF-8"),
        ((tmp_path / "none.txt", "--model", model), FileNotFoundError, "none.txt"),
        ((ODD, "--model", tmp_path / "no-model"), HiddenStateError, "no such folder"),
    ]:
        result = run(*arguments)
        assert isinstance(result.exception, kind)
        assert message in str(result.exception)
        assert result.stdout == ""


def test_bad_conllu_from_standard_input(model: Path) -> None:
    result = run("-", "--model", model, given="1\tcut short\n")
    assert isinstance(result.exception, FileFormatError)
    assert "line 1: expected 10 columns" in str(result.exception)


@pytest.mark.parametrize("arguments", [["--top-k", "0"], ["--format", "xml"]])
def test_usage_fails(model: Path, arguments: list[str]) -> None:
    assert run(ODD, "--model", model, *arguments).exit_code == 2


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "columns"
    config = replace(SMALL, columns=("upos", "xpos"), crf=True)
    save(Tagger.build(config, read_conllu(DATA / "tiny-train.conllu")), path)
    return path


def test_tokens(model: Path) -> None:
    given = "Don't  split (this) .\n\n  東京 👍\n"
    first, second = (
        json.loads(line)
        for line in said("-", "--model", model, "--input", "tokens", "--format", "jsonl", given=given).splitlines()
    )
    assert (first["words"], second["words"]) == (["Don't", "split", "(this)", "."], ["東京", "👍"])
    (sentence, _) = parse_conllu(said("-", "--model", model, "--input", "tokens", "--format", "conllu", given=given))
    assert sentence.lines[0] == "# text = Don't  split (this) ."


@pytest.mark.parametrize(("name", "count"), [("a.tokens", 2), ("a.TOK", 2), ("a.txt", 3), ("a", 3)])
def test_the_name_says_what_is_in_a_file(model: Path, tmp_path: Path, name: str, count: int) -> None:
    (tmp_path / name).write_text("It's old\n")
    (row,) = said(tmp_path / name, "--model", model, "--format", "jsonl").splitlines()
    assert len(json.loads(row)["words"]) == count


def test_the_name_says_that_it_should_be_conllu(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text("It's old\n")
    result = run(tmp_path / "a.conllu", "--model", model)
    assert isinstance(result.exception, FileFormatError)
    assert "a.conllu, line 1: expected 10 columns" in str(result.exception)


def test_every_column_is_filled(columns: Path) -> None:
    (sentence, _) = parse_conllu(said(ODD, "--model", columns, "--top-k", "1"))
    assert None not in sentence.upos + sentence.xpos
    for place, upos, xpos in zip(sentence.places, sentence.upos, sentence.xpos, strict=True):
        misc = sentence.lines[place].split("\t")[9]
        assert f"UposProb={upos}:" in misc
        assert f"XposProb={xpos}:" in misc


def test_several_columns_as_json_and_table(columns: Path) -> None:
    data = json.loads(said("-", "--model", columns, "--format", "jsonl", "--top-k", "2", given="Anna sees ."))
    assert list(data) == ["words", "tags", "probabilities", "columns"]
    assert list(data["columns"]) == ["xpos"]
    assert [len(data["columns"]["xpos"][name]) for name in ("tags", "probabilities")] == [3, 3]
    lines = said("-", "--model", columns, given="Anna sees .").splitlines()
    assert [len(line.split()) for line in lines] == [1 + 2 * 2] * 3
    assert len(said("-", "--model", columns, "--top-k", "3", given="Anna").split()) == 1 + 2 * 2 * 3


def test_precision(model: Path) -> None:
    asked = ("-", "--model", model, "--format", "jsonl")
    exact, coarse = (json.loads(said(*asked, *more, given="Anna sees .")) for more in ((), ("--precision", "bf16")))
    assert exact["words"] == coarse["words"]
    assert exact["probabilities"] != coarse["probabilities"]


def test_a_long_sentence(model: Path) -> None:
    lines = said("-", "--model", model, "--input", "tokens", given="dog 🐕 " * 5000).splitlines()
    assert len(lines) == 10_000


def test_several_files_are_tagged_one_after_another(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Anna sees the dog.\n")
    (tmp_path / "b.tok").write_text("It 's old\n")
    alone = [said(tmp_path / name, "--model", model) for name in ("a.txt", "b.tok")]
    assert said(tmp_path / "a.txt", tmp_path / "b.tok", "--model", model) == "\n".join(alone)
    result = run(tmp_path / "a.txt", tmp_path / "none", "--model", model)
    assert (type(result.exception), result.stdout) == (FileNotFoundError, "")


def test_json_is_short_for_its_format(model: Path) -> None:
    assert said("-", "--model", model, "--json", given=TEXT) == said(
        "-", "--model", model, "--format", "jsonl", given=TEXT
    )
    result = run("-", "--model", model, "--json", "--format", "table", given=TEXT)
    assert "--json is short for --format jsonl" in str(result.exception)


@pytest.mark.parametrize("format_", ["table", "jsonl", "conllu"])
def test_batches_and_processes_change_nothing(model: Path, monkeypatch: pytest.MonkeyPatch, format_: str) -> None:
    asked = ("-", "--model", model, "--input", "tokens", "--format", format_)
    given = "".join(f"dog {k} sees\n" for k in range(25))
    wanted = said(*asked, given=given)
    monkeypatch.setattr(tag_stream, "CHUNK", 50)
    monkeypatch.setattr(tag_stream, "WORDS_TOGETHER", 10)
    assert said(*asked, given=given) == wanted
    if format_ == "table":
        assert said(*asked, "--jobs", "2", given=given) == wanted


def test_a_file_is_there_whole_or_not_at_all(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_stream, "WORDS_TOGETHER", 1)
    given = ODD.read_text(encoding="utf-8") + "\n1\tcut short\n"
    result = run("-", "--model", model, "--out", tmp_path / "a.conllu", given=given)
    assert isinstance(result.exception, FileFormatError)
    assert list(tmp_path.iterdir()) == []
    result = run("-", "--model", model, "--out", tmp_path / "a.txt", given=TEXT)
    assert f"wrote {tmp_path / 'a.txt'}" in result.stderr
    assert "2 sentences, 9 words" in result.stderr


def started(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "hiddenstate", "tag", *map(str, arguments)]
    return programs.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_what_has_arrived_is_answered_while_the_input_waits(model: Path, jobs: str) -> None:
    with started("-", "--model", model, "--json", "--jobs", jobs) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in ("Anna", "dog", "old"):
            process.stdin.write(f"{word}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["words"] == [word]
        process.stdin.close()
        assert process.wait(60) == 0


def test_who_is_killed_has_written_whole_sentences(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tok").write_text("Anna sees the dog .\n" * 20_000)
    with started(tmp_path / "a.tok", "--model", model, "--top-k", "1", "--format", "conllu") as process:
        assert process.stdout is not None
        read = process.stdout.read(100_000)
        process.kill()
        read += process.stdout.read()
    assert len(read) >= 100_000  # exactly so many when they ended with a piece and it was killed before the next
    assert read.endswith(b"\n\n")


PROGRAM = """
import time
from pathlib import Path
if __name__ == "__mp_main__":  # a worker process imports it
    Path(__file__).with_name("mark").touch()
    time.sleep(1)
from hiddenstate.cli import main
if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_while_worker_processes_start_is_silent(model: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.tok", tmp_path / "b.tok"]
    for path in files:
        path.write_text("Anna sees the dog .\n" * 100)
    program, mark = tmp_path / "program.py", tmp_path / "mark"
    program.write_text(PROGRAM)
    command = [sys.executable, program, "tag", *files, "--model", model, "--jobs", "2"]
    command += ["--shards", "--out", tmp_path / "out"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*map(str, command)], start_new_session=True, **streams) as process:  # type: ignore[call-overload]
        deadline = time.monotonic() + 120
        while not mark.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=600)  # both ends when no process has them any more
    assert (process.returncode, told) == (130, "")


def test_pieces_are_whole_sentences_that_a_pipe_takes_whole() -> None:
    texts = ["a" * 3000 + "\n", "b\n" * 1000, "c\n" * 3000, "d" * 9000 + "\n", "e\n"]
    pieces = list(tag_stream._pieces(texts))
    assert "".join(pieces) == "".join(texts)
    assert all(piece.endswith("\n") and (len(piece) <= 4096 or piece[0] == "d") for piece in pieces)
    assert pieces[0] == texts[0]
