from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser

from hiddenstate.models.model_folder import load_tagger, shipped
from hiddenstate.models.tagger.tagger import Tagger
from studio.browsers import CHROMIUM
from studio.browsing import browser
from studio.chromium import Modules, close_unless_needed, modules


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None, None, None]:
    try:
        return (yield)
    finally:
        close_unless_needed(nextitem)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser that consecutive tests share."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Modules]:
    """A blank page that can import the studio's modules."""
    with modules() as page:
        yield page


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """The shipped tagger, in Python."""
    return load_tagger(shipped())
