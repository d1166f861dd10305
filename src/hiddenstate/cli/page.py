"""``hiddenstate page``: the studio as one file that needs no network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.outputs import check_outputs
from hiddenstate.cli.run_options import shown
from hiddenstate.studio.view import studio
from hiddenstate.text.source import read_text


def page(
    text: Annotated[
        str, typer.Argument(help="What is read at the beginning; - reads standard input.", show_default=False)
    ] = "",
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or name of a model, once or more; else the shipped tagger.",
            metavar="MODEL",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write; - for standard output.", metavar="FILE")
    ] = Path("view.html"),
) -> None:
    """Write the studio as one HTML file: it runs the model itself, from a disk or any web server, without a network.

    Example: hiddenstate page "Giraffes in a field" -o view.html
    """
    check_outputs(out)
    begin = read_text(sys.stdin.buffer).strip() if text == "-" else text
    opened = studio(*(model or ()), text=begin)
    if str(out) == "-":
        typer.echo(opened.html().encode(), nl=False)
        return
    opened.save(out)
    typer.echo(f"wrote {shown(out)} ({out.stat().st_size / 1e6:.1f} MB)", err=True)
