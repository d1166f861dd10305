import pytest
from typer.testing import CliRunner

from hiddenstate import __version__
from hiddenstate.cli import app
from hiddenstate.engine import kernels


def test_version() -> None:
    lines = CliRunner().invoke(app, ["version"], catch_exceptions=False).stdout.splitlines()
    said = {line[:14].strip(): line[14:].strip() for line in lines}
    assert said["hiddenstate"] == __version__
    assert said["native module"] == __version__
    assert said["CPU"].split()[0] == kernels.machine()
    assert said["engine"].startswith(f"native, {kernels.isa()} (of {kernels.isas()[0]}")
    of_int8 = kernels.int8()
    assert of_int8 is None or said["engine"].endswith(f"; {of_int8.native.isa} for int8 weights")


def test_without_the_native_module_it_says_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_native", None)
    said = CliRunner().invoke(app, ["version"], catch_exceptions=False).stdout
    assert "native module  could not be loaded" in said
    assert "torch's kernels, and the reference path" in said
