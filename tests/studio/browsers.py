"""Which browser the studio's tests run in: Chromium, or with ``HIDDENSTATE_BROWSER=firefox`` a stock Firefox."""

import os
import shutil
from typing import Literal

from playwright.sync_api import Browser, Playwright

FIREFOX = os.environ.get("HIDDENSTATE_BROWSER", "chromium") == "firefox"
NAMES = ("firefox-esr", "firefox") if FIREFOX else ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# Firefox and Chromium call a request so whose page was closed while it still fetched.
ABORTED = ("net::ERR_ABORTED", "NS_BINDING_ABORTED")


def launch(playwright: Playwright) -> Browser:
    """Launch the chosen browser, as the system has it."""
    if FIREFOX:
        return playwright.firefox.launch(executable_path=CHROMIUM, channel="moz-firefox")
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
