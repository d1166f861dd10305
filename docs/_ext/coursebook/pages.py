"""Parses pages of the documentation: fenced blocks, and the content of the course's directives.

`tests/course/AUTHORING.md` shows how to write a page. The directives, the notebooks and the tests read pages through
this module.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

_FENCE = re.compile(r"(`{3,})(.*)")
_OPTION = re.compile(r":([\w-]+):\s*(.*)")
_SECTION = re.compile(r"--- (\w+)\s*(.*)")
_CHOICE = re.compile(r"- \[(x|M\d+|-)\] (.*)")
_PROVES = re.compile(r'^[ \t]*proves\("([\w.-]+)"\)\n?', re.MULTILINE)
_IDEA = re.compile(r"\{idea\}`(M\d+)`")
T = TypeVar("T")
RIGHT, NO_ID = "x", "-"
ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "course"


@dataclass(frozen=True)
class Block:
    """A fenced block, or the text between two (language ``""``); it begins at line ``start`` of the page, from 0."""

    language: str
    lines: tuple[str, ...]
    start: int
    argument: str = ""

    @property
    def text(self) -> str:
        """Its lines without the fences."""
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Section:
    """The content of a directive below a line ``--- name argument``; its text begins at line ``start`` of the page."""

    name: str
    argument: str
    text: str
    start: int = 0


@dataclass(frozen=True)
class Choice:
    """One answer to a question.

    Attributes:
        text: its text. because: why it is right, or why it looks right and is not. about: the misconception that it
        shows, such as ``M1``; "" for the right answer, and if there is none.
        right: whether it is right.
    """

    text: str
    because: str
    about: str
    right: bool


@dataclass(frozen=True)
class Directive:
    """A directive's argument, options, the text above its first section, and its sections."""

    name: str
    argument: str
    text: str
    options: dict[str, str] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()

    def all(self, name: str) -> list[Section]:
        """Return the sections of this name."""
        return [section for section in self.sections if section.name == name]

    def one(self, name: str) -> str:
        """Return the text of the section of this name, "" without one."""
        return next((section.text for section in self.all(name)), "")


def course_pages() -> list[Path]:
    """Return the pages of the course, in order."""
    return sorted(PAGES.glob("[!_]*.md"))


def parts_of(page: Path) -> list[Block]:
    """Return a page's fenced blocks and the texts between them, in order."""
    return list(_parts(page.read_text(encoding="utf-8").splitlines(), page.name))


def blocks_of(page: Path) -> list[Block]:
    """Return only a page's fenced blocks."""
    return [part for part in parts_of(page) if part.language]


def _parts(lines: list[str], name: str) -> Iterator[Block]:
    fence, language, argument, start = "", "", "", 0
    for number, line in enumerate(lines):
        match = _FENCE.match(line)
        if match is None:
            continue
        if not fence:
            if number > start:
                yield Block("", tuple(lines[start:number]), start)
            fence, start = match[1], number + 1
            said = match[2].strip()
            language, _, argument = said.replace("{", "", 1).replace("}", " ", 1).strip().partition(" ")
        elif line.strip() == fence:
            yield Block(language or "text", tuple(lines[start:number]), start, argument.strip())
            fence, start = "", number + 1
    assert not fence, f"{name}: the block that begins at line {start} has no end"
    if start < len(lines):
        yield Block("", tuple(lines[start:]), start)


def directive(block: Block) -> Directive:
    """Read a directive from its block."""
    options: dict[str, str] = {}
    lines = list(block.lines)
    while lines and (match := _OPTION.fullmatch(lines[0])):
        options[match[1]] = match[2].strip()
        lines.pop(0)
    start = block.start + len(block.lines) - len(lines)
    text, sections = sections_of("\n".join(lines), start)
    return Directive(block.language, block.argument, text, options, sections)


def sections_of(content: str, start: int = 0) -> tuple[str, tuple[Section, ...]]:
    """Split the content of a directive at its lines ``--- name argument``."""
    found: list[tuple[str, str, int]] = [("", "", start)]
    texts: list[list[str]] = [[]]
    for number, line in enumerate(content.split("\n")):
        match = _SECTION.fullmatch(line)
        if match:
            found.append((match[1], match[2].strip(), start + number + 1))
            texts.append([])
        else:
            texts[-1].append(line)
    made = [Section(*head[:2], "\n".join(text).rstrip(), head[2]) for head, text in zip(found, texts, strict=True)]
    return made[0].text.strip(), tuple(made[1:])


def asked(made: Directive, folder: Path) -> Directive:
    """Return a question, or the one on another page that it repeats."""
    same = made.options.get("same-as")
    if same is None:
        return made
    every = (
        directive(block) for page in folder.glob("[!_]*.md") for block in blocks_of(page) if block.language == "predict"
    )
    found = next(other for other in every if other.argument == same)
    return Directive(made.name, made.argument, found.text, made.options, found.sections)


def refuted_in(folder: Path) -> dict[str, str]:
    """Return the page, by its stem, that refutes each misconception first."""
    found: dict[str, str] = {}
    for page in sorted(folder.glob("[!_]*.md")):
        for name in _IDEA.findall(page.read_text(encoding="utf-8")):
            found.setdefault(name, page.stem)
    return found


def choices_of(text: str) -> tuple[str, list[Choice]]:
    """Split a question from its choices: ``- [x] text`` or ``- [M5] text``, and the reason indented below."""
    question: list[str] = []
    heads: list[tuple[str, str]] = []
    reasons: list[list[str]] = []
    for line in text.split("\n"):
        match = _CHOICE.fullmatch(line)
        if match:
            heads.append((match[1], match[2]))
            reasons.append([])
        elif heads:
            reasons[-1].append(line.removeprefix("  "))
        else:
            question.append(line)
    choices = [
        Choice(said, "\n".join(why).strip(), "" if mark in (RIGHT, NO_ID) else mark, mark == RIGHT)
        for (mark, said), why in zip(heads, reasons, strict=True)
    ]
    return "\n".join(question).strip(), choices


def without_proofs(code: str) -> tuple[str, list[str]]:
    """Remove the lines that say what a cell proves from its code."""
    return _PROVES.sub("", code).rstrip(), _PROVES.findall(code)


def shuffled(rows: Sequence[T]) -> list[T]:
    """Return rows in a different order, the same at every build."""
    count = len(rows)
    step = next(step for step in (5, 7, 3, 2, 1) if count % step or step == 1)
    return [rows[(step * k + count - 2) % count] for k in range(count)]
