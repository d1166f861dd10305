from collections.abc import Iterator

import pytest

from studio.browsers import CHROMIUM
from studio.runtime.driver import Runtime, opened


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    """Model code in a page of headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with opened() as runtime:
        yield runtime
