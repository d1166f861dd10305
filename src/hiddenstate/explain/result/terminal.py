"""Bars, numbers and sentences for terminals, as fixed-width plain text."""

import math
import textwrap
from collections.abc import Mapping

from rich.cells import cell_len

_RIGHT = " ▏▎▍▌▋▊▉█"  # blocks filled by eighths, from the left edge
HALF, FULL = "▐", "█"
LONGEST = 24
WIDTH = 80  # columns at which sentences are wrapped


def bar(value: float, largest: float, width: int = 12) -> str:
    """Draw a number from ``-largest`` to ``largest`` as a bar from the middle; negative numbers go left.

    >>> bar(0.5, 1, 4), bar(-1, 1, 4)
    ('    │██  ', '████│    ')
    """
    share = min(1.0, abs(value) / largest) if largest > 0 else 0.0
    if value < 0:
        halves = round(share * width * 2)
        left = (HALF if halves % 2 else "") + FULL * (halves // 2)
        return f"{left:>{width}}│{'':{width}}"
    eighths = round(share * width * 8)
    right = FULL * (eighths // 8) + (_RIGHT[eighths % 8] if eighths % 8 else "")
    return f"{'':{width}}│{right:<{width}}"


def share(value: float, width: int = 5) -> str:
    """Draw a number from 0 to 1 as a bar to the right.

    >>> share(0.5, 4)
    '██··'
    """
    if math.isnan(value):
        return "?" * width
    eighths = round(max(0.0, min(1.0, value)) * width * 8)
    full = FULL * (eighths // 8) + (_RIGHT[eighths % 8] if eighths % 8 else "")
    return full.ljust(width, "·")


def definite(target: object) -> str:
    """Return a target's name for use in a sentence, with an article if it needs one.

    >>> definite("logit of NOUN at man (step 2)"), definite("l1.c[3] at step 2"), definite("output 0 at step 2")
    ('the logit of NOUN at man (step 2)', 'l1.c[3] at step 2', 'the output 0 at step 2')
    """
    name = str(target)
    return f"the {name}" if name.startswith(("log", "output ")) else name


def number(value: float) -> str:
    """Format a number with its sign and three decimals, or with an exponent if it is very large or small.

    >>> number(0.12345), number(-1234567.0), number(0.0), number(0.00012)
    ('+0.123', '-1.23e+06', '0.000', '+1e-04')
    """
    if value == 0:
        return "0.000"
    if 0.0005 <= abs(value) < 1e5:
        return f"{value:+.3f}"
    return f"{value:+.2e}" if abs(value) >= 1e5 else f"{value:+.0e}"


def sum_line(terms: Mapping[str, float], total: str, residual: float) -> str:
    """Return a sentence that says which terms make a total, and what rounding leaves."""
    summed = ", ".join(f"{name} {number(value)}" for name, value in terms.items())
    return sentence(f"{summed} make {total}; rounding leaves {abs(residual):.0e}.")


def readable(text: str) -> str:
    """Return a label or token in readable form: quoted if it is blank or a control character."""
    return text if text.isprintable() and text.strip() else repr(text)


def shortened(word: str) -> str:
    """Return a token in readable form, truncated if it is too long."""
    visible = readable(word)
    return visible if cell_len(visible) <= LONGEST else visible[: LONGEST - 1] + "…"


def sentence(text: str) -> str:
    """Wrap a sentence into lines."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
