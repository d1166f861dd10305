"""Marks in the built pages for the parts that are computed later, because computing them needs torch."""

import re

from hiddenstate.course.figures import beginning_stills, model_stills, stills
from hiddenstate.course.figures.numeric_answers import compute, written

STILLS = beginning_stills.STILLS | stills.STILLS | model_stills.STILLS  # shown without a script, and on paper
_MARK = re.compile(r"<!--course-(still|answer) (\w+) (.*?)-->")


def fill(html: str) -> str:
    """Replace every mark of a page with the first frame or the answer that it stands for.

    ``<!--course-still VIEW MODELS-->`` is the first frame of a figure, and ``<!--course-answer KIND JSON-->`` the
    answer to a question with these numbers; `docs/_ext/coursebook/directives.py` writes them.
    """
    return _MARK.sub(_part, html)


def _part(mark: re.Match[str]) -> str:
    part, name, argument = mark.groups()
    if part == "still":
        return STILLS[name](argument)
    answer = written(compute(name, argument))
    return f'<code class="docutils literal notranslate"><span class="pre">{answer}</span></code>'
