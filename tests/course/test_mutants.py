"""Every broken LSTM and every broken lesson is found by a proof or a check of the course."""

from pathlib import Path

import pytest
import torch

import hiddenstate as hs
import pages
from course.chapters import PAGES
from course.mutants import BROKEN, LESSONS
from course.subjects import SUBJECTS
from coursebook.pages import Block, blocks_of
from pages import Run

# The final check is quickest, and the reference is what can be broken.
ORDER = [next(page for page in PAGES if page.stem.startswith(number)) for number in ("07", "01", "02")]


class Altered(Run):
    """A page of which a cell is altered, run without what it says of its prints."""

    def __init__(self, page: Path, before: str = "", after: str = "") -> None:
        super().__init__(page)
        self.before, self.after, self.places = before, after, 0
        self.namespace["FULL"] = False

    def go(self) -> "Altered":
        for block in blocks_of(self.page):
            if block.language == "python" and self.before and self.before in block.text:
                self.places += 1
                text = block.text.replace(self.before, self.after)
                self.run(Block("python", tuple(text.split("\n")), block.start))
            elif block.language in ("python", "exercise", "parsons"):
                self.run(block)
        return self


def first_that_fails() -> str:
    """Run the pages until an assert of a cell or a check does not hold; "" where all do."""
    for page in ORDER:
        run = Altered(page)
        try:
            run.go()
        except (AssertionError, RuntimeError):  # torch says it where a gradient that is asked for is not there
            return f"{page.stem}, after {run.proved[-1:]}"
    return ""


@pytest.fixture
def _by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FULL", False)


@pytest.mark.usefixtures("_by_the_reference")
def test_nothing_fails_where_nothing_is_broken() -> None:
    with hs.backend("reference"):
        assert first_that_fails() == ""


@pytest.mark.usefixtures("_by_the_reference")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_lstm_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN[name](monkeypatch)
    with hs.backend("reference"):
        assert first_that_fails(), f"no proof and no check minds: {name}"


@pytest.mark.parametrize("lesson", [*LESSONS, *SUBJECTS], ids=lambda lesson: f"{lesson[0]}: {lesson[2]}"[:60])
def test_a_broken_lesson_is_found(lesson: tuple[str, str, str]) -> None:
    number, before, after = lesson
    page = next(page for page in PAGES if page.stem.startswith(number))
    run = Altered(page, before, after)
    torch.manual_seed(0)
    with pytest.raises((AssertionError, RuntimeError)):
        run.go()
    assert run.places, f"{before} stands on {page.name} no longer"
