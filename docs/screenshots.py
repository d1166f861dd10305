"""Writes the pictures of the studio that README and documentation show: `make screenshots` (needs Chromium)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

import hiddenstate as hs

IMAGES = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LAPTOP: ViewportSize = {"width": 1280, "height": 720}
DESKTOP: ViewportSize = {"width": 1728, "height": 1080}
PHONE: ViewportSize = {"width": 390, "height": 844}
TALL: ViewportSize = {"width": 1280, "height": 1120}

HOUSE = "She said the old man who sold us the house could not remember why he had left the city."
FISH = "I like to fish and hunt ."
COMPLEX = "The complex houses married soldiers ."
MARRIED_NONE = "The complex houses soldiers ."
THE_FISH = "I like the fish and hunt ."
ASKED = {"page": "explain", "text": FISH, "text2": THE_FISH, "step": "3", "method": "shapley"}
_READY = """() => document.querySelector(".compare-drawing, #structure svg, .patch-map")
  || document.querySelector(".heat-value")?.textContent.includes("=")"""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of the file, after ``studio-``.
        view: the view in the page's address. size: the size of the window. panel: the only panel to show; "" for the
        window.
        theme: light or dark.
    """

    name: str
    view: dict[str, str]
    size: ViewportSize
    panel: str = ""
    theme: str = "light"


PICTURES = [
    Picture("read", {"text": HOUSE, "step": "4", "show": "f", "sort": "cluster"}, LAPTOP),
    Picture("read-dark", {"text": HOUSE, "step": "4", "pin": "127"}, LAPTOP, theme="dark"),
    Picture("phone", {"text": FISH, "step": "3"}, PHONE),
    Picture("gate", {"text": HOUSE, "step": "5", "zoom": "gate", "gate": "f"}, DESKTOP, "microscope"),
    Picture("edit", {"text": FISH, "step": "3", "edit": "l0.f:set:0"}, LAPTOP, "edits"),
    Picture("compare", {"page": "compare", "text": COMPLEX, "text2": MARRIED_NONE, "step": "2"}, LAPTOP, "compare"),
    Picture("structure", {"page": "structure", "text": "Giraffes in a field"}, LAPTOP, "unrolled"),
    Picture("explain", ASKED, TALL),
    Picture("sweep", ASKED, LAPTOP, "sweep"),
    Picture("tour", {"text": FISH, "tour": "3"}, LAPTOP),
]


@contextmanager
def opened(browser: Browser, url: str, picture: Picture) -> Iterator[Page]:
    """Open the page for a picture, and wait until it is still."""
    dark = picture.theme == "dark"
    context = browser.new_context(
        viewport=picture.size,
        device_scale_factor=1.5,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"{url}#{urlencode(picture.view)}")
    page.wait_for_function(_READY)
    page.wait_for_timeout(600)
    yield page
    context.close()


def take(browser: Browser, url: str, picture: Picture) -> None:
    """Write one picture."""
    path = IMAGES / f"studio-{picture.name}.png"
    with opened(browser, url, picture) as page:
        if picture.panel == "":
            page.screenshot(path=path)
            return
        panel = page.locator(f"#{picture.panel}")
        panel.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        panel.screenshot(path=path)


def main() -> None:
    """Write all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium was found: install it (Debian: apt install chromium) and try again")
    running = hs.studio().start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for picture in PICTURES:
            take(browser, running.url, picture)
            print(f"docs/images/studio-{picture.name}.png")
        browser.close()
    running.stop()


if __name__ == "__main__":
    main()
