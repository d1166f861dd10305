from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from hiddenstate.models.model_folder import load_tagger, shipped
from hiddenstate.models.tagger.tagger import Tagger
from studio.browsers import CHROMIUM
from studio.browsing import browser
from studio.chromium import Modules, modules


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser per file: while it is open, its thread has a running event loop, which would break other tests."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page() -> Iterator[Modules]:
    """A blank page that can import the studio's modules."""
    with modules() as page:
        yield page


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """The shipped tagger, in Python."""
    return load_tagger(shipped())
