"""The build backend: scikit-build-core, which compiles the native module, and before it the course's pages.

The pages are built from `docs/course` by Sphinx, into a folder of the package that git ignores. A source distribution
already has them. If they can't be built, the package is installed without them, and `hiddenstate course` reports it;
HIDDENSTATE_REQUIRE_PAGES=1 makes that an error.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scikit_build_core import build as native

Settings = dict[str, Any] | None
FIRST_PAGE = Path("src/hiddenstate/course/pages/course/00-before.html")
BOOK = Path("docs/_ext/coursebook/book.py")
SPHINX = ["furo>=2024.8", "myst-parser>=3", "sphinx>=7.4"]  # as in the extra "docs"


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what a wheel needs: CMake if the system has none, and Sphinx unless the pages are there."""
    return [*native.get_requires_for_build_wheel(config_settings), *_sphinx()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """Return what an editable installation needs, which is the same."""
    return [*native.get_requires_for_build_editable(config_settings), *_sphinx()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return what a source distribution needs."""
    return [*native.get_requires_for_build_sdist(config_settings), *_sphinx()]


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the pages and a wheel."""
    target = os.path.abspath(wheel_directory)  # noqa: PTH100 (resolve() would follow links)
    with _writable_source():
        _build_pages()
        return native.build_wheel(target, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the pages and the wheel of an editable installation."""
    _build_pages()
    return native.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build the pages and a source distribution."""
    target = os.path.abspath(sdist_directory)  # noqa: PTH100
    with _writable_source():
        _build_pages()
        return native.build_sdist(target, config_settings)


def _has_pages() -> bool:
    """Whether this is a source distribution with pages; those of a checkout may be older than their sources."""
    return Path("PKG-INFO").is_file() and FIRST_PAGE.is_file()


def _sphinx() -> list[str]:
    return SPHINX if BOOK.is_file() and not _has_pages() else []


def _build_pages() -> None:
    if _has_pages():
        return
    folders = [str(Path(folder).resolve()) for folder in (BOOK.parents[1], "src")]
    path = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(BOOK)]
    if subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode == 0:
        return
    if os.environ.get("HIDDENSTATE_REQUIRE_PAGES") == "1":
        raise SystemExit("the course's pages could not be built, and HIDDENSTATE_REQUIRE_PAGES=1 requires them")
    print("The course's pages could not be built: the package has none, or earlier ones.", file=sys.stderr)


@contextlib.contextmanager
def _writable_source() -> Iterator[None]:
    """Change to a copy of the source if it is read-only: its pages and the native build are written into it."""
    if os.access(os.curdir, os.W_OK):
        yield
        return
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, native.build_sdist(folder))
        shutil.unpack_archive(archive, folder)
        os.chdir(archive.with_name(archive.name.removesuffix(".tar.gz")))
        try:
            yield
        finally:
            os.chdir(here)
