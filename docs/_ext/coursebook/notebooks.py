"""Notebooks from the pages of the course: ``python docs/_ext/coursebook/notebooks.py``, or ``make course``.

Each cell of a page becomes a cell of the notebook, without its output, which the learner produces; an exercise becomes
a cell to fill in and one that checks it.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coursebook.pages import (
    PAGES,
    ROOT,
    Block,
    Directive,
    Section,
    asked,
    choices_of,
    course_pages,
    directive,
    parts_of,
    shuffled,
    without_proofs,
)
from hiddenstate.course.figures.numeric_answers import ANSWERS, written
from hiddenstate.doctor.misconceptions import idea_behind

NOTEBOOKS = ROOT / "src" / "hiddenstate" / "course" / "notebooks"
_CLAIM = re.compile(r" ?\{claim\}`([^`|]*)(?:\|([^`]*))?`")
_IDEA = re.compile(r"\{idea\}`[^`]*` ?")
_SHOW = re.compile(r"\{show\}`(.+?)\s*<[^>`]*>`", re.DOTALL)
_MINUTES = re.compile(r"\{minutes\}`(\d+)`")
_PAGE_LINK = re.compile(r"\]\((\d\d-[\w-]+)\.md(?:#[\w-]+)?\)")
_TITLE = re.compile(r"^# (?:\d+ )?(.+)$", re.MULTILINE)
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_FULL = 'import os\n\nFULL = not os.environ.get("COURSE_QUICK")  # less training if this is set\n'
_TO_ORDER = "# Put these lines in order, leave out those that do not belong, and remove the # before the others:\n"
_ORDERED = "# Run this cell once the lines above are in order: it prints nothing if they are right.\n"

Cell = tuple[str, str]  # "markdown" or "code", and its text


def notebook(page: Path, *, solved: bool = False) -> str:
    """Return a page as a notebook, as JSON.

    Args:
        page: one of `course_pages`.
        solved: put the solutions where the learner's answers go.
    """
    cells = [_cell(f"{page.stem[:2]}-{k}", *each) for k, each in enumerate(cells_of(page, solved=solved))]
    data = {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def cells_of(page: Path, *, solved: bool = False) -> Iterator[Cell]:
    """Return the cells of a page."""
    parts = parts_of(page)
    first = "from hiddenstate.course import check\n"
    if any("FULL" in part.text for part in parts if part.language == "python"):
        first = f"{_FULL}\n{first}"
    needs = any(part.language == "python" for part in parts)
    for number, part in enumerate(parts):
        if number == 1 and needs:
            yield "code", first.rstrip()
        for kind, text in _cells_of(part, solved):
            if text.strip():
                yield kind, text.strip()
    yield from _next(page)


def _next(page: Path) -> Iterator[Cell]:
    """Link to the next notebook, as the page's theme links to the next page."""
    later = [other for other in course_pages() if other.stem > page.stem]
    if later and (title := _TITLE.search(later[0].read_text(encoding="utf-8"))):
        yield "markdown", f"**Next:** [{title[1]}]({later[0].stem}.ipynb)"


def _cells_of(part: Block, solved: bool) -> Iterator[Cell]:
    if not part.language:
        yield "markdown", plain(part.text)
    elif part.language == "python":
        yield "code", without_proofs(part.text)[0]
    elif part.language in _KINDS:
        yield from _KINDS[part.language](directive(part), solved)
    elif part.language not in ("output", "review"):
        yield "markdown", f"```{part.language}\n{part.text}\n```"


def _predict(made: Directive, solved: bool) -> Iterator[Cell]:
    made = asked(made, PAGES)
    question, choices = choices_of(made.text)
    lines = ["**Predict.** " + question, "", *(f"- {choice.text}" for choice in choices)]
    if "unmarked" not in made.options:
        marks = {True: "**Right**", False: "Incorrect"}
        said = [f"- {marks[choice.right]}: {choice.text}. {choice.because}" for choice in choices]
        lines += ["", _details("Answer", "\n".join([*said, "", made.one("reveal")]))]
    yield "markdown", plain("\n".join(lines))


def _live(made: Directive, solved: bool) -> Iterator[Cell]:
    place = "**A live figure** is here on the course's page, which `hiddenstate course` opens."
    yield "markdown", plain(f"{place} {made.text}\n\n{made.one('still')}")
    if "notebook" in made.options and not solved:  # a test needs no browser
        yield "code", made.options["notebook"]


def _exercise(made: Directive, solved: bool) -> Iterator[Cell]:
    number, options = made.argument, made.options
    difficulty = f"difficulty {options.get('difficulty')} of 5, {options.get('minutes')} minutes"
    asked = [f"- {choices_of(section.text)[0]}" for section in made.all("ask")]
    wrong = [_wrong(section) for section in made.all("ask")]
    head = f"**Exercise {number}: {options.get('title')}** ({difficulty})\n\n{made.text}"
    where = [_details("Answer", "\n".join(map(_answer, made.all("ask"))))] if asked else []
    where += [_details("Wrong numbers, and what is behind them", "\n\n".join(wrong))] if asked else []
    yield "markdown", plain("\n\n".join([head, *asked, *where, *_hints(made)]))
    if "answer" in options:
        yield "code", made.one("solution" if solved else "start")
        yield "code", f'check("{number}", {options["answer"]})'
        solution = _details("Solution", f"```python\n{made.one('solution')}\n```")
        yield "markdown", plain(solution)


def _hints(made: Directive) -> list[str]:
    return [_details("Hint", section.text) for section in made.all("hint")]


def _wrong(section: Section) -> str:
    """List the wrong numbers that the page anticipates, each with its reason and the misconception behind it."""
    question, choices = choices_of(section.text)
    lines = [f"- {each.text}: {each.because} {idea_behind(each.about)}".rstrip() for each in choices]
    return "\n".join([f"{question}\n", *lines])


def _answer(section: Section) -> str:
    """Return the requested number, after its question."""
    kind, _, given = section.argument.partition(" ")
    return f"- {choices_of(section.text)[0]} {written(ANSWERS[kind](**json.loads(given)))}"


def _parsons(made: Directive, solved: bool) -> Iterator[Cell]:
    lines = made.one("lines").split("\n")
    every = [*lines, *(section.text.split("\n")[0] for section in made.all("extra"))]
    listed = "\n".join(f"# {line}" for line in shuffled(every))
    head = f"**Exercise {made.argument}: {made.options.get('title')}** ({made.options.get('minutes')} minutes)"
    yield "markdown", plain("\n\n".join([f"{head}\n\n{made.text}", *_hints(made)]))
    yield "code", f"{made.one('before')}\n\n{chr(10).join(lines) if solved else f'{_TO_ORDER}{listed}'}"
    yield "code", f"{_ORDERED}{made.one('test')}"
    yield "markdown", _details("Solution", f"```python\n{made.one('lines')}\n```")


_KINDS = {"predict": _predict, "live": _live, "exercise": _exercise, "parsons": _parsons}


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text.strip()}\n\n</details>"


def plain(text: str) -> str:
    """Write content that only the page has as plain Markdown; a claim's source stays."""
    text = _CLAIM.sub(lambda match: f" ({match[2].strip()})" if match[2] else "", text)
    text = _MINUTES.sub(r"\1", _SHOW.sub(r"\1", _IDEA.sub("", text)))
    return _PAGE_LINK.sub(r"](\1.ipynb)", text)


def _cell(name: str, kind: str, text: str) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def main() -> None:
    """Write every notebook again, and remove those without a page."""
    NOTEBOOKS.mkdir(parents=True, exist_ok=True)
    wanted = {NOTEBOOKS / f"{page.stem}.ipynb": notebook(page) for page in course_pages()}
    for path in set(NOTEBOOKS.glob("*.ipynb")) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    print(f"wrote {len(wanted)} notebooks to {NOTEBOOKS}", file=sys.stderr)


if __name__ == "__main__":
    main()
