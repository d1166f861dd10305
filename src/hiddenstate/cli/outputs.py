"""The conventions for the input and output of every command.

Results go to standard output, or with ``-o/--out FILE`` to a file, which is written under a temporary name and renamed.
``--json`` prints them as JSON; a command with several formats also has ``--format``, and ``--json`` is short for one of
them. ``--plot FILE`` draws them. Everything else (files written, warnings, progress) goes to standard error. ``-``
instead of a file or text means standard input or output.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO, TypeVar

import typer

from hiddenstate.errors import ArgumentError

STANDARD = "-"  # stands for standard input or output

OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="File to write instead of standard output.", metavar="FILE", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line; short for --format jsonl.")]
PlotOption = Annotated[
    Path | None, typer.Option(help="Also draw the result as a PNG, SVG or PDF.", metavar="FILE", show_default=False)
]

TaggerOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder or name of a tagger; default: the shipped English tagger.", metavar="MODEL", show_default=False
    ),
]
LanguageModelOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder or name of a language model; default: the shipped one, trained on Shakespeare.", metavar="MODEL"
    ),
]

F = TypeVar("F", bound=Enum)


def check_outputs(*files: str | Path | None, plot: Path | None = None) -> None:
    """Reject files that can't be written, before anything is read or computed.

    Args:
        files: files of any kind; `STANDARD` and None are skipped.
        plot: a picture.

    Raises:
        ArgumentError: the plot's name does not end in a picture format.
        FileNotFoundError, IsADirectoryError, FileWriteError: a file can't be written there.
    """
    from hiddenstate.base.files import check_place

    for path in files:
        if path is not None and str(path) != STANDARD:
            check_place(path)
    if plot is not None:
        from hiddenstate.base.figures import check_picture  # needs matplotlib, which is optional

        check_picture(plot)


def chosen_format(given: F | None, as_json: bool, json: F) -> F | None:
    """Return the format that ``--format`` or ``--json`` chooses, or None.

    Raises:
        ArgumentError: they choose different formats.
    """
    if as_json and given not in (None, json):
        assert given is not None
        raise ArgumentError(
            f"--json is short for --format {json.value}, but --format is {given.value}; drop one of them"
        )
    return json if as_json else given


def standard_input() -> BinaryIO:
    """Return standard input; raise ArgumentError if it is closed."""
    if sys.stdin is None:
        raise ArgumentError("can't read from -: standard input is closed; give a file or a pipe")
    return sys.stdin.buffer


def text_from(argument: str) -> str:
    """Return a text argument; `STANDARD` reads it from standard input.

    Raises:
        ArgumentError: standard input is closed.
        FileFormatError: it is not UTF-8.
    """
    from hiddenstate.text.source import read_text

    return read_text(standard_input()) if argument == STANDARD else argument


@contextmanager
def output(out: Path | None, *, exact: bool) -> Iterator[TextIO]:
    """Open standard output, or a file that appears once the block ends without an error.

    Args:
        out: the file; None or `STANDARD` for standard output.
        exact: as for `standard_output`.

    Raises:
        ArgumentError: standard output is closed.
        FileNotFoundError, IsADirectoryError, FileWriteError: the file can't be written.
    """
    if out is None or str(out) == STANDARD:
        yield standard_output(exact=exact)
        return
    from hiddenstate.base.files import written_beside

    with written_beside(out) as beside, beside.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream
    wrote(out)


def standard_output(*, exact: bool) -> TextIO:
    """Return standard output.

    Args:
        exact: whether the results are for programs, so that pipes get UTF-8 in any locale, as files do.

    Raises:
        ArgumentError: it is closed.
    """
    if sys.stdout is None:
        raise ArgumentError("standard output is closed; give a file with --out, or leave it open")
    if exact and isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return sys.stdout


def tell(message: str) -> None:
    """Print a note about the run on standard error."""
    if sys.stderr is not None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


def wrote(path: str | Path, what: str = "") -> None:
    """Report that a file was written, and what is in it."""
    tell(f"wrote {path}" + (f" ({what})" if what else ""))


def save_plot(figure: object, path: Path) -> None:
    """Write a matplotlib figure, and report it; raises the errors of `output`."""
    from hiddenstate.base.figures import save_picture  # needs matplotlib, which is optional

    save_picture(figure, path)  # type: ignore[arg-type]
    wrote(path)
