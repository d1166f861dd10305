"""No term is used before it is explained: its first use is bold, in the sentence that explains it."""

import re

import pytest

from course.chapters import PAGES
from coursebook.notebooks import plain
from coursebook.pages import parts_of

TERMS = ["feature", "unit", "hidden state", "cell state", "layer", "direction", "gate", "candidate", "stream"]
TERMS += ["trace", "padding", "pre-activation", "latch", "held out", "perplexity", "saturated", "ablation", "dropout"]
TERMS += ["persistence", "skill"]


def text_of_the_course() -> str:
    """The text from chapter 1 on, without headings and code."""
    chapters = [page for page in PAGES if not page.stem.startswith("00")]
    texts = [part.text for page in chapters for part in parts_of(page) if part.language not in ("python", "output")]
    text = re.sub(r"^#+ .*$", "", "\n".join(map(plain, texts)), flags=re.MULTILINE)
    return re.sub(r"`[^`]*`|^:\S+:.*$|\{\w+\}", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_explained_where_it_comes_first(term: str) -> None:
    text = text_of_the_course()
    first = re.search(rf"\b{term}", text, re.IGNORECASE)
    assert first is not None
    assert text[: first.start()].endswith("**"), text[max(0, first.start() - 60) : first.end() + 20]
