from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from hiddenstate.models.model_folder import load_tagger, shipped
from hiddenstate.models.tagger.tagger import Tagger
from studio.chromium import Modules, chromium, modules, pytest_runtest_teardown

__all__ = ["chromium", "page", "pytest_runtest_teardown", "tagger"]


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Modules]:
    """A blank page that can import the studio's modules."""
    with modules() as page:
        yield page


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """The shipped tagger, in Python."""
    return load_tagger(shipped())
