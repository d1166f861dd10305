"""The browser of the studio's tests: Chromium, or a stock Firefox with ``HIDDENSTATE_BROWSER=firefox``."""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType, Error, Locator, Page, Playwright, sync_playwright

FIREFOX = os.environ.get("HIDDENSTATE_BROWSER", "chromium") == "firefox"
NAMES = (
    ("firefox-esr", "firefox")
    if FIREFOX
    else ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
)
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ABORTED = ("net::ERR_ABORTED", "NS_BINDING_ABORTED")
_QUIET = {"browser.download.alwaysOpenPanel": False}  # which would take the focus from the page
_FOLDER = TemporaryDirectory(prefix="studio-saved-", ignore_cleanup_errors=True) if FIREFOX else None  # until the end
_SAVED = Path(_FOLDER.name) if _FOLDER else None


def chosen(playwright: Playwright) -> BrowserType:
    """Return the chosen kind of browser."""
    return playwright.firefox if FIREFOX else playwright.chromium


def launch(browser: BrowserType, preferences: Mapping[str, str | float | bool] | None = None) -> Browser:
    """Launch the system's copy of the chosen browser; ``preferences`` are for Firefox."""
    if not FIREFOX:
        return browser.launch(executable_path=CHROMIUM, args=FLAGS)
    return browser.launch(
        executable_path=CHROMIUM,
        channel="moz-firefox",  # which is driven by WebDriver BiDi, without patches of Playwright's
        downloads_path=_SAVED,
        firefox_user_prefs={**_QUIET, **(preferences or {})},
    )


def saved_by(page: Page, press: Callable[[], None]) -> tuple[str, bytes]:
    """Return the name and content of the file that the page saves when ``press`` is called."""
    if _SAVED is None:
        with page.expect_download() as download:
            press()
        return download.value.suggested_filename, download.value.path().read_bytes()
    press()
    for _ in range(400):  # Firefox reports no download of a file that the page itself creates
        found = [path for path in _SAVED.iterdir() if path.suffix != ".part" and path.stat().st_size > 0]
        if found:
            name, content = found[0].name, found[0].read_bytes()
            found[0].unlink()
            return name, content
        page.wait_for_timeout(50)
    raise AssertionError("nothing was saved")


def emulate(page: Page, query: str, **media: Any) -> None:
    """Emulate a system preference for colours or motion; skip the test if the driver can't."""
    page.emulate_media(**media)
    if not page.evaluate("(query) => matchMedia(query).matches", query):
        pytest.skip(f"this driver can't make {query} true in this browser")


def retype(field: Locator, text: str) -> None:
    """Replace a field's text by typing; in Firefox `Locator.fill` does not replace it in a number field."""
    field.press("Control+a")
    field.press_sequentially(text)


def double_click(page: Page, x: float, y: float) -> None:
    """Click twice at a point of the window."""
    if FIREFOX:  # two separate clicks of the driver are never close enough in time for it
        page.evaluate(
            """([clientX, clientY]) => document.elementFromPoint(clientX, clientY)
              .dispatchEvent(new MouseEvent("dblclick", { clientX, clientY, bubbles: true }))""",
            [x, y],
        )
    else:
        page.mouse.dblclick(x, y)


def main() -> None:
    """Print which Firefox the tests would use, or what is missing; `make test-browsers` runs this first."""
    if CHROMIUM is None:
        raise SystemExit(f"There is no {' and no '.join(NAMES)} here: install it (Debian: apt install {NAMES[0]}).")
    with sync_playwright() as playwright, closing(launch(chosen(playwright))) as browser:
        try:
            browser.new_context().close()
        except Error as error:
            raise SystemExit(
                f"This Playwright can't drive Firefox {browser.version}: {error.message.splitlines()[0]}. Take another "
                "Firefox, or another Playwright: make test-browsers PLAYWRIGHT='playwright<1.65'."
            ) from None
        print(f"{CHROMIUM} {browser.version}")


if __name__ == "__main__":
    main()
