"""Parts of the drawings: text, and the frame."""

from html import escape


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Write text into a drawing."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def svg(width: int, height: int, title: str, inside: list[str]) -> str:
    """Return a drawing that takes its colours from the page, and whose title is read out."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" class="course-still">'
        f"{''.join(inside)}</svg>"
    )
