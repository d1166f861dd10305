"""Help, version and completion are fast, since they load nothing, and correct."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.cli.explain import DEFAULT_SAMPLES
from hiddenstate.explain.attribution import methods
from hiddenstate.models.model_folder import SHIPPED

COMMANDS = [
    *([name] for name in ("course", "evaluate", "generate", "page", "read", "score", "structure", "studio", "tag")),
    *(["explain", name] for name in ("attribute", "compare", "dynamics", "graph", "ledger", "sweep")),
    *(["train", name] for name in ("tagger", "lm")),
    *(["corpus", name] for name in ("list", "get")),
    *([], ["explain"], ["train"], ["corpus"], ["version"]),
]


def helped(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "-h"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_in_words(command: list[str]) -> None:
    said = helped(*command)
    assert "Usage: " in said
    assert "list[" not in said
    assert "<str>" not in said.split("Options:")[0]
    assert CliRunner().invoke(app, [*command, "--help"]).stdout == said


def test_help_and_completion_load_no_torch() -> None:
    program = f"""
import contextlib, io, os, sys
from hiddenstate.cli import app
for command in {COMMANDS}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        app([*command, "--help"])
os.environ |= {{"_HIDDENSTATE_COMPLETE": "complete_bash", "COMP_WORDS": "hiddenstate ta", "COMP_CWORD": "1"}}
with contextlib.suppress(SystemExit):
    app(prog_name="hiddenstate")
loaded = {{"torch", "numpy", "matplotlib", "starlette"}} & sys.modules.keys()
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tag" in done.stdout


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, f"hiddenstate {hs.__version__}\n")


def test_numbers_in_help_are_the_librarys() -> None:
    assert DEFAULT_SAMPLES == methods.DEFAULT_SAMPLES
    assert all(name in helped("explain", "ledger") for name in SHIPPED)
