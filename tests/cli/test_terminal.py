"""The output to a terminal: no foreign control characters, no question marks; and how commands end."""

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import typer

import programs
from cli.commands import status_of
from hiddenstate.cli import app
from hiddenstate.cli.terminal import PlainStream, console, plain
from hiddenstate.models.model_folder import save
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import from_words, to_conllu, with_tags

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b2J\u202eb"
ESCAPED = r"a\x1b]0;title\x07\x1b[2J\x9b2J\u202eb"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BARS = re.compile(r"\r|\x1b\[(\?25[lh]|2K|1A)")  # what rich sends for a bar
UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SMALL = TaggerConfig(word_size=4, char_size=4, char_hidden_size=4, hidden_size=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrusted tagger, whose tags and words are not what they seem."""
    path = tmp_path_factory.mktemp("models") / "stranger"
    sentences = [with_tags(from_words([EVIL, "dog"]), [EVIL, "NOUN"])] * 3
    save(Tagger.build(SMALL, sentences), path)
    return path


# Runs commands one after another, each with its own streams; a line marks the end of each output.
PROGRAM = """
import json, os, signal, sys
from hiddenstate.cli import main

for arguments in json.loads(sys.argv[1]):
    os.lseek(0, 0, os.SEEK_SET)
    sys.stdin = open(0, closefd=False)
    encoding = os.environ.get("TERMINAL_ENCODING")
    sys.stdout, sys.stderr = (open(number, "w", closefd=False, encoding=encoding) for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["hiddenstate", *arguments]
    try:
        main()
    except SystemExit:
        pass
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, b"the end of one\\n")
"""


def on_terminal(*commands: tuple[str | Path, ...], given: bytes = b"", **environment: str) -> list[str]:
    """Run commands whose output and messages go to a terminal, without bars, and return the terminal's input for each.

    They share a process, which takes longer to start and end than they do.
    """
    here, there = pty.openpty()
    texts = [[str(argument) for argument in command] for command in commands]
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        process = programs.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(texts)], stdin=stdin, stdout=there, stderr=there,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "150", **environment},
        )  # fmt: skip
    os.close(there)
    got = b""
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # how Linux reports that the other end is closed
            part = b""
        if not part:
            break
        got += part
    process.wait(60)
    os.close(here)
    *shown, rest = got.decode(errors="surrogateescape").replace("\r\n", "\n").split("the end of one\n")
    assert (len(shown), rest) == (len(commands), ""), got
    return shown


def test_texts_and_models_of_others_send_the_terminal_no_commands(model: Path) -> None:
    commands: list[tuple[str | Path, ...]] = [
        ("tag", "-", "--input", "tokens"),
        ("tag", "-", "--input", "tokens", "--json"),
        ("read", "-"),
        ("read", "-", "--unit", "1"),
        ("explain", "ledger", "-"),
    ]
    for shown in on_terminal(*((*command, "--model", model) for command in commands), given=EVIL.encode()):
        assert "Traceback" not in shown
        assert UNSAFE.search(COLOURS.sub("", shown)) is None, shown
        assert r"\x9b" in shown


class Terminal(io.TextIOWrapper):
    """Keeps what would be sent to a terminal."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


# Each command's arguments, and whether it serves. MODEL is the untrusted one; FILE, a new file with a bad name.
EVERY_COMMAND = {
    "corpus": (("get", EVIL), False),
    "course": (("FILE",), True),
    "evaluate": (("TAGGED", "--model", "MODEL"), True),
    "explain attribute": ((EVIL, "--model", "MODEL"), True),
    "explain compare": ((EVIL, "--other", EVIL.upper(), "--model", "MODEL"), True),
    "explain dynamics": ((EVIL, "--model", "MODEL"), True),
    "explain graph": ((EVIL, "--model", "MODEL", "--units", "4"), True),
    "explain sweep": ((f"{EVIL} dog", "--other", f"dog {EVIL}", "--model", "MODEL"), True),
    "export": ((EVIL, "-o", "FILE"), False),
    "generate": (("--model", EVIL), False),
    "index": ((EVIL, EVIL, "-o", "FILE"), False),
    "page": ((EVIL, "--model", "MODEL", "-o", "FILE"), True),
    "read": ((EVIL, "--model", "MODEL"), True),
    "score": ((EVIL,), False),
    "search": ((EVIL, "l0.c[0] > 0"), False),
    "structure": (("MODEL",), True),
    "studio": ((EVIL,), False),
    "tag": (("TAGGED", "--model", "MODEL"), True),
    "train": (("tagger", "--train", EVIL, "--dev", EVIL, "--out", "FILE"), False),
    "units": ((EVIL,), False),
    "version": ((), True),
}


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_no_command_passes_control_characters_on(
    command: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, is_served = EVERY_COMMAND[command]
    tagged = tmp_path / f"{EVIL}.conllu"
    tagged.write_text(to_conllu([with_tags(from_words([EVIL, "dog"]), ["NOUN", EVIL])]), encoding="utf-8")
    places = {"MODEL": model, "FILE": tmp_path / EVIL, "TAGGED": tagged}
    terminal = Terminal(io.BytesIO(), encoding="utf-8")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, terminal)
    status = status_of([*command.split(), *(str(places.get(a, a)) for a in arguments)], monkeypatch)
    shown = BARS.sub("", COLOURS.sub("", terminal.shown()))
    assert bool(status) is not is_served, shown
    assert UNSAFE.search(shown) is None, shown
    assert is_served or r"\x1b" in shown


def test_every_command_is_tried() -> None:
    commands: Any = typer.main.get_command(app)
    assert {command.split()[0] for command in EVERY_COMMAND} == commands.commands.keys()


def test_a_language_model_sends_no_commands() -> None:
    generate, score = ("generate", "--prompt", EVIL, "--length", "3"), ("score", "-")
    files = ("tag", EVIL), ("score", EVIL), ("read", "a", "--model", EVIL), ("structure", EVIL)
    generated, scored, *messages = on_terminal(generate, score, *files, given=EVIL.encode())
    for shown in (generated, *messages):
        assert ESCAPED in shown
    assert UNSAFE.search(generated + scored + "".join(messages)) is None


def test_files_and_pipes_get_the_data_as_it_is(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["tag", "-", "--input", "tokens", "--model", str(model)]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EVIL.encode())))
    assert not status_of([*asked, "--out", str(tmp_path / "a.txt")], monkeypatch)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").startswith(EVIL)
    done = subprocess.run(
        [sys.executable, "-m", "hiddenstate", *asked],
        input=EVIL.encode(), capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.stdout.decode().startswith(EVIL)


def test_colours_are_ours() -> None:
    terminal = io.StringIO()
    screen = console(PlainStream(terminal))
    screen.print(f"{EVIL}[red]", markup=False)
    without_bell = ESCAPED.replace(r"\x07", "")  # rich leaves it out
    assert terminal.getvalue().strip() == f"{without_bell}[red]"


@pytest.mark.parametrize("text", ["plain", "tab\tand\nline", "漢字 🦒 naïve \u200d", ""])
def test_other_texts_stay(text: str) -> None:
    assert plain(text) == text


def test_a_terminal_of_ascii_gets_characters_that_look_alike() -> None:
    structure = "structure", "--input-size", "2", "--hidden-size", "1"
    read, weights = on_terminal(("read", "Giraffes"), structure, TERMINAL_ENCODING="ascii")
    for shown in (read, weights):
        assert "?" not in shown
        assert shown.isascii()
    assert "##" in read
    assert "|c|" in read


def test_ctrl_c_ends_a_command_without_a_word() -> None:
    command = [sys.executable, "-m", "hiddenstate", "tag", "-", "--input", "tokens"]
    process = programs.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"dog\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")


NO_INPUT, NO_OUTPUT = "can't read from -: standard input is closed", "standard output is closed"


@pytest.mark.parametrize(
    ("command", "message"), [("read - <&-", NO_INPUT), pytest.param("version >&-", NO_OUTPUT, marks=pytest.mark.slow)]
)
def test_closed_streams_fail_in_one_line(command: str, message: str) -> None:
    shell = f"{shlex.quote(sys.executable)} -m hiddenstate {command}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"hiddenstate: {message}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "stream", "message"),
    [
        ("tag -", "stdin", NO_INPUT),
        ("score -", "stdin", NO_INPUT),
        ("generate --prompt -", "stdin", NO_INPUT),
        ("explain ledger -", "stdin", NO_INPUT),
        ("structure tagger-en", "stdout", NO_OUTPUT),
    ],
)
def test_every_command_fails_in_one_line_without_the_stream_that_it_needs(
    command: str, stream: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, stream, None)  # Python's value for a closed stream
    assert status_of(command.split(), monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"hiddenstate: {message}")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "command", ["tag - --input tokens", pytest.param("generate --length 100000", marks=pytest.mark.slow)]
)
def test_a_reader_that_leaves_is_no_crash(command: str, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("dog cat\n" * 20_000)
    whole = [sys.executable, "-m", "hiddenstate", *command.split()]
    with words.open() as given:
        process = programs.Popen(whole, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
