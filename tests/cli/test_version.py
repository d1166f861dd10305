import pytest
from typer.testing import CliRunner

from hiddenstate import __version__, native
from hiddenstate.cli import app


def test_version() -> None:
    lines = CliRunner().invoke(app, ["version"], catch_exceptions=False).stdout.splitlines()
    said = {line[:14].strip(): line[14:].strip() for line in lines}
    assert said["hiddenstate"] == __version__
    assert said["native module"] == __version__
    assert said["CPU"].split()[0] == native.machine()
    assert said["engine"].startswith(f"native, {native.isa()} (of {native.isas()[0]}")


def test_without_the_native_module_it_says_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_native", None)
    said = CliRunner().invoke(app, ["version"], catch_exceptions=False).stdout
    assert "native module  could not be loaded" in said
    assert "torch's kernels, and the reference path" in said
