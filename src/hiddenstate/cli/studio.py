"""``hiddenstate studio``: serves the studio to a browser on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def studio(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, files or names of models; default: the shipped English tagger.", metavar="MODEL"),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Folder of an index of the model: adds the pages Units and Search.", metavar="DIR"),
    ] = None,
    text: Annotated[str, typer.Option(help="Text to show first.")] = "",
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but the default lets other machines connect.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Watch a model read in the browser: gates and states at every step, edits, comparisons, a tour.

    Example: hiddenstate studio --text "Giraffes in a field"
    """
    from hiddenstate.studio.view import studio as open_studio

    opened = open_studio(*(models or ()), text=text, index=index)
    opened.serve(host, port, browser=browser)
