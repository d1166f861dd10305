from typer.testing import CliRunner

from hiddenstate import __version__, engine
from hiddenstate.cli import app


def test_version() -> None:
    lines = CliRunner().invoke(app, ["version"], catch_exceptions=False).stdout.splitlines()
    said = {line[:14].strip(): line[14:].strip() for line in lines}
    assert said["hiddenstate"] == __version__
    assert said["native module"] == f"{__version__} (CPU detection)"
    assert said["CPU"].split()[0] == engine.machine()
    assert "reference" in said["engine"]
