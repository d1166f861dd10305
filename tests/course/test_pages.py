"""Chapters conform to tests/course/AUTHORING.md."""

import re
from pathlib import Path

import pytest

from course.chapters import ACTIONS, PAGES, abouts, cells, choices, directives, pieces, roles
from coursebook import pages as pages_of_the_course
from coursebook.pages import parts_of, without_proofs
from hiddenstate.course.checks import EXERCISES
from hiddenstate.course.figures.marks import MODELS
from hiddenstate.course.figures.stills import STILLS
from hiddenstate.doctor.misconceptions import MISCONCEPTIONS

JS = Path(pages_of_the_course.__file__).parent / "js"
MOST_WORDS = 1500
MOST_MINUTES = 510  # of the chapters; the capstone is a separate project
MOST_LINES = 25  # of a cell
SCREEN = 250  # words
FARTHEST = 350  # words without something to do
PARTS = [
    "Try first",
    "Predict, then look",
    "A worked example",
    "Fill in the gaps",
    "Exercises",
    "What to remember",
    "Recall",
]
SPEED = 200  # words per minute
CODE_SPEED = 10  # lines of code per minute
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
CHAPTERS = [page for page in PAGES if page.stem[:2] < "10" and page.stem[:2] not in ("00", "07", "08")]
each_chapter = pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
CHECK = next(page for page in PAGES if page.stem.startswith("07"))


@each_chapter
def test_a_chapter_has_its_seven_parts(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == PARTS


@each_page
def test_a_page_is_short_and_there_is_something_to_do(page: Path) -> None:
    if page != CHECK:  # which has only questions
        total = sum(piece.words for piece in pieces(page))
        assert total <= MOST_WORDS, f"{page.name} has {total} words"
    since = 0
    for piece in pieces(page):
        if piece.kind in ACTIONS:
            since = 0
        since += piece.words if piece.kind == "text" else 0
        assert since <= FARTHEST, f"{page.name}: {since} words without something to do"


def lines_of_code(page: Path) -> int:
    return sum(len(cell.text.splitlines()) for cell in cells(page))


@each_page
def test_no_cell_is_long(page: Path) -> None:
    for part in parts_of(page):
        if part.language == "python":
            lines = without_proofs(part.text)[0].splitlines()
            assert len(lines) <= MOST_LINES, f"{page.name}, line {part.start}: a cell of {len(lines)} lines"


@each_page
def test_a_page_says_how_long_it_takes(page: Path) -> None:
    words = sum(piece.words for piece in pieces(page))
    questions = len(directives(page, "predict"))
    exercises = sum(int(made.options["minutes"]) for made in directives(page, "exercise", "parsons"))
    minutes = words / SPEED + lines_of_code(page) / CODE_SPEED + questions + exercises
    (said,) = map(int, roles(page, "minutes"))
    assert abs(said - minutes) <= 0.1 * minutes + 2, f"{page.name}: about {minutes:.0f} minutes"


def test_the_chapters_together_take_about_eight_hours() -> None:
    minutes = [int(roles(page, "minutes")[0]) for page in PAGES if page.stem[:2] < "08"]
    assert 450 <= sum(minutes) <= MOST_MINUTES
    assert "about eight hours" in PAGES[0].read_text(encoding="utf-8")


@each_page
def test_the_first_thing_to_do_comes_within_a_screen_without_code(page: Path) -> None:
    words = 0
    for piece in pieces(page):
        if piece.kind in ACTIONS:
            break
        assert piece.kind != "python", f"{page.name} begins with code"
        words += piece.words
    assert words <= SCREEN


def test_the_course_says_that_learning_was_not_measured() -> None:
    assert re.search(r"have\s+not\s+measured", PAGES[0].read_text(encoding="utf-8"))


@each_page
def test_every_wrong_answer_has_its_own_reason_and_a_known_idea(page: Path) -> None:
    for made in directives(page):
        found = choices(made)
        reasons = [choice.because for choice in found]
        assert all(reasons), f"{made.argument}: an answer has no reason"
        assert len(set(reasons)) == len(reasons), f"{made.argument}: two answers have the same reason"
        assert abouts(made) <= set(MISCONCEPTIONS), f"{made.argument}: {abouts(made)}"
        if made.name == "predict":
            assert len(found) >= 3, f"{made.argument} has too few choices"
            assert [choice.right for choice in found].count(True) == 1, made.argument


def test_questions_have_names_of_their_own() -> None:
    names = [made.argument for page in PAGES for made in directives(page, "predict", "live")]
    assert len(set(names)) == len(names)


def test_right_answers_do_not_stand_in_one_place() -> None:
    for page in PAGES:
        found = [choices(made) for made in directives(page, "predict")]
        places = [next(k for k, choice in enumerate(each) if choice.right) for each in found]
        assert len(places) < 4 or max(map(places.count, places)) < len(places), f"{page.name}: always the same place"


def test_every_exercise_has_its_check_and_every_check_its_exercise() -> None:
    numbers = [made.argument for page in PAGES for made in directives(page, "exercise") if "answer" in made.options]
    assert sorted(numbers) == sorted(EXERCISES)
    for page in PAGES:
        for made in directives(page, "exercise", "parsons"):
            assert made.argument.split(".")[0] == str(int(page.stem[:2])), made.argument


def test_the_final_check_has_24_questions_that_come_back_and_are_proved() -> None:
    questions = directives(CHECK, "predict")
    assert [made.argument for made in questions] == [f"q{k}" for k in range(1, 25)]
    assert all("review" in made.options for made in questions)
    assert [claim for claim in roles(CHECK, "claim") if claim.startswith("q")] == [f"q{k}" for k in range(1, 25)]
    for made in questions:
        assert f"{{claim}}`{made.argument}`" in next(choice.because for choice in choices(made) if choice.right)


def test_figures_have_what_they_need() -> None:
    views = {
        name for path in JS.glob("view-*.js") for name in re.findall(r'course\.view\("([\w-]+)"', path.read_text())
    }
    assert views == set(STILLS)
    for page in PAGES:
        for made in directives(page, "live"):
            assert made.options["view"] in views, made.argument
            assert set(made.options.get("model", "").split()) <= set(MODELS), made.argument
            assert "after" not in made.options or made.options["after"] in {
                each.argument for each in directives(page, "predict")
            }


def test_links_to_figures_lead_to_figures() -> None:
    figures = {(page.stem, made.argument) for page in PAGES for made in directives(page, "live")}
    for page in PAGES:
        for given in roles(page, "show"):
            match = re.search(r"<(?:([\w-]+)#)?([\w-]+)", given)
            assert match is not None, given
            assert (match[1] or page.stem, match[2]) in figures, f"{page.name}: {given}"
