"""What reaches the terminal: no control characters from texts, models or file names, and no characters it lacks.

`set_up` puts this between every command and the terminal, so no command has to think of it. Files and pipes get the
data as it is.
"""

import codecs
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

PLAIN_WIDTH = 100  # of a file or a pipe, which has no width of its own

# C0 controls but tab and line feed, DEL, C1 controls, and what changes the direction of text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_LOOKALIKES = {
    **dict.fromkeys("█", "#"),
    **dict.fromkeys("▉▊▋▌▐", "="),
    **dict.fromkeys("▍▎▏", "-"),
    **dict.fromkeys("·∘", "."),
    **dict.fromkeys("│┃║‖", "|"),
    **dict.fromkeys("─━═\N{MINUS SIGN}\N{EN DASH}—", "-"),
    **dict.fromkeys("├└┌┐┘┤┬┴┼", "+"),
    "↑": "^",
    "↓": "v",
    "→": "->",
    "←": "<-",
    "≠": "!",
    "×": "x",
    "σ": "s",
    "…": "...",
    "²": "2",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}


def plain(text: str) -> str:
    r"""Return a text with its control characters written as escapes; tabs and line ends stay.

    >>> plain("\x1b]0;title\x07 and \u202e")
    '\\x1b]0;title\\x07 and \\u202e'
    """
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


class PlainStream:
    """A terminal's stream that writes control characters as escapes.

    Attributes:
        terminal: the stream itself, for a `PlainConsole`, which adds colours.
    """

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)

    def write(self, text: str) -> int:
        """Write a text; returns how many of its characters were taken, which is all of them."""
        self.terminal.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after another."""
        self.terminal.writelines(map(plain, lines))


class PlainConsole(Console):
    """rich's console on the terminal itself: colours are rich's, and control characters in texts become escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of what is shown."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text), style, control)


def console(stream: TextIO | PlainStream | None = None, *, stderr: bool = False) -> Console:
    """Return rich's console for a stream; standard output (or standard error) without one."""
    stream = stream or (sys.stderr if stderr else sys.stdout)
    if isinstance(stream, PlainStream):
        return PlainConsole(file=stream.terminal, highlight=False)
    made = Console(file=stream, highlight=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def set_up() -> None:
    """Prepare standard output and standard error: see the top of this file."""
    codecs.register_error("lookalike", _lookalike)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lookalike")
            if stream.isatty():
                setattr(sys, name, PlainStream(stream))


def _lookalike(error: UnicodeError) -> tuple[str, int]:
    """Replace what a stream's encoding lacks: by characters that look alike, or by an escape."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_LOOKALIKES.get(each) or _escaped(each) for each in error.object[error.start : error.end]), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
