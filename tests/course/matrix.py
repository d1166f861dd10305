"""Where the course covers each misconception: predicted, shown by a cell, refuted, exercised, recalled."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from course.chapters import FOLDER, PAGES, abouts, cells, directives
from course.test_claims import claims_of, proofs_of
from coursebook.pages import asked, directive, parts_of
from exercises import learners_answers
from hiddenstate.course.checks import EXERCISES
from hiddenstate.doctor.misconceptions import MISCONCEPTIONS

QUESTIONS, CELLS, RECALL = "predict", ("exercise", "parsons"), "Recall"
BEFORE, CHECK = "00", "07"  # sections that only ask
_ITEM = re.compile(r"^- \{idea\}`(M\d+)` (.*?)(?=^- |^\S|\Z)", re.MULTILINE | re.DOTALL)
_CLAIM = re.compile(r"\{claim\}`([\w.-]+)`")


@dataclass
class Row:
    """The numbers of the pages on which a misconception is covered in each of five ways."""

    predict: list[int] = field(default_factory=list)
    show: list[int] = field(default_factory=list)
    refute: list[int] = field(default_factory=list)
    exercise: list[int] = field(default_factory=list)
    recall: list[int] = field(default_factory=list)

    @property
    def met(self) -> int:
        """The page on which it is covered first."""
        return min([*self.predict, *self.refute, *self.exercise])

    @property
    def later(self) -> list[int]:
        """Where it is recalled, at least a page later."""
        return [page for page in self.recall if page > self.met]


@cache
def rows() -> dict[str, Row]:
    """Every misconception with its row."""
    found = {name: Row() for name in MISCONCEPTIONS}
    for page in PAGES:
        for name, way in _ways(page):
            places = getattr(found[name], way)
            if int(page.stem[:2]) not in places:
                places.append(int(page.stem[:2]))
    return found


def _ways(page: Path) -> Iterator[tuple[str, str]]:
    section = ""
    for part in parts_of(page):
        if not part.language:
            section = ([section, *re.findall(r"^## (.+)$", part.text, re.MULTILINE)])[-1]
        elif part.language in (QUESTIONS, *CELLS):
            way = _way(page, part.language, section)
            yield from ((name, way) for name in abouts(asked(directive(part), FOLDER)) if way)
    for name, text in refutations(page):
        yield name, "refute"
        if set(_CLAIM.findall(text)) & set(proofs_of(page)):
            yield name, "show"


def _way(page: Path, kind: str, section: str) -> str:
    if page.stem[:2] == BEFORE:
        return ""
    if kind in CELLS:
        return "exercise"
    return "recall" if section == RECALL or page.stem[:2] == CHECK else "predict"


def refutations(page: Path) -> list[tuple[str, str]]:
    """The misconceptions that a page refutes, each with the sentences that do."""
    text = "\n".join(part.text for part in parts_of(page) if not part.language)
    return _ITEM.findall(text)


def counts() -> list[str]:
    """Counts of the pages' contents, as lines of Markdown."""
    sources = [source for page in PAGES for source in claims_of(page).values()]
    tasks = [made for page in PAGES for made in directives(page, *CELLS)]
    questions = [made for page in PAGES for made in directives(page, QUESTIONS) if "same-as" not in made.options]
    tested = [answer.right for answers in learners_answers().values() for answer in answers]
    lines = {
        "sentences marked as claims": len(sources),
        "of these checked by a cell of their page": sources.count(""),
        "of these with a source": len(sources) - sources.count(""),
        "cells": sum(len(cells(page)) for page in PAGES),
        "exercises": len(tasks),
        "of these checked by a function, the others by numbers or the order of lines": len(EXERCISES),
        "wrong answers to them, each with the sentence it must get": tested.count(False),
        "right answers to them, other than the solution": tested.count(True),
        "questions with a reason for every choice": len(questions),
        "live figures, their numbers compared with Python's": sum(len(directives(page, "live")) for page in PAGES),
        "misconceptions refuted, of 35": sum(bool(row.refute) for row in rows().values()),
    }
    return ["| the course | |", "|---|---:|", *(f"| {what} | {number} |" for what, number in lines.items())]
