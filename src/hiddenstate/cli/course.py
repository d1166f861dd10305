"""``hiddenstate course``: opens the course in a browser, or copies its notebooks."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.outputs import output, tell
from hiddenstate.cli.run_options import quote_path


def course(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Copy the notebooks and data to this folder instead; created if it does not exist.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser; otherwise print the first page's path.")
    ] = True,
) -> None:
    """Open the course in the browser; it needs no network.

    With DIR, copy its notebooks, which check your answers with hiddenstate.course.check.

    Example: hiddenstate course
    """
    if folder is not None:
        from hiddenstate.course.files import copy

        copied = copy(folder)
        tell(f"wrote {len(copied)} files to {quote_path(folder)}; open the first with Jupyter")
        return
    from hiddenstate.course.opening import first_page

    page = first_page()
    if not browser:
        with output(None, exact=False) as stream:
            stream.write(f"{page}\n")
    elif _opens(page):
        tell(f"opened {quote_path(page)} in the browser")
    else:
        tell(f"no browser could be started; open {quote_path(page)} in one")


def _opens(page: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False
