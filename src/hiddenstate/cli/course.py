"""``hiddenstate course``: the course's notebooks, to work in."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.outputs import tell
from hiddenstate.cli.run_options import quote_path


def course(
    folder: Annotated[Path, typer.Argument(help="Folder to write them to; it is made where it is not.", metavar="DIR")],
) -> None:
    """Copy the course's notebooks and data into a folder. Its exercises are checked there, by hiddenstate.course.check.

    Example: hiddenstate course my-course
    """
    from hiddenstate.course.files import copy

    copied = copy(folder)
    tell(f"wrote {len(copied)} files to {quote_path(folder)}; open the first with Jupyter")
