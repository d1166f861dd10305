"""The course's site, built once for all of its tests, and the browser in which a test file opens it."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from course.site import build
from studio.browsers import CHROMIUM
from studio.browsing import browser
from studio.chromium import close_unless_needed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None, None, None]:
    try:
        return (yield)
    finally:
        close_unless_needed(nextitem)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    """A browser shared by all tests of a file: starting one takes longer than most tests."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser():
        yield
