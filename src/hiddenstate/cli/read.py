"""``hiddenstate read``: shows how a trained LSTM reads a text, word by word."""

from enum import Enum
from typing import Annotated

import typer

from hiddenstate.cli.outputs import (
    JsonOption,
    OutOption,
    PlotOption,
    TaggerOption,
    check_outputs,
    chosen_format,
    output,
    save_plot,
    text_from,
)
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError


class Direction(str, Enum):
    """The direction in which the layer reads."""

    forward = "forward"
    reverse = "reverse"


class Format(str, Enum):
    """The output format."""

    table = "table"
    json = "json"
    csv = "csv"


def read(
    text: Annotated[str, typer.Argument(help="Text to read; - reads standard input.", metavar="TEXT|-")],
    unit: Annotated[
        int | None, typer.Option(help="Show all values of this unit, with the equations.", show_default=False)
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Layer, from 0.  [default: the last]", show_default=False)] = None,
    direction: Annotated[Direction, typer.Option(help="Direction in which the layer reads.")] = Direction.forward,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="A table, all numbers (json), or a line per word (csv).", show_default="table"),
    ] = None,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: PlotOption = None,
    model: TaggerOption = None,
) -> None:
    """Watch the tagger read a text: a row for each word, with its tag and the gates of an LSTM layer.

    Example: hiddenstate read "Giraffes in a field" --unit 17
    """
    chosen = chosen_format(format_, as_json, Format.json) or Format.table
    check_outputs(out, plot=plot)
    sentences = _split(text_from(text))
    if plot is not None and len(sentences) > 1:
        raise ArgumentError(f"--plot draws one sentence, but the text has {len(sentences)}; plot them one by one")
    from hiddenstate.cli import read_numbers
    from hiddenstate.cli.read_print import print_tables
    from hiddenstate.models.model_folder import load_tagger, shipped

    tagger = load_tagger(model or shipped())
    view = read_numbers.select_view(tagger, layer, direction is Direction.reverse, unit)
    rows = read_numbers.described(tagger, sentences, view)
    with output(out, exact=chosen is not Format.table) as stream:
        if chosen is Format.json:
            stream.write(read_numbers.as_json(rows, view))
        elif chosen is Format.csv:
            stream.write(read_numbers.as_csv(rows))
        else:
            print_tables(rows, view, tagger, console(stream))
    if plot is not None:
        trace = tagger.read(sentences[0]).trace
        save_plot(trace.plot(layer=view.layer, reverse=view.reverse, unit=view.unit), plot)


def _split(text: str) -> list[list[str]]:
    from hiddenstate.text.tokenise import sentences, tokenise

    split = [words for line in sentences(text) if (words := tokenise(line))]
    if not split:
        raise ArgumentError("the text has no words; give one such as 'Giraffes in a field'")
    return split
