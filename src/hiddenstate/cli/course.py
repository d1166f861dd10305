"""``hiddenstate course``: copies the course's notebooks."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.outputs import tell
from hiddenstate.cli.run_options import quote_path


def course(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write them to; created if it does not exist.", metavar="DIR")
    ],
) -> None:
    """Copy the course's notebooks and data into a folder. They check your answers with hiddenstate.course.check.

    Example: hiddenstate course my-course
    """
    from hiddenstate.course.files import copy

    copied = copy(folder)
    tell(f"wrote {len(copied)} files to {quote_path(folder)}; open the first with Jupyter")
