"""The site of the course, built once for all tests of it."""

from pathlib import Path

import pytest

from course.site import build


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("course"))
