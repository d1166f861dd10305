"""The studio's modules in headless Chromium: a page that has the import map and nothing else, and no server."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

import hiddenstate

STATIC = Path(hiddenstate.__file__).parent / "studio" / "static"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ORIGIN = "http://studio.test"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_MAP = json.dumps({"imports": {"studio/": "./static/"}})
_PAGE = f'<!doctype html><meta charset="utf-8"><script type="importmap">{_MAP}</script>'


class Modules:
    """A page that can import the studio's modules, and files that it may fetch."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.files: dict[str, bytes] = {}
        page.route("**/*", self._answer)
        page.goto(f"{ORIGIN}/")

    def run(self, script: str, given: object = None) -> Any:
        """Run ``async (given) => ...`` in the page, which may import "studio/..." and fetch what is in `files`."""
        return self.page.evaluate(script, given)

    def offer(self, files: Mapping[str, bytes]) -> None:
        """Let the page fetch ``/files/NAME``."""
        self.files |= files

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/":
            route.fulfill(body=_PAGE, content_type="text/html")
        elif path.startswith("/static/"):
            route.fulfill(body=(STATIC / path.removeprefix("/static/")).read_bytes(), content_type="text/javascript")
        elif path.removeprefix("/files/") in self.files:
            route.fulfill(body=self.files[path.removeprefix("/files/")], content_type="application/octet-stream")
        else:
            route.fulfill(status=404)


@contextmanager
def modules() -> Iterator[Modules]:
    """Open such a page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield Modules(browser.new_page())
        finally:
            browser.close()
