"""README's links work in the repository, and from a package index."""

import importlib.util
import re
from types import ModuleType

import pytest

from pages import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_for_index", ROOT / ".ci" / "readme_for_index.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_that_it_links_to_is_there(links: ModuleType) -> None:
    targets = [match["target"].partition("#")[0] for match in links.LINK.finditer(README)]
    assert len(targets) > 20
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_for_an_index_every_link_and_picture_is_absolute(links: ModuleType) -> None:
    text = links.absolute(README, "someone/something", "abc123")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "![The studio" in text
    assert "(https://github.com/someone/something/raw/abc123/docs/images/studio-read.png)" in text
    assert "(https://github.com/someone/something/blob/abc123/docs/speed.md)" in text


def test_other_links_stay(links: ModuleType) -> None:
    text = "[a](https://example.org) [b](#b) [c](mailto:x@example.org)"
    assert links.absolute(text, "a/b", "c") == text
