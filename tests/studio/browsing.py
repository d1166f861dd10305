"""Whole pages in headless Chromium, and every error in them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, expect

from studio.browsers import ABORTED, CHROMIUM
from studio.chromium import blank, browser

NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
__all__ = ["NEEDS_CHROMIUM", "PATIENCE", "Watch", "browser", "watched"]

WIDE: ViewportSize = {"width": 1280, "height": 720}
PATIENCE = 20_000 * (1 + bool(os.environ.get("CI")))  # milliseconds: machines are shared and slow at times
expect.set_options(timeout=PATIENCE)  # assertions wait as long as clicks


class Watch:
    """A page that keeps every error: of scripts, of the console, and of failed requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        self._heard: dict[Any, Callable[[Any], None]] = {
            "pageerror": lambda error: self.errors.append(f"{error}"),
            "console": self._said,
            "requestfailed": self._failed,
            "request": lambda request: self.asked.append(request.url),
        }
        for event, hear in self._heard.items():
            page.on(event, hear)

    def end(self) -> None:
        """Leave the page to the next who watches it."""
        for event, hear in self._heard.items():
            self.page.remove_listener(event, hear)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _failed(self, request: Request) -> None:
        if request.failure not in ABORTED:  # the page was closed while it was still fetching
            self.errors.append(f"{request.url[:80]}: {request.failure}")


@contextmanager
def watched(
    opened: Browser, size: ViewportSize = WIDE, *, offline: bool = False, own: dict[str, Any] | None = None
) -> Iterator[Watch]:
    """Open a page, ``offline`` or not: a shared one, or one in its ``own`` context with these options."""
    if own is not None:
        with opened.new_context(offline=offline, viewport=size, **own) as context:
            yield Watch(context.new_page())
        return
    with blank(opened, offline=offline) as page:
        page.set_viewport_size(size)
        watch = Watch(page)
        yield watch
        watch.end()
