from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from studio.browsing import browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of whole pages."""
    with browser() as opened:
        yield opened
