"""The course's site, built once for all of its tests, and the browser in which a test file opens it."""

from pathlib import Path

import pytest

from course.site import build
from studio.chromium import chromium, pytest_runtest_teardown

__all__ = ["chromium", "pytest_runtest_teardown", "site"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("course"))
