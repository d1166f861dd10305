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
from studio.browsing import WIDE, Watch, watched

__all__ = ["PHONE", "WIDE", "Shown", "shown"]

PHONE: ViewportSize = {"width": 390, "height": 844}


_READY = """() => document.querySelector(".compare-drawing, #structure svg")
  || document.querySelector(".heat-value")?.textContent.includes("=")"""
# Events after which a page may differ from a new one with the same view.
_TOUCHES = ["pointermove", "pointerdown", "wheel", "keydown", "focusin", "click", "input", "change", "hashchange"]
_DRAWN = f"""(mark) => {{
  if (!({_READY})()) return false;
  if (mark) {{
    window.untouched = true;
    const touch = () => (window.untouched = false);
    for (const name of {_TOUCHES}) addEventListener(name, touch, {{ capture: true }});
    document.addEventListener("scroll", touch);
  }}
  return true;
}}"""
# Changes the address of a page that is untouched, and resolves when the page has followed, with no number on its way.
_MOVE = f"""async (to) => {{
  if (!window.untouched) return false;
  if (location.hash === to) return true;
  const {{ matchMedia }} = window;
  window.matchMedia = (query) => (query.includes("reduced-motion") ? {{ matches: true }} : matchMedia(query));
  const frame = () => new Promise(requestAnimationFrame);
  const followed = new Promise((done) => addEventListener("hashchange", done, {{ once: true }}));
  location.replace(to);
  await followed;
  await frame();
  await frame();
  await new Promise((done) => setTimeout(done));
  window.matchMedia = matchMedia;
  window.untouched = true;
  return Boolean(({_READY})());
}}"""
# What the page takes a while to follow, or remembers.
_SLOW = ("page", "model", "model2", "text2", "compare", "tour", "window")
# Presses a button of a menu that stays closed, which leaves the page as it was.
_SAVE = """(panel) => {
  const { untouched } = window;
  panel.querySelector("[data-export=csv]").click();
  window.untouched = untouched;
}"""
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
        self.last: dict[str, Any] | None = None  # the view that was looked at
        self.given: dict[str, Any] = {}  # part of every view: Python remembers a text that was typed

    def look(self, until: str = "", *, anew: bool = False, **view: Any) -> None:
        """Open the page at a view, and wait until it is drawn, or has what a selector names.

        A page that nobody has touched since the last look moves to the view, unless it must open ``anew``.
        """
        view = {**self.given, **view}
        place = f"#{urlencode(view)}"
        here = {**view, "window": self.page.viewport_size}
        last, self.last = self.last, None if until else here
        near = last is not None and all(last.get(name) == here.get(name) for name in _SLOW)
        if near and not until and not anew and not FIREFOX and self.page.evaluate(_MOVE, place):
            return
        if FIREFOX or not self.page.url.startswith(self.url):
            self.page.goto("about:blank")  # Firefox restores what was typed
            self.page.goto(self.url + place)
        else:  # in the process of the page before, which takes a third less
            with self.page.expect_event("load"):
                self.page.evaluate("(to) => { history.replaceState(null, '', to); location.reload(); }", place)
        if until:
            self.page.wait_for_selector(until)
        else:
            self.page.wait_for_function(_DRAWN, arg=not FIREFOX)

    def panel(self, name: str) -> Locator:
        """One of the panels."""
        return self.page.locator(f"#{name}")

    def saved(self, name: str) -> list[dict[str, str]]:
        """The rows of a panel's CSV."""
        panel = self.panel(name)
        _, content = saved_by(self.page, lambda: panel.evaluate(_SAVE))
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))

    def widen(self, selector: str, space: str) -> None:
        """Put space between the letters of some elements, as wider fonts would."""
        self.last = None
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
    with studio.start() as running, watched(browser, size) as watch:
        yield Shown(watch, running.url)
        assert watch.errors == [], watch.errors
