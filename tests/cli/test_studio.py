import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hiddenstate.cli import app as whole
from hiddenstate.cli.studio import studio
from hiddenstate.errors import FileFormatError, MissingDependencyError
from hiddenstate.models.model_folder import shipped
from hiddenstate.studio.view import Studio


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(studio)
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Studio, Any]]:
    """Capture what would be served."""
    calls: list[tuple[Studio, Any]] = []
    monkeypatch.setattr(
        Studio, "serve", lambda self, host, port, *, browser: calls.append((self, (host, port, browser)))
    )
    return calls


def test_the_shipped_tagger_on_this_machine(served: list[tuple[Studio, Any]]) -> None:
    assert run().exit_code == 0
    ((opened, how),) = served
    assert list(opened.bundles) == ["tagger-en"]
    assert how == ("127.0.0.1", 0, True)
    assert opened.view == {}


def test_every_option(served: list[tuple[Studio, Any]]) -> None:
    folder = str(shipped())
    options = ("--text", "a b", "--host", "0.0.0.0", "--port", "8800", "--no-browser")
    assert run(folder, folder, *options).exit_code == 0
    ((opened, how),) = served
    assert list(opened.bundles) == ["tagger-en", "tagger-en-2"]
    assert how == ("0.0.0.0", 8800, False)
    assert opened.view == {"text": "a b"}


def test_fails(served: list[tuple[Studio, Any]], tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert isinstance(result.exception, FileFormatError)
    assert run("--port", "70000").exit_code == 2
    assert served == []


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    result = run("--no-browser")
    assert isinstance(result.exception, MissingDependencyError)
    assert "pip install 'hiddenstate[studio]'" in str(result.exception)


def test_it_is_a_command() -> None:
    text = CliRunner().invoke(whole, ["studio", "--help"]).output
    assert "Watch a model read a text or a series in the browser" in text


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("starlette", "uvicorn")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("starlette", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("hiddenstate.studio.serv")]:
        monkeypatch.delitem(sys.modules, name)
    result = run("--no-browser")
    assert isinstance(result.exception, MissingDependencyError), result.exception
    assert str(result.exception).endswith("needs starlette: pip install 'hiddenstate[studio]'")
