"""The private file that redirects a browser to the page."""

from playwright.sync_api import Browser, expect

import hiddenstate as hs
from hiddenstate.studio.server.serving import redirect
from studio.browsing import NEEDS_CHROMIUM, watched


@NEEDS_CHROMIUM
def test_a_browser_that_opens_the_file_gets_the_page(chromium: Browser) -> None:
    with hs.studio(hs.LSTM(4, 3)).start() as running, redirect(running.url) as file, watched(chromium) as watch:
        watch.page.goto(file)
        watch.page.wait_for_url(f"{running.url}**")
        expect(watch.page.locator(".wordmark")).to_be_visible()
        assert watch.errors == []
