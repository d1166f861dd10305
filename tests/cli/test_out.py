"""If a command's file can't be written, it says so before it reads or computes anything."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hiddenstate.cli import app
from hiddenstate.errors import FileWriteError

NONE = "there-is-no-such-file"
COMMANDS = {
    "tag --out": ["tag", NONE, "--model", NONE, "--out"],
    "score --out": ["score", NONE, "--model", NONE, "--out"],
    "evaluate --json --out": ["evaluate", NONE, "--model", NONE, "--json", "--out"],
    "evaluate --plot": ["evaluate", NONE, "--model", NONE, "--plot"],
    "page --out": ["page", "--model", NONE, "--out"],
    "read --plot": ["read", "a word", "--model", NONE, "--plot"],
    "structure --plot": ["structure", NONE, "--plot"],
    "explain ledger --out": ["explain", "ledger", "a word", "--model", NONE, "--place", "l0.c[0]", "-o"],
    "generate --out": ["generate", "--model", NONE, "-o"],
    "read --out": ["read", "a word", "--model", NONE, "--format", "csv", "-o"],
    "structure --out": ["structure", NONE, "--json", "-o"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_cannot_be_written_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / "it.svg"
    out.write_text("what was there")
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)  # root may write everywhere
    result = CliRunner().invoke(app, [*COMMANDS[name], str(out)])
    assert isinstance(result.exception, FileWriteError), result.exception
    assert f"cannot write {out}: Permission denied; choose a different place" in str(result.exception)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["what was there"]
