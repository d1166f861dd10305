"""``hiddenstate explain compare``: where two models, or one on two texts, part; and which units do the same."""

from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.comparison.result import Comparison


def compare(
    read: "Read",
    other: Annotated[
        str | None, typer.Option(help="Another text of as many words.", metavar="TEXT", show_default=False)
    ] = None,
    with_model: Annotated[
        str | None,
        typer.Option("--with", help="Another model.", metavar="DIR|NAME", show_default=False),
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="From which on two outputs differ.")] = 1e-5,
) -> "Comparison":
    """Say where two models part, or one model on two texts.

    Which layer carries the difference, a patch of each tells.

    Example: hiddenstate explain compare "I can fish" --other "I eat fish"
    """
    from hiddenstate.cli.explain_read import read_by
    from hiddenstate.explain.comparison import run as comparisons
    from hiddenstate.explain.subject.sources import subject

    if other is None and with_model is None:
        raise ArgumentError("what is it compared with? Give --other TEXT, --with MODEL, or both")
    text = read.text if other is None else other
    two = subject(read.model, text) if with_model is None else read_by(with_model, text).subject
    return comparisons.compare(read.subject, two, None, tolerance=tolerance).checked()
