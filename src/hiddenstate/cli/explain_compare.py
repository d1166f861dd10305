"""``hiddenstate explain compare``: where two models, or one on two texts, part; and which units do the same."""

from typing import Annotated

import typer

from hiddenstate.cli.explain_options import CsvOption, JsonOption, ModelOption, PlotOption, TextArgument, give, loaded
from hiddenstate.errors import ArgumentError
from hiddenstate.explain import comparisons


def compare(
    text: TextArgument,
    other: Annotated[
        str | None, typer.Option(help="Another text of as many words.", metavar="TEXT", show_default=False)
    ] = None,
    with_model: Annotated[
        str | None,
        typer.Option("--with", help="Another model.", metavar="DIR|NAME", show_default=False),
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="From which on two outputs differ.")] = 1e-5,
    model: ModelOption = "tagger-en",
    json: JsonOption = None,
    csv: CsvOption = None,
    plot: PlotOption = None,
) -> None:
    """Compare a model with another, or what it makes of one text and another.

    Example: hiddenstate explain compare "I can fish" --other "I eat fish"
    """
    if other is None and with_model is None:
        raise ArgumentError("what is it compared with? Give --other TEXT, --with MODEL, or both")
    one = loaded(model, text)[1]
    two = loaded(with_model or model, text if other is None else other)[1]
    give(comparisons.compare(one, two, None, tolerance=tolerance), json, csv, plot)
