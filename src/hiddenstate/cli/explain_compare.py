"""``hiddenstate explain compare``: shows where two runs diverge, and which units correspond."""

from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.comparison.result import Comparison


def compare(
    read: "Read",
    other: Annotated[
        str | None,
        typer.Option(help="A second text with the same number of words.", metavar="TEXT", show_default=False),
    ] = None,
    with_model: Annotated[
        str | None,
        typer.Option("--with", help="Another model.", metavar="DIR|NAME", show_default=False),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Smallest difference at which two outputs count as different.")
    ] = 1e-5,
) -> "Comparison":
    """Show where two models, or one model on two texts, diverge.

    Patching each layer shows which one carries the difference.

    Example: hiddenstate explain compare "I can fish" --other "I eat fish"
    """
    from hiddenstate.cli.explain_read import read_by
    from hiddenstate.explain.comparison import run as comparisons
    from hiddenstate.explain.subject.sources import subject

    if other is None and with_model is None:
        raise ArgumentError("nothing to compare with; give --other TEXT, --with MODEL, or both")
    text = read.text if other is None else other
    two = subject(read.model, text) if with_model is None else read_by(with_model, text).subject
    return comparisons.compare(read.subject, two, None, tolerance=tolerance).checked()
