import json
from html.parser import HTMLParser

import pytest

from hiddenstate.studio import page as html
from hiddenstate.studio.bundles.bundle import Bundle

EVIL = "</script><script>alert(1)</script><!-- <script> \u2028 ]]> & \"'"


class Elements(HTMLParser):
    """The elements of a page, and the text of those that contain data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.data: dict[str, str] = {}
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data[self._inside] = self.data.get(self._inside, "") + data


def test_data_ends_no_element() -> None:
    page = html.data_element("boot", {"text": EVIL, EVIL: [1, "é戦"]})
    found = Elements(f"<p>{page}<b>")
    assert found.tags == ["p", "script", "b"]
    assert json.loads(found.data["boot"]) == {"text": EVIL, EVIL: [1, "é戦"]}
    assert "<!--" not in page


def test_packed_fails() -> None:
    with pytest.raises(AssertionError):
        html.script_element("modules", "a<b")


def test_boot() -> None:
    boot = html.boot_data("file", {"a": Bundle("lstm", EVIL, {}, b"")}, {"text": EVIL})
    assert boot["models"] == [{"id": "a", "name": EVIL}]
    assert Elements(html.data_element("boot", boot)).tags == ["script"]


def test_fill() -> None:
    page = html.fill(["<meta name=x>"], ["<b>end</b>"])
    assert page.startswith("<!doctype html>")
    assert page.index("<meta name=x>") < page.index("</head>") < page.index("<b>end</b>") < page.index("</body>")
    assert "<!--" not in page


def test_policy() -> None:
    assert (
        html.allow_only(script="'self'") == "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'"
    )
