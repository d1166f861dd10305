"""The first frame of each live figure, drawn when the site is built: what is seen without a script, and on paper."""

from collections.abc import Callable
from html import escape

from coursebook.models import WORDS, tiny


def text(x: float, y: float, said: str, kind: str = "") -> str:
    """Write text into a drawing."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(said)}</text>'


def svg(width: int, height: int, title: str, inside: list[str]) -> str:
    """Return a drawing that takes its colours from the page, and is read out by its title."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" class="course-still">'
        f"{''.join(inside)}</svg>"
    )


def unroll(model: str) -> str:
    """Draw the tiny LSTM over its five inputs: the states after every step."""
    lstm, x, state = tiny()
    trace = lstm.trace(x, state)
    inside = []
    for t, word in enumerate(WORDS):
        left = 10 + 130 * t
        inside += [
            f'<rect x="{left}" y="60" width="110" height="90" rx="6" class="course-cell"/>',
            text(left + 8, 80, word),
        ]
        for row, name in enumerate("ch"):
            numbers = " ".join(f"{value:.2f}" for value in trace[f"l0.{name}"][t, 0].tolist())
            inside.append(text(left + 8, 105 + 25 * row, f"{name} {numbers}", f"course-{name}"))
    return svg(660, 170, "An LSTM over five inputs, with the states after each", inside)


STILLS: dict[str, Callable[[str], str]] = {"unroll": unroll}
