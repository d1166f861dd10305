"""The studio's page as a user sees it: served, opened, looked at; any error in it fails the test."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Locator, ViewportSize

from hiddenstate.studio.view import Studio
from studio.browsers import FIREFOX, saved_by
from studio.browsing import Watch

WIDE: ViewportSize = {"width": 1280, "height": 720}
PHONE: ViewportSize = {"width": 390, "height": 844}


_READY = """() => document.querySelector(".compare-drawing, #structure svg")
  || document.querySelector(".heat-value")?.textContent.includes("=")"""


_WIDER = """([selector, space]) => {
  const wider = new CSSStyleSheet();
  wider.replaceSync(`${selector} { letter-spacing: ${space}; }`);
  document.adoptedStyleSheets = [wider];
}"""


class Shown:
    """A page of the studio."""

    def __init__(self, watch: Watch, url: str) -> None:
        self.page = watch.page
        self.errors = watch.errors
        self.url = url
        self.given: dict[str, Any] = {}  # part of every view: Python remembers a text that was typed

    def look(self, until: str = "", **view: Any) -> None:
        """Reopen the page with a view in its address, and wait until it is drawn, or has what a selector names."""
        address = f"{self.url}#{urlencode({**self.given, **view})}"
        if FIREFOX or not self.page.url.startswith(self.url):  # Firefox restores what was typed
            self.page.goto("about:blank")
            self.page.goto(address)
        else:  # in the process of the page before, which takes a third less
            with self.page.expect_event("load"):
                self.page.evaluate("(to) => { history.replaceState(null, '', to); location.reload(); }", address)
        if until:
            self.page.wait_for_selector(until)
        else:
            self.page.wait_for_function(_READY)

    def panel(self, name: str) -> Locator:
        """One of the panels."""
        return self.page.locator(f"#{name}")

    def saved(self, name: str) -> list[dict[str, str]]:
        """The rows of a panel's CSV."""
        panel = self.panel(name)
        panel.locator("summary", has_text="Save").click()
        _, content = saved_by(self.page, panel.locator("[data-export=csv]").click)
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))

    def widen(self, selector: str, space: str) -> None:
        """Put space between the letters of some elements, as wider fonts would."""
        self.page.evaluate(_WIDER, [selector, space])

    def sticks_out(self) -> int:
        """Return by how many pixels the page is wider than the window without its scrollbar."""
        wide: int = self.page.evaluate(
            "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.documentElement)"
        )
        return wide


@contextmanager
def shown(browser: Browser, studio: Studio, size: ViewportSize = WIDE) -> Iterator[Shown]:
    """Serve a studio, and open its page."""
    running = studio.start()
    context = browser.new_context(viewport=size, accept_downloads=True)
    try:
        page = Shown(Watch(context.new_page()), running.url)
        yield page
        assert page.errors == [], page.errors
    finally:
        context.close()
        running.stop()
