from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from studio.browsing import browser
from studio.chromium import CHROMIUM


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of whole pages."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser() as opened:
        yield opened
