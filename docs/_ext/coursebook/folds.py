"""Folds whatever answers a prediction: the cell below it, its output, and the sentences that follow from it.

`<details>` folds it, so that it opens without a script; `js/fold.js` opens it once the question is answered.
"""

import re
from collections.abc import Iterator

from docutils import nodes

from coursebook.html_nodes import details

SUMMARY = "Answer the question above, then open this: the cell that shows the answer"
_BOX = re.compile(r'<section class="course-box course-(\w+)"')
_QUESTION = re.compile(r'data-id="([\w-]+)"')
_END = "</section>"


def fold(section: nodes.section) -> None:
    """Fold the content below each question of a section, up to the next box, heading or bold paragraph.

    A live figure folds by itself until the question is answered, and the content below it also answers the question.
    """
    section.children = list(_folded(section.children))
    for child in section.children:
        child.parent = section


def _folded(children: list[nodes.Node]) -> Iterator[nodes.Node]:
    question, inside, run = "", False, list[nodes.Node]()
    for child in children:
        text = child.astext() if isinstance(child, nodes.raw) else ""
        box = None if inside else _BOX.match(text)
        if inside:
            inside = text != _END
        elif box or isinstance(child, nodes.section) or _begins_in_bold(child):
            yield from _shut(run, question)
            run, inside = [], box is not None
            question = _after(box[1], text, question) if box else ""
        elif question:
            run.append(child)
            continue
        yield child
    yield from _shut(run, question)


def _after(box: str, opening: str, question: str) -> str:
    """Return the question that is answered below a box: its own, for a figure the previous one, otherwise none."""
    if box == "predict" and " data-unmarked" not in opening and " data-review" not in opening:
        match = _QUESTION.search(opening)
        return match[1] if match else ""
    return question if box == "live" else ""


def _shut(run: list[nodes.Node], question: str) -> list[nodes.Node]:
    if not any(isinstance(node, nodes.literal_block) for node in run):
        return run
    return details(SUMMARY, {"class": "course-after", "data-after": question}, run)


def _begins_in_bold(node: nodes.Node) -> bool:
    # Markdown's parser leaves an empty text before a bold one.
    first = next((child for child in node.children if child.astext()), None)
    return isinstance(node, nodes.paragraph) and isinstance(first, nodes.strong)
