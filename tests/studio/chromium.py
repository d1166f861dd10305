"""The studio's modules in headless Chromium, without a server: the page has only the import map."""

import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import studio_page
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from studio.browsers import CHROMIUM, chosen, launch

ORIGIN = "http://studio.test"
_LIBRARIES = ("preact", "preact/hooks", "preact/jsx-runtime", "@preact/signals")
_MAP = json.dumps({"imports": {"studio/": "./modules/", **{name: f"./modules/npm/{name}.js" for name in _LIBRARIES}}})
_PAGE = f'<!doctype html><meta charset="utf-8"><script type="importmap">{_MAP}</script>'


@cache
def built_modules() -> Path:
    """Build each of the page's modules by itself, and return their folder."""
    folder = mkdtemp(prefix="studio-modules-")
    try:
        studio_page.run("build.mjs", "--modules", folder)
    except studio_page.NodeMissingError as error:
        if os.environ.get(studio_page.REQUIRED) == "1":
            raise
        pytest.skip(str(error))
    return Path(folder)


class Modules:
    """A page that can import the studio's modules, and files that it may fetch."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.files: dict[str, bytes] = {}
        page.route("**/*", self._answer)
        page.goto(f"{ORIGIN}/")

    def run(self, script: str, given: object = None) -> Any:
        """Run ``async (given) => ...`` in the page; it may import "studio/..." and fetch anything in `files`."""
        return self.page.evaluate(script, given)

    def offer(self, files: Mapping[str, bytes]) -> None:
        """Let the page fetch ``/files/NAME``."""
        self.files |= files

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/":
            route.fulfill(body=_PAGE, content_type="text/html")
        elif (module := built_modules() / path.removeprefix("/modules/")).is_file():
            route.fulfill(body=module.read_bytes(), content_type="text/javascript")
        elif path.removeprefix("/files/") in self.files:
            route.fulfill(body=self.files[path.removeprefix("/files/")], content_type="application/octet-stream")
        else:
            route.fulfill(status=404)


class _Shared:
    """One browser for all open pages: Playwright can't be started twice in a thread, and starting takes a second.

    So do pages: a new one takes half a second of processor time, and another to compile the studio's scripts.
    """

    def __init__(self) -> None:
        self.users = 0
        self.stack = ExitStack()
        self.browser: Browser | None = None
        self.blank: dict[bool, list[Page]] = {}  # the pages that nobody uses, those without a network apart
        self.contexts: dict[bool, BrowserContext] = {}
        self.used: list[Page] = []  # the last in front: others draw a frame a second

    def enter(self) -> Browser:
        if self.browser is None:
            playwright = self.stack.enter_context(sync_playwright())
            self.browser = launch(chosen(playwright))
            self.stack.callback(self.browser.close)
        self.users += 1
        return self.browser

    def leave(self) -> None:
        self.users -= 1

    @contextmanager
    def in_front(self, page: Page, *, behind: bool) -> Iterator[None]:
        self.used.insert(0 if behind else len(self.used), page)
        self.used[-1].bring_to_front()
        try:
            yield
        finally:
            self.used.remove(page)
            if self.used:
                self.used[-1].bring_to_front()

    def close_if_idle(self) -> None:
        if self.users == 0:
            self.browser = None
            self.blank.clear()
            self.contexts.clear()
            self.used.clear()
            self.stack.close()


_SHARED = _Shared()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """Close a browser that nobody uses, unless the following test opens one: its event loop would break other tests."""
    try:
        return (yield)
    finally:
        if "chromium" not in getattr(nextitem, "fixturenames", []):
            _SHARED.close_if_idle()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser that consecutive tests share: starting one takes longer than most tests."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser() as opened:
        yield opened


@contextmanager
def browser() -> Iterator[Browser]:
    """Open a browser, or share the one that is open."""
    shared = _SHARED.enter()
    try:
        yield shared
    finally:
        _SHARED.leave()


@contextmanager
def blank(opened: Browser, *, offline: bool = False, behind: bool = False) -> Iterator[Page]:
    """Open a blank page, ``offline`` or not, in front of others or ``behind`` them.

    Those with a network share a context, where each server, at its own port, is an origin of its own; so do the others,
    whose storage is emptied.
    """
    kept, contexts = _SHARED.blank.setdefault(offline, []), _SHARED.contexts
    if offline not in contexts:
        contexts[offline] = opened.new_context(offline=offline)
    page = kept.pop() if kept else contexts[offline].new_page()
    with _SHARED.in_front(page, behind=behind), ExitStack() as failed:
        failed.callback(page.close)
        yield page
        page.unroute_all()
        page.emulate_media(media="null", color_scheme="null", reduced_motion="null")
        page.mouse.move(0, 0)
        if offline:
            page.evaluate("localStorage.clear(), sessionStorage.clear()")
        page.goto("about:blank")
        failed.pop_all()
    kept.append(page)


@contextmanager
def modules() -> Iterator[Modules]:
    """Open such a page behind others: it draws nothing."""
    built_modules()
    with browser() as opened, blank(opened, behind=True) as page:
        yield Modules(page)
