"""The course as a site, built alone, and opened from the disk with no network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from course.chapters import PAGES
from pages import DOCS
from studio.browsing import Watch, browser

_INDEX = "# The course\n\n```{toctree}\n"


def build(folder: Path) -> Path:
    """Build the course's pages with the settings of the documentation, and return the site's folder."""
    source = folder / "docs"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    for name in ("_static", "_ext", "course"):
        shutil.copytree(DOCS / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    contents = "\n".join(f"course/{page.stem}" for page in PAGES)
    (source / "index.md").write_text(f"{_INDEX}{contents}\n```\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(source),
        str(folder / "site"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@contextmanager
def opened(site: Path, page: str, *, query: str = "", **options: Any) -> Iterator[Watch]:
    """Open a page of the site from the disk, in a browser that has no network."""
    with browser() as running:
        context = running.new_context(offline=True, **{"viewport": {"width": 1280, "height": 800}, **options})
        try:
            watch = Watch(context.new_page())
            watch.page.goto(f"{(site / 'course' / f'{page}.html').as_uri()}{query}")
            yield watch
        finally:
            context.close()


def numbers(page: Page, figure: str, state: dict[str, Any] | None = None) -> list[float]:
    """Start a figure, put it in a state, and return the numbers that it shows."""
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
