"""``hiddenstate explain graph``: from words through units and steps to what the model says."""

from typing import Annotated

import typer

from hiddenstate.cli.explain_options import (
    AgainstOption,
    CsvOption,
    JsonOption,
    LabelOption,
    ModelOption,
    PlotOption,
    TextArgument,
    WordOption,
    give,
    loaded,
    step_of,
    target_of,
)
from hiddenstate.explain import graphs
from hiddenstate.explain.targets import Of


def graph(
    text: TextArgument,
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
    of: Annotated[
        str | None,
        typer.Option(help="A state instead of a logit, such as l1.c[125]@7.", show_default=False, metavar="PLACE"),
    ] = None,
    units: Annotated[int, typer.Option(min=1, help="Cell states that are kept.")] = 30,
    model: ModelOption = "tagger-en",
    json: JsonOption = None,
    csv: CsvOption = None,
    plot: PlotOption = None,
) -> None:
    """Trace a logit back through units and steps to the words, with the gates held as they are.

    Example: hiddenstate explain graph "The old man the boats ." --word man --plot graph.png
    """
    chosen, read = loaded(model, text)
    target: Of = of or target_of(chosen, read, step_of(chosen, read, word), label, against, linear=True)
    give(graphs.graph(read, of=target, units=units), json, csv, plot)
