"""The names in `hiddenstate.explain`, which cost nothing until they are used."""

import subprocess
import sys

import pytest

import hiddenstate as hs


def test_every_name_is_there_and_is_itself() -> None:
    for name in hs.explain.__all__:
        assert getattr(hs.explain, name).__name__ == name
    assert set(hs.explain.__all__) <= set(dir(hs.explain))


def test_a_name_that_is_not_there_fails() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'explanation'"):
        getattr(hs.explain, "explanation")  # noqa: B009


def test_no_file_hides_a_name() -> None:
    """A file that is imported becomes an attribute of its package, under its own name."""
    from pathlib import Path

    files = {path.stem for path in Path(str(hs.explain.__file__)).parent.glob("*.py")}
    assert not files & set(hs.explain.__all__)


def test_nothing_is_loaded_until_it_is_used() -> None:
    code = (
        "import sys, hiddenstate\n"
        "hiddenstate.LSTM\n"
        "assert not [name for name in sys.modules if name.startswith('hiddenstate.explain.')]\n"
        "hiddenstate.explain.logit\n"
        "assert 'hiddenstate.explain.subject.target' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
