"""The site of the course, built once for all tests of it, and the browser that a file of tests opens it in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from course.site import build
from studio.browsers import CHROMIUM
from studio.browsing import browser


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    """A browser for all tests of a file, which each of them joins: starting one takes longer than most tests."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser():
        yield
