"""Nodes that become raw HTML, around the nodes that Markdown produces."""

import html
from collections.abc import Iterable, Mapping

from docutils import nodes


def raw(text: str) -> nodes.raw:
    """Return a node that HTML writers write unchanged, and others leave out."""
    return nodes.raw("", text, format="html")


def attributes(given: Mapping[str, object]) -> str:
    """Write attributes; True is written without a value, and None, False and "" leave one out."""
    written = [
        name if value is True else f'{name}="{html.escape(str(value))}"' for name, value in given.items() if value
    ]
    return "".join(f" {each}" for each in written)


def element(tag: str, given: Mapping[str, object], children: Iterable[nodes.Node]) -> list[nodes.Node]:
    """Put nodes into an element."""
    return [raw(f"<{tag}{attributes(given)}>"), *children, raw(f"</{tag}>")]


def details(summary: str, given: Mapping[str, object], children: Iterable[nodes.Node]) -> list[nodes.Node]:
    """Put nodes into a foldable element, which also works without a script."""
    return element("details", given, [raw(f"<summary>{html.escape(summary)}</summary>"), *children])


def label(text: str) -> nodes.raw:
    """Return the small label above a box."""
    return raw(f'<p class="course-label">{html.escape(text)}</p>')


def python(code: str) -> nodes.literal_block:
    """Return code in the form that cells show."""
    return nodes.literal_block(code, code, language="python")
