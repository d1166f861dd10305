"""A suite's environment: its own Python, on top of this one's packages, and the source of its tests."""

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

from suites.suite import Suite

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "plugin"


class NotFetchedError(Exception):
    """A suite can't be installed here."""


def prepare(suite: Suite, room: Path, source: Path | None) -> Path:
    """Make the Python of a suite in a folder, and fetch its tests unless a ``source`` is given; return their folder.

    Raises:
        NotFetchedError: something could not be fetched; the message says what.
    """
    _make_python(suite, room)
    # Without this file, a suite that has no pytest settings would get ours, from the enclosing folder.
    (room / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    if source is not None:
        return source / suite.folder
    found = room / "source"
    if suite.source and not (found / ".git").exists():
        _clone(suite, found)
    return found / suite.folder


def python_of(room: Path) -> Path:
    """The Python of a suite."""
    return room / "python" / "bin" / "python"


def version_of(suite: Suite, room: Path, source: Path) -> str:
    """The installed version of the tested distribution, or the commit if there is no distribution."""
    if not suite.package:
        commit = ["git", "-C", str(source), "rev-parse", "--short", "HEAD"]
        return _said(commit)
    code = f"from importlib.metadata import version; print(version({suite.package!r}))"
    return _said([str(python_of(room)), "-c", code])


def _said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _make_python(suite: Suite, room: Path) -> None:
    if not python_of(room).exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", room / "python"], check=True)
        own = room / "python" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
        # torch and our package come from this Python, and are found after the suite's own packages.
        below = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (own / "below.pth").write_text(below, encoding="utf-8")
    stamp, wanted = room / "installed.txt", "\n".join((f"torch=={version('torch')}", *suite.install))
    if suite.install and not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
        pip = [sys.executable, "-m", "pip", "--python", python_of(room), "install", "--quiet", "--no-warn-conflicts"]
        keeps = room / "keeps.txt"
        keeps.write_text(f"torch=={version('torch')}\n", encoding="utf-8")
        _run([*pip, "--constraint", keeps, *suite.install], "pip could not install")
        stamp.write_text(wanted, encoding="utf-8")


def _clone(suite: Suite, to: Path) -> None:
    git = ["git", "-c", "advice.detachedHead=false"]
    partial = ["--filter=blob:none", "--no-checkout"] if suite.only else []
    clone = [*git, "clone", "--quiet", "--depth", "1", "--branch", suite.tag, *partial, suite.source, to]
    _run(clone, "git could not clone")
    if suite.only:
        _run([*git, "-C", to, "sparse-checkout", "set", *suite.only], "git could not choose folders of")
        _run([*git, "-C", to, "checkout", "--quiet", suite.tag], "git could not check out")


def _run(command: list[object], what: str) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotFetchedError(f"{what} {command[-1]}: {said[-1] if said else 'no reason given'}")


def environment(way: str, report: Path, recipe: str = "") -> dict[str, str]:
    """Return the environment of a run."""
    own = {"HIDDENSTATE_WAY": way, "HIDDENSTATE_REPORT": str(report), "PYTHONPATH": str(PLUGIN)}
    if recipe:
        own["HIDDENSTATE_RECIPE"] = str(ROOT / recipe)
    return {**os.environ, **own, "MPLBACKEND": "Agg", "PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": ""}
