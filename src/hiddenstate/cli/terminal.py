"""Every command's output to a terminal: escapes control characters, replaces unknown ones."""

import codecs
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

PLAIN_WIDTH = 100  # for a file or a pipe, which has no width of its own

# The C0 controls except tab and line feed, DEL, the C1 controls, and characters that change the text direction.
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
    r"""Return a text with its control characters escaped; tabs and newlines stay.

    >>> plain("\x1b]0;title\x07 and \u202e")
    '\\x1b]0;title\\x07 and \\u202e'
    """
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


class PlainStream:
    """A stream that escapes control characters for ``terminal``; a `PlainConsole` writes its colours to that."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)

    def write(self, text: str) -> int:
        """Write a text; returns its number of characters."""
        self.terminal.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts in turn."""
        self.terminal.writelines(map(plain, lines))


class PlainConsole(Console):
    """A rich console on the terminal, which keeps rich's colours and escapes control characters in texts."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments to print, with their texts escaped."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text), style, control)


def console(stream: TextIO | PlainStream | None = None, *, stderr: bool = False) -> Console:
    """Return a rich console for a stream, by default standard output (or standard error)."""
    stream = stream or (sys.stderr if stderr else sys.stdout)
    if isinstance(stream, PlainStream):
        return PlainConsole(file=stream.terminal, highlight=False)
    plain_console = Console(file=stream, highlight=False)
    if not plain_console.is_terminal:
        plain_console.width = PLAIN_WIDTH
    return plain_console


def set_up() -> None:
    """Wrap standard output and standard error, as described at the top of this file."""
    codecs.register_error("lookalike", _lookalike)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lookalike")
            if stream.isatty():
                setattr(sys, name, PlainStream(stream))


def _lookalike(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that a stream's encoding lacks with similar ones, or with escapes."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(_LOOKALIKES.get(character) or _escaped(character) for character in characters), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
