"""Options that commands of ``hiddenstate explain`` share, and the bar that shows how far they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hiddenstate.cli.terminal import console

if TYPE_CHECKING:
    from hiddenstate.explain.work import Progress as Told

WordOption = Annotated[
    str | None,
    typer.Option(
        help="The word (or its number, from 0) at which the target is looked at. Without it, of a tagger the word that "
        "it is least sure of, of a language model the end of the text.",
        show_default=False,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(help="Tag, or next character or word, to explain; the most probable without.", show_default=False),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="Label whose logit is taken off: why the one rather than the other. Of a tagger the second most "
        "probable, where no --label is given.",
        show_default=False,
    ),
]
OfOption = Annotated[
    str | None,
    typer.Option(help="A state or gate to explain instead, such as l1.c[125]@7.", metavar="PLACE", show_default=False),
]


@contextmanager
def told() -> "Iterator[Told]":
    """Show a bar on the terminal while something runs; Ctrl-C stops it."""
    screen = console(stderr=True)
    columns = TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total)
