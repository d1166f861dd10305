"""The content of a checkout and what is built from it: the source distribution, and a package without the native
module."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    ".ci",
    ".github",
    "benchmarks",
    "build_backend",
    "docs",
    "examples",
    "native",
    "runtime",
    "src",
    "tests",
    "web",
}
FILES = {
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CMakeLists.txt",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
}
NOT_BUILT = "could not be loaded: it was not built at installation, which needs GCC 12 or later, or Clang"


def run(code: str, *options: str, at: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", code]
    environment = {
        name: value for name, value in os.environ.items() if name != "HIDDENSTATE_REQUIRE_NATIVE"
    } | environment
    return subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=300, check=False)


def tracked() -> list[str]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_nothing_stray_lies_at_the_root() -> None:
    files = [Path(name) for name in tracked()]
    assert {path.parts[0] for path in files if len(path.parts) > 1} == FOLDERS
    assert {path.name for path in files if len(path.parts) == 1} == FILES


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the checkout, so that nothing is built inside it."""
    for name in tracked():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_source_distribution_holds_the_checkout_and_no_strays(copy: Path) -> None:
    pytest.importorskip("scikit_build_core")
    (copy / "q.pt").touch()
    (copy / "weights.safetensors").touch()
    done = run("from scikit_build_core.build import build_sdist; build_sdist('dist')", at=copy)
    assert done.returncode == 0, done.stderr
    (archive,) = (copy / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        inside = {Path(*Path(name).parts[1:]).parts[0] for name in file.getnames() if len(Path(name).parts) > 1}
    assert inside - {"PKG-INFO"} <= FOLDERS | FILES
    assert {"src", "native", "CMakeLists.txt", "pyproject.toml", "LICENSE"} <= inside


BUILD = "from scikit_build_core.build import build_wheel; build_wheel('dist')"
NO_COMPILER = {"CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_without_a_compiler_the_package_installs_and_says_what_is_missing(copy: Path) -> None:
    pytest.importorskip("scikit_build_core")
    done = run(BUILD, at=copy, **NO_COMPILER)
    assert done.returncode == 0, done.stderr
    (wheel,) = (copy / "dist").glob("*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(copy / "site")
    code = (
        "import torch, hiddenstate as hs; from hiddenstate.cli import main; import sys; x = torch.ones(2, 4)\n"
        "assert hs.LSTM(4, 3).trace(x).out.shape == (2, 3); print(hs.__file__); print(hs.LSTM(4, 3).path(x))\n"
        "sys.argv[1:] = ['version']; main()"
    )
    path = os.pathsep.join([str(copy / "site"), *filter(None, sys.path)])
    used = run(code, "-S", at=copy, PYTHONPATH=path)  # -S: without the import hooks of an editable installation
    assert str(copy / "site") in used.stdout, used.stderr
    assert used.stdout.count(NOT_BUILT) >= 2, used.stdout  # the path's reason, and the command
    assert NOT_BUILT in used.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_where_the_native_module_is_required_its_absence_is_an_error(copy: Path) -> None:
    pytest.importorskip("scikit_build_core")
    done = run(BUILD, at=copy, **NO_COMPILER, HIDDENSTATE_REQUIRE_NATIVE="1")
    assert done.returncode != 0
    assert not list(copy.glob("dist/*.whl"))
