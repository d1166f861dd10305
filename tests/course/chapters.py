"""Facts about the course's pages for its tests, without running the pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from coursebook import notebooks
from coursebook.pages import NO_ID, Block, Choice, Directive, asked, choices_of, course_pages, directive, parts_of
from exercises import learners_answers
from pages import ROOT, kept

FOLDER = ROOT / "docs" / "course"
PAGES = course_pages()
ACTIONS = ("predict", "live", "exercise", "parsons")
ROLE = re.compile(r"\{(\w+)\}`([^`]*)`")
WORD = re.compile(r"[A-Za-z0-9][\w'.-]*")


@dataclass(frozen=True)
class Piece:
    """A part of a page: its kind ("text", a directive's name, "python"), its words as a reader sees them, the
    directive."""

    kind: str
    words: int
    made: Directive | None = None


def words_in(text: str) -> int:
    """Count the words of Markdown that a reader sees: without roles, links and code."""
    read = notebooks.plain(text)
    read = re.sub(r"`[^`]*`", " code ", read)
    read = re.sub(r"\]\([^)]*\)", " ", read)
    return len(WORD.findall(read))


@cache
def pieces(page: Path) -> tuple[Piece, ...]:
    return tuple(_pieces(page))


def _pieces(page: Path) -> Iterator[Piece]:
    for part in parts_of(page):
        if part.language in ACTIONS:
            made = asked(directive(part), FOLDER)
            yield Piece(part.language, _words_of(made), made)
        elif part.language in ("", "python"):
            yield Piece(part.language or "text", words_in(part.text) if not part.language else 0)


def _words_of(made: Directive) -> int:
    """Count the words before an answer: the task, the choices, the questions; no reasons, hints or solutions."""
    question, choices = choices_of(made.text)
    tasks = [question, *(choice.text for choice in choices)]
    tasks += [choices_of(section.text)[0] for section in made.all("ask")]
    return sum(map(words_in, tasks))


def directives(page: Path, *kinds: str) -> list[Directive]:
    return [piece.made for piece in pieces(page) if piece.made is not None and piece.kind in (kinds or ACTIONS)]


def choices(made: Directive) -> list[Choice]:
    """Every wrong or right answer in a directive, with its reason: for questions, numbers and lines."""
    found = list(choices_of(made.text)[1])
    for section in made.all("ask"):
        found += choices_of(section.text)[1]
    for section in made.all("extra"):
        line, _, why = section.text.partition("\n")
        about = section.argument.split()[0].strip(NO_ID)
        found.append(Choice(line, why.strip(), about, right=False))
    return found


def abouts(made: Directive) -> set[str]:
    """The misconceptions that a directive covers."""
    wrong = {answer.misconception for answer in learners_answers().get(made.argument, ())} - {""}
    return wrong | {choice.about for choice in choices(made) if choice.about}


def roles(page: Path, name: str) -> list[str]:
    """The contents of the roles of this name, in the text and in directives."""
    text = "\n".join(part.text for part in parts_of(page) if part.language != "python")
    return [given for role, given in ROLE.findall(text) if role == name]


def cells(page: Path) -> list[Block]:
    """The cells of a page, with those answers to exercises that cells below them use."""
    found = []
    for part in parts_of(page):
        found += [part] if part.language == "python" else kept(part) if part.language == "exercise" else []
    return found
