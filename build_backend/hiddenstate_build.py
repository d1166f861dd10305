"""The build backend: scikit-build-core, which compiles the native module, and before it the pages.

The studio's page is built from `web/` by esbuild, and the course's from `docs/course` by Sphinx, into folders of the
package that git ignores. A source distribution already has them. If they can't be built, the package is installed
without them, as `hiddenstate studio` and `hiddenstate course` report; HIDDENSTATE_REQUIRE_PAGES=1 makes that an error.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import studio_page

Settings = dict[str, Any] | None
FIRST_PAGE = Path("src/hiddenstate/course/pages/course/00-before.html")
BOOK = Path("docs/_ext/coursebook/book.py")
PAGES_NEED = ["furo>=2024.8", "myst-parser>=3", "sphinx>=7.4"]  # as in the extra "docs"
# Elsewhere there is no Node on PyPI, and so no page.
NODE_MACHINES = ("x86_64", "AMD64", "aarch64", "arm64", "ARM64")


@contextlib.contextmanager
def _working_in(folder: str) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


# scikit-build-core reads the project's settings when it is imported. Since a failed build is repeated without CMake, it
# would not offer to write the metadata before the wheel is built, and pip would compile everything just to read them.
# They are the same with and without CMake, so it is imported where it finds no project.
with tempfile.TemporaryDirectory() as _no_project, _working_in(_no_project):
    from scikit_build_core import build as native


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what a wheel needs: CMake if the system has none, and Sphinx and Node unless the pages are there."""
    return [*native.get_requires_for_build_wheel(config_settings), *_pages_need()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """Return what an editable installation needs, which is the same."""
    return [*native.get_requires_for_build_editable(config_settings), *_pages_need()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return what a source distribution needs."""
    return [*native.get_requires_for_build_sdist(config_settings), *_pages_need()]


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the metadata of a wheel, without building anything."""
    return native.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the metadata of an editable installation, without building anything."""
    return native.prepare_metadata_for_build_editable(metadata_directory, config_settings)


# metadata_directory is not passed on: scikit-build-core would compare the wheel with the metadata there, but the tag
# differs if nothing could be compiled.
def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the pages and a wheel."""
    target = os.path.abspath(wheel_directory)  # noqa: PTH100 (resolve() would follow links)
    with _writable_source():
        _build_pages()
        return native.build_wheel(target, config_settings)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the pages and the wheel of an editable installation."""
    _build_pages()
    return native.build_editable(wheel_directory, config_settings)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build the pages and a source distribution."""
    target = os.path.abspath(sdist_directory)  # noqa: PTH100
    with _writable_source():
        _build_pages()
        return native.build_sdist(target, config_settings)


def _has_pages() -> bool:
    """Whether this is a source distribution with pages; those of a checkout may be older than their sources."""
    return Path("PKG-INFO").is_file() and FIRST_PAGE.is_file()


def _pages_need() -> list[str]:
    if _has_pages() or not BOOK.is_file():
        return []
    return [*PAGES_NEED, *([studio_page.NODE] if platform.machine() in NODE_MACHINES else [])]


def _build_pages() -> None:
    if _has_pages() or (_build_studio() and _build_course()):
        return
    if os.environ.get(studio_page.REQUIRED) == "1":
        raise SystemExit(f"the pages could not be built, and {studio_page.REQUIRED}=1 requires them")
    print("The pages could not all be built: the package lacks them, or has earlier ones.", file=sys.stderr)


def _build_studio() -> bool:
    try:
        studio_page.build(Path.cwd())
    except studio_page.PageError as error:
        print(f"The studio's page: {error}", file=sys.stderr)
        return False
    return True


def _build_course() -> bool:
    """Build the course's pages, whose figures use the studio's runtime."""
    folders = [str(Path(folder).resolve()) for folder in (BOOK.parents[1], "src")]
    path = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(BOOK)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode == 0


@contextlib.contextmanager
def _writable_source() -> Iterator[None]:
    """Change to a copy of the source if it is read-only: its pages and the native build are written into it."""
    if os.access(os.curdir, os.W_OK):
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, native.build_sdist(folder))
        shutil.unpack_archive(archive, folder)
        with _working_in(str(archive.with_name(archive.name.removesuffix(".tar.gz")))):
            yield
