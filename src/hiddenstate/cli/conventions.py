"""What all commands share: their base classes, options, and conventions for input and output.

Results go to standard output, or with ``-o/--out FILE`` to a file, which is written under a temporary name and renamed.
``--json`` prints them as JSON; a command with several formats also has ``--format``, and ``--json`` is short for one of
them. ``--plot FILE`` draws them. Everything else (files written, warnings, progress) goes to standard error. ``-``
instead of a file or text means standard input or output.
"""

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from hiddenstate.errors import ArgumentError

STANDARD = "-"  # stands for standard input or output
INTERRUPTED = 130  # the exit status that shells use for Ctrl-C

# Newer versions of typer append the Python type to an argument's name: FILE <list[str]>.
_TYPE = re.compile(r"^( +[A-Z][A-Z|.-]*)( <[\w\[\]]+>)", re.MULTILINE)


class Command(TyperCommand):
    """One command."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        return _TYPE.sub(lambda match: match[1] + " " * len(match[2]), super().get_help(ctx))


class Commands(TyperGroup):
    """All commands; Ctrl-C ends each of them silently, with any version of typer."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


Precision = Literal["fp32", "bf16"]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="File to write instead of standard output.", metavar="FILE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line; short for --format jsonl.")]
PlotOption = Annotated[Path | None, typer.Option(help="Also draw the result as a PNG, SVG or PDF.", metavar="FILE")]

TaggerOption = Annotated[
    Path | None, typer.Option(help="Folder or name of a tagger; default: the shipped English tagger.", metavar="MODEL")
]
LanguageModelOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder or name of a language model; default: the shipped one, trained on Shakespeare.", metavar="MODEL"
    ),
]


def check_outputs(*files: str | Path | None, plot: Path | None = None) -> None:
    """Reject files and pictures that can't be written, before anything is computed; skip None and `STANDARD`."""
    from hiddenstate.base.files import check_place

    for path in files:
        if path is not None and str(path) != STANDARD:
            check_place(path)
    if plot is not None:
        from hiddenstate.base.figures import check_picture  # needs matplotlib, which is optional

        check_picture(plot)


def check_format(format_: str | None, as_json: bool, json_format: str) -> None:
    """Reject ``--json`` beside a ``--format`` that is not the one for which it is short."""
    if as_json and format_ not in (None, json_format):
        raise ArgumentError(f"--json is short for --format {json_format}, but --format is {format_}; drop one of them")


def declare(command: Callable[..., None], parameters: Iterable[Parameter]) -> None:
    """Give a command the parameters from which typer makes its arguments and options."""
    keywords = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    vars(command)["__signature__"] = Signature(keywords)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}


def standard_input() -> BinaryIO:
    """Return standard input; raise ArgumentError if it is closed."""
    if sys.stdin is None:
        raise ArgumentError("can't read from -: standard input is closed; give a file or a pipe")
    return sys.stdin.buffer


def text_from(argument: str) -> str:
    """Return a text argument; `STANDARD` reads it from standard input."""
    from hiddenstate.text.source import read_text

    return read_text(standard_input()) if argument == STANDARD else argument


@contextmanager
def output(out: Path | None, *, exact: bool) -> Iterator[TextIO]:
    """Open a file that appears once the block ends without an error, or `standard_output` for None or `STANDARD`."""
    if out is None or str(out) == STANDARD:
        yield standard_output(exact=exact)
        return
    from hiddenstate.base.files import written_beside

    with written_beside(out) as beside, beside.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream
    wrote(out)


def standard_output(*, exact: bool) -> TextIO:
    """Return standard output; ``exact`` results are for programs, so pipes get UTF-8 in any locale, as files do."""
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
    """Write a matplotlib figure, and report it."""
    from hiddenstate.base.figures import save_picture  # needs matplotlib, which is optional

    save_picture(figure, path)  # type: ignore[arg-type]
    wrote(path)


def json_text(data: object) -> str:
    """Return data as JSON for people and programs: indented, and not escaped."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def json_line(data: object) -> str:
    """Return data as one line of JSON."""
    return json.dumps(data, ensure_ascii=False) + "\n"


def quote_path(path: str | Path) -> str:
    """Write a path relative to the current folder, if that is shorter."""
    here, there = Path.cwd(), Path(path).resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else str(path)
