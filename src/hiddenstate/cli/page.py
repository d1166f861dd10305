"""``hiddenstate page``: writes the studio as one file that needs no network."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.outputs import STANDARD, check_outputs, output, text_from, wrote
from hiddenstate.cli.run_options import quote_path


def page(
    text: Annotated[
        str,
        typer.Argument(help="Text to show first; - reads standard input.", metavar="TEXT|-", show_default=False),
    ] = "",
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder, file or name of a model, repeatable; default: the shipped tagger.",
            metavar="MODEL",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write; - for standard output.", metavar="FILE")
    ] = Path("view.html"),
) -> None:
    """Write the studio as one HTML file that runs the model itself, from disk or any web server, without a network.

    Example: hiddenstate page "Giraffes in a field" -o view.html
    """
    check_outputs(out)
    from hiddenstate.studio.view import studio

    begin = text_from(text)
    opened = studio(*(model or ()), text=begin.strip() if text == STANDARD else begin)
    if str(out) == STANDARD:
        with output(None, exact=True) as stream:
            stream.write(opened.html())
        return
    opened.save(out)
    wrote(quote_path(out), f"{out.stat().st_size / 1e6:.1f} MB")
