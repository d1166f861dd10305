"""No misconception is left out, and the documentation's counts match the pages."""

import re
from pathlib import Path

import pytest

from course.asked import ASKED, ASKED_AGAIN, ASKED_IN_FORUMS, ASKED_ONLINE, ASKED_WIDELY, Asked, line_of
from course.chapters import PAGES
from course.matrix import counts, refutations, rows
from hiddenstate.doctor.misconceptions import MISCONCEPTIONS
from pages import DOCS, REFRESH

EVIDENCE = DOCS / "evidence.md"
OTHER_TEXTS = Path(__file__).parent / "OTHER_TEXTS.md"


@pytest.mark.parametrize("name", MISCONCEPTIONS)
def test_a_misconception_is_met_in_every_way(name: str) -> None:
    row = rows()[name]
    assert row.predict, f"{name} has no prediction"
    assert row.exercise, f"{name} has no exercise"
    assert row.refute, f"{name} is refuted nowhere"
    assert row.show, f"no refutation of {name} has a claim that a cell of its page proves"
    assert row.later, f"{name} is met on page {row.met}, and never asked for on a later one"


def test_a_refutation_says_what_is_so() -> None:
    found = [(page.stem, *each) for page in PAGES for each in refutations(page)]
    assert len(found) >= len(MISCONCEPTIONS)
    for page, name, text in found:
        assert not re.search(r"You may think|It is not so", text), f"{page}: {name}: the wrong idea is in the questions"
    places = [(page, name) for page, name, _ in found]
    assert len(set(places)) == len(places), "a page has one place for each misconception"


def test_the_counts_of_the_documentation_are_those_of_the_pages() -> None:
    lines = EVIDENCE.read_text(encoding="utf-8").splitlines()
    start = lines.index(counts()[0])
    count = next(k for k, line in enumerate([*lines[start:], ""]) if not line.startswith("|"))
    if REFRESH:
        lines[start : start + count] = counts()
        EVIDENCE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        assert lines[start : start + count] == counts(), "HIDDENSTATE_REFRESH_DOCS=1 writes it anew"


QUESTIONS = [*ASKED, *ASKED_AGAIN, *ASKED_IN_FORUMS, *ASKED_ONLINE, *ASKED_WIDELY]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.about)
def test_a_question_from_outside_has_its_answer_in_the_chapters(question: Asked) -> None:
    for chapter, said in question.places:
        line_of(chapter, said)


def test_what_is_called_wrong_in_other_texts_is_listed_line_by_line() -> None:
    text = EVIDENCE.read_text(encoding="utf-8")
    names = ("U1", "U2", "U3", "D", "F", "V", "K", "O", "A")
    counted = dict.fromkeys(names, 0)
    for row in re.findall(r"^\| (?:statements that are wrong|faults in code) \|(.*)\|$", text, re.MULTILINE):
        for name, cell in zip(names, row.split("|"), strict=True):
            counted[name] += int(cell)
    listed = dict.fromkeys(names, 0)
    for name in re.findall(r"^\| ([UDFVKOA]\d?), .*? \| .* \| .* \|$", OTHER_TEXTS.read_text("utf-8"), re.MULTILINE):
        listed[name] += 1
    assert listed == counted


PROVING = re.compile(r"\b(?:prov(?:e|es|ed|en|ing)|proofs?)\b", re.IGNORECASE)


@pytest.mark.parametrize("page", [*PAGES, EVIDENCE], ids=lambda page: page.stem)
def test_what_is_checked_on_examples_is_not_called_proved(page: Path) -> None:
    allowed = ("less than a proof", "proves(", "Prove that the model uses it")
    for line in page.read_text(encoding="utf-8").splitlines():
        assert not PROVING.search(line) or any(words in line for words in allowed), line
