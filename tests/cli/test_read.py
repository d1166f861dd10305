"""``hiddenstate read``, run as by a user, on the shipped tagger."""

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.commands import status_of
from hiddenstate.cli import app
from hiddenstate.cli.read_words import View, described, make_table
from hiddenstate.errors import ArgumentError
from hiddenstate.models.model_folder import load_tagger, save, shipped
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu
from hiddenstate.text.tokenise import tokenise

TEXT = "Giraffes in a field"


def run(*arguments: str, text: str | None = None) -> str:
    result = CliRunner().invoke(app, ["read", *arguments], input=text, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def data(*arguments: str) -> Any:
    return json.loads(run(TEXT, "--json", *arguments))


def test_a_row_a_word() -> None:
    lines = run(TEXT).splitlines()
    rows = {line.split()[0]: line.split()[1] for line in lines if line.split() and line.split()[0] in TEXT.split()}
    assert rows == {"Giraffes": "NOUN", "in": "ADP", "a": "DET", "field": "NOUN"}
    header = next(line for line in lines if "word" in line)
    assert header.split() == ["word", "tag", "p", "or", "i", "f", "|g|", "o", "‖c‖", "‖h‖", "changed", "most"]
    assert any("█" in line for line in lines)
    assert "layer 1 (2 layers, counted from 0), reading from the first word to last" in " ".join(lines)


@pytest.mark.parametrize("columns", [60, 72, 80, 90, 100, 120])
def test_on_a_terminal_of_any_width_each_word_has_a_line(columns: int) -> None:
    (words,) = described(load_tagger(shipped()), [tokenise(TEXT)], View(1, False, None))
    console = Console(width=columns, force_terminal=True, color_system=None, file=io.StringIO())
    console.print(make_table(words, columns), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]
    assert [line.split()[0] for line in lines[2:]] == TEXT.split()
    assert all(len(line) <= columns for line in lines)
    assert "…" not in "".join(lines)
    assert ("changed" in lines[0]) == (columns >= 72)


@pytest.mark.parametrize(
    ("columns", "head"), [(46, "word tag p ‖c‖ ‖h‖"), (40, "word tag p ‖c‖ ‖h‖"), (24, "word tag p")]
)
def test_a_narrow_terminal_loses_the_gates_and_keeps_word_and_tag(columns: int, head: str) -> None:
    reading = load_tagger(shipped()).read(tokenise(TEXT))
    console = Console(width=columns, force_terminal=True, color_system=None, file=io.StringIO())
    (words,) = described(load_tagger(shipped()), [tokenise(TEXT)], View(1, False, None))
    console.print(make_table(words, columns), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]
    assert lines[0].split() == head.split()
    rows = [line.split()[:2] for line in lines[2:6]]
    assert rows == [list(pair) for pair in zip(TEXT.split(), reading.tags, strict=True)]
    assert " ".join(lines[6:]) == "A wider terminal shows the gates."


@pytest.mark.slow  # test_terminal.py has such a terminal too
def test_a_terminal_that_knows_few_characters() -> None:
    command = [sys.executable, "-m", "hiddenstate", "read", TEXT]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, capture_output=True, timeout=600, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert b"Giraffes" in result.stdout


def test_numbers_are_the_librarys() -> None:
    reading = load_tagger(shipped()).read(tokenise(TEXT))
    described = data("--layer", "0", "--direction", "reverse")
    assert (described["layer"], described["direction"], described["unit"]) == (0, "reverse", None)
    for t, (word, tag) in enumerate(zip(described["sentences"][0], reading.tags, strict=True)):
        assert word["tag"] == tag
        best = reading.probabilities[t].sort(descending=True)
        assert word["probability"] == pytest.approx(best.values[0].item(), abs=1e-6)
        assert word["runner_up"] == reading.tag_names[best.indices[1]]
        assert word["gates"]["f"] == pytest.approx(reading.trace["l0r.f"][t].mean().item(), abs=1e-5)
        assert word["c_norm"] == pytest.approx(reading.trace["l0r.c"][t].norm().item(), abs=1e-4)
        assert len(word["changed"]) == 3


def test_one_unit() -> None:
    reading = load_tagger(shipped()).read(tokenise(TEXT))
    lines = run(TEXT, "--unit", "17").splitlines()
    moment = reading.trace.at(3, 17, layer=1)
    k = next(k for k, line in enumerate(lines) if line.startswith("field"))
    assert lines[k].split() == ["field", "NOUN", *(f"{moment[name]:.4f}" for name in "ifgoch")]
    assert [line.strip() for line in lines[k + 1 : k + 3]] == moment.state_lines()
    values = data("--unit", "17")["sentences"][0][3]["values"]
    assert values == {name: round(value, 6) for name, value in moment.items()}


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(run("Yes. No, never!", "--format", "csv", "--unit", "3"))))
    assert [row["word"] for row in rows] == ["Yes", ".", "No", ",", "never", "!"]
    assert [(row["sentence"], row["step"]) for row in rows][1:3] == [("0", "1"), ("1", "0")]
    assert float(rows[0]["c"]) == pytest.approx(float(rows[0]["i"]) * float(rows[0]["g"]), abs=1e-5)


def test_standard_input_and_strange_text() -> None:
    assert "It" in run("-", text="It's late.\n")
    assert "[red]" not in run("[red] 漢字 🦒 \x1b[31m", "--format", "csv").splitlines()[0]
    assert "漢字" in run("漢字 🦒")
    assert len(run("word " * 300, "--format", "csv").splitlines()) == 301


@pytest.mark.parametrize("unit", [[], ["--unit", "3"]])
def test_plot(unit: list[str], tmp_path: Path) -> None:
    file = tmp_path / "picture.svg"
    run(TEXT, "--plot", str(file), *unit)
    assert "<svg" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "the text has no words"),
        (["  \n "], "the text has no words"),
        ([TEXT, "--layer", "2"], "--layer 2 is out of range: this model has 2, from 0 to 1"),
        ([TEXT, "--layer", "-1"], "--layer -1 is out of range"),
        ([TEXT, "--unit", "128"], "--unit 128 is out of range: this model has 128, from 0 to 127"),
        ([TEXT, "--json", "--format", "csv"], "--json is short for --format json, but --format is csv"),
        (["One. Two.", "--plot", "x.png"], "--plot draws one sentence, but the text has 2"),
    ],
)
def test_bad_arguments_fail(arguments: list[str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        CliRunner().invoke(app, ["read", *arguments], catch_exceptions=False)


def test_a_mistake_is_said_in_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(["read", TEXT, "--model", "nowhere"], monkeypatch) == 1
    output, said = capsys.readouterr()
    assert output == ""
    assert said.startswith("hiddenstate: no model at nowhere: there is no such folder")
    assert len(said.splitlines()) == 1


@pytest.mark.slow  # as that of `tag`, in test_terminal.py
def test_a_reader_that_leaves_is_no_crash() -> None:
    command = f"{shlex.quote(sys.executable)} -m hiddenstate read '{TEXT}' --json | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=600, check=False)
    assert result.stdout == "{\n"
    assert result.stderr == ""


def test_many_sentences_are_read_in_few_runs_and_each_as_if_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tagger, runs = load_tagger(shipped()), list[int]()
    texts = [f"{first} saw the {second} ." for first in ("She", "Anna", "Nobody") for second in ("saw", "dog")] * 50
    sentences = [text.split()[: 2 + k % 4] for k, text in enumerate(texts)]
    trace = tagger.lstm.trace

    def counted(*arguments: Any, **more: Any) -> Any:
        runs.append(1)
        return trace(*arguments, **more)

    monkeypatch.setattr(tagger.lstm, "trace", counted)
    rows = list(described(tagger, sentences, View(1, reverse=True, unit=3)))
    assert [[word.word for word in words] for words in rows] == sentences
    assert len(runs) == 2
    for words, sentence in zip(rows[:12], sentences, strict=False):
        (alone,) = described(tagger, [sentence], View(1, reverse=True, unit=3))
        for one, other in zip(words, alone, strict=True):
            assert (one.tag, one.runner_up) == (other.tag, other.runner_up)
            assert one.probability == pytest.approx(other.probability, abs=1e-5)
            assert one.step.gates == pytest.approx(other.step.gates, abs=1e-5)
            assert one.moment == pytest.approx(other.moment, abs=1e-5)


def test_on_a_narrow_terminal_the_words_stay() -> None:
    (words,) = described(load_tagger(shipped()), [tokenise(TEXT)], View(1, False, None))
    lines = make_table(words, 40).plain.splitlines()
    assert [line.split()[0] for line in lines[3:7]] == TEXT.split()
    assert all(len(line) <= 42 for line in lines)


def test_a_long_word_is_folded() -> None:
    (words,) = described(load_tagger(shipped()), [["a" * 60, "b"]], View(1, False, None))
    lines = make_table(words, 100).plain.splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["a" * 24, "a" * 24, "a" * 12, "b"]


def test_a_tagger_of_other_cells_is_refused(tmp_path: Path) -> None:
    config = TaggerConfig(word_size=4, char_size=4, char_hidden_size=4, hidden_size=4, cell="gru")
    save(Tagger.build(config, read_conllu(Path(__file__).parents[1] / "data" / "tiny-train.conllu")), tmp_path / "gru")
    with pytest.raises(ArgumentError, match="this tagger has GRU cells; open it with hiddenstate studio"):
        run(TEXT, "--model", str(tmp_path / "gru"))
