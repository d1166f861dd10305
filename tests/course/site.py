"""The course that the package ships, opened from disk without a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, ViewportSize

from coursebook import book
from hiddenstate.course import opening
from studio.browsing import Watch, browser, watched

WINDOW: ViewportSize = {"width": 1280, "height": 800}


def build(folder: Path) -> Path:
    """Build the pages that the package ships, and write them out as `hiddenstate course` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "PAGES", book.build(folder))
        return opening.first_page(folder / "opened").parents[1]


@contextmanager
def opened(site: Path, page: str, *, size: ViewportSize = WINDOW, own: dict[str, Any] | None = None) -> Iterator[Watch]:
    """Open a page of the site from disk, in a browser without a network."""
    with browser() as running, watched(running, size, offline=True, own=own) as watch:
        watch.page.goto((site / "course" / f"{page}.html").as_uri())
        yield watch


def numbers(page: Page, figure: str, state: dict[str, Any] | None = None) -> list[float]:
    """Start a figure, put it into a state, and return the numbers that it shows."""
    script = """async ([id, state]) => {
      document.querySelectorAll(".course-predict").forEach((box) => box.dataset.answered = "true");
      document.dispatchEvent(new CustomEvent("course-answered", { detail: {} }));
      await course.figures[id].start();
      course.figures[id].put(state);
      course.figures[id].change({});
      return Array.from(course.figures[id].view.numbers());
    }"""
    found: list[float] = page.evaluate(script, [figure, state or {}])
    return found


def stays_at_home(watch: Watch) -> None:
    assert watch.errors == []
    assert [url for url in watch.asked if not url.startswith("file:")] == []


def press(page: Page, locator: Locator, key: str = "Enter") -> None:
    locator.focus()
    page.keyboard.press(key)
