"""Whatever answers a question is folded until then: the cell below it, its output, and the sentences that follow."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import expect

from course.chapters import PAGES, directives
from course.matrix import RECALL
from course.site import opened, press, stays_at_home
from coursebook.pages import directive, parts_of
from studio.browsing import NEEDS_CHROMIUM
from support import needs

pytestmark = needs("sphinx", "furo", "myst_parser")
FIRST = "01-structure-and-hidden-state"
LEAST = 15  # questions with a cell below
each_page = pytest.mark.parametrize("page", PAGES[1:-1], ids=lambda page: page.stem)  # with questions and cells


def answered_below(page: Path) -> list[str]:
    """The questions of a page with a cell below that answers them: next to them, or next to their figure."""
    parts, found = [part for part in parts_of(page) if part.text.strip()], []
    section = ""
    for k, part in enumerate(parts):
        section = ([section, *re.findall(r"^## (.+)$", part.text, re.MULTILINE)])[-1] if not part.language else section
        if part.language == "predict" and section != RECALL and page.stem[:2] not in ("00", "07"):
            after = parts[k + 2 if parts[k + 1].language == "live" else k + 1]
            found += [directive(part).argument] if after.language == "python" else []
    return found


def test_what_answers_a_question_is_folded_in_the_html(site: Path) -> None:
    asked = {page: answered_below(page) for page in PAGES}
    assert sum(map(len, asked.values())) >= LEAST
    for page, questions in asked.items():
        folds = _Folds()
        folds.feed((site / "course" / f"{page.stem}.html").read_text(encoding="utf-8"))
        assert [question for question in questions if question not in folds.of_cells] == []
        assert not folds.opened, "folded until it is opened"
        assert not folds.parts, "a numbered part is no answer to the question above it"
        assert set(folds.of_cells) <= {made.argument for made in directives(page, "predict")}


class _Folds(HTMLParser):
    """Which questions' folds contain a cell, whether a fold is open, and which numbered parts are in one."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.of_cells: list[str] = []
        self.opened = False
        self.parts: list[str] = []
        self.bold = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "details":
            self.inside.append(given.get("data-after") or "")
            self.opened |= bool(self.inside[-1]) and "open" in given
        if "highlight-python" in (given.get("class") or ""):
            self.of_cells += [question for question in self.inside if question]

        self.bold = tag == "strong"

    def handle_data(self, data: str) -> None:
        if self.bold and any(self.inside) and re.match(r"\d\. ", data):
            self.parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "details":
            self.inside.pop()


@NEEDS_CHROMIUM
@pytest.mark.usefixtures("chromium")
@each_page
def test_a_question_can_be_answered_before_its_cell_is_seen(site: Path, page: Path) -> None:
    with opened(site, page.stem) as watch:
        for name in answered_below(page):
            fold = watch.page.locator(f'.course-after[data-after="{name}"]').first
            expect(fold.locator("pre").first).to_be_hidden()
            press(watch.page, watch.page.locator(f"#predict-{name}").get_by_role("button").first)
            expect(fold.locator("pre").first).to_be_visible()
        stays_at_home(watch)


@NEEDS_CHROMIUM
@pytest.mark.usefixtures("chromium")
def test_a_fold_can_be_opened_before_and_shut_after_and_stays_answered(site: Path) -> None:
    with opened(site, FIRST) as watch:
        page, fold = watch.page, watch.page.locator('.course-after[data-after="why-different"]')
        press(page, fold.locator("summary"))
        expect(fold.locator("pre").first).to_be_visible()
        press(page, fold.locator("summary"))
        page.locator("#predict-why-different").get_by_role("button").first.click()
        expect(fold.locator("pre").first).to_be_visible()
        press(page, fold.locator("summary"))
        expect(fold.locator("pre").first).to_be_hidden()
        page.locator("#predict-why-different").get_by_role("button").last.click()
        expect(fold.locator("pre").first).to_be_hidden()
        page.reload()
        expect(fold.locator("pre").first).to_be_visible()
        stays_at_home(watch)


@NEEDS_CHROMIUM
@pytest.mark.usefixtures("chromium")
def test_a_link_to_a_proof_opens_the_fold_that_it_stands_in(site: Path) -> None:
    with opened(site, FIRST) as watch:
        fold = watch.page.locator('.course-after[data-after="exchanged"]')
        expect(fold.locator("pre").first).to_be_hidden()
        press(watch.page, watch.page.locator('ul a[href="#proof-swapped-batch-runs"]'))
        expect(fold.locator("pre").first).to_be_visible()
        stays_at_home(watch)
