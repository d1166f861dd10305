from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from studio.runtime.driver import Runtime, opened


@pytest.fixture(scope="module")
def runtime(chromium: Browser) -> Iterator[Runtime]:
    """Model code in a page of headless Chromium."""
    with opened() as runtime:
        yield runtime
