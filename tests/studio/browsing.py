"""Whole pages in headless Chromium, and every error in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from studio.browsers import ABORTED, CHROMIUM
from studio.chromium import browser

NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
__all__ = ["NEEDS_CHROMIUM", "PATIENCE", "Watch", "browser", "watched"]

PATIENCE = 20_000 * (1 + bool(os.environ.get("CI")))  # milliseconds: machines are shared and slow at times
expect.set_options(timeout=PATIENCE)  # assertions wait as long as clicks


class Watch:
    """A page that keeps every error: of scripts, of the console, and of failed requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.errors.append(f"{error}"))
        page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("requestfailed", self._failed)
        page.on("request", lambda request: self.asked.append(request.url))

    def _failed(self, request: Request) -> None:
        if request.failure not in ABORTED:  # the page was closed while it was still fetching
            self.errors.append(f"{request.url[:80]}: {request.failure}")


@contextmanager
def watched(opened: Browser, *, offline: bool = False) -> Iterator[Watch]:
    """Open a page, without a network if requested."""
    context: BrowserContext = opened.new_context(offline=offline, viewport={"width": 1280, "height": 720})
    try:
        yield Watch(context.new_page())
    finally:
        context.close()
