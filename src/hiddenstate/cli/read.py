"""``hiddenstate read``: shows how a trained LSTM reads a text, word by word."""

from typing import Annotated, Literal

import typer

from hiddenstate.cli.conventions import (
    JsonOption,
    OutOption,
    PlotOption,
    TaggerOption,
    check_format,
    check_outputs,
    json_text,
    output,
    save_plot,
    text_from,
)
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError

Direction = Literal["forward", "reverse"]
ReadFormat = Literal["table", "json", "csv"]


def read(
    text: Annotated[str, typer.Argument(help="Text to read; - reads standard input.", metavar="TEXT|-")],
    unit: Annotated[int | None, typer.Option(help="Show all values of this unit, with the equations.")] = None,
    layer: Annotated[int | None, typer.Option(help="Layer, from 0.  [default: the last]")] = None,
    direction: Annotated[Direction, typer.Option(help="Direction in which the layer reads.")] = "forward",
    format_: Annotated[
        ReadFormat | None,
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
    check_format(format_, as_json, "json")
    chosen: ReadFormat = "json" if as_json else format_ or "table"
    check_outputs(out, plot=plot)
    sentences = _split(text_from(text))
    if plot is not None and len(sentences) > 1:
        raise ArgumentError(f"--plot draws one sentence, but the text has {len(sentences)}; plot them one by one")
    from hiddenstate.cli import read_words
    from hiddenstate.models.model_folder import load_tagger, shipped

    tagger = load_tagger(model or shipped())
    view = read_words.select_view(tagger, layer, direction == "reverse", unit)
    rows = read_words.described(tagger, sentences, view)
    with output(out, exact=chosen != "table") as stream:
        if chosen == "json":
            stream.write(json_text(read_words.to_data(rows, view)))
        elif chosen == "csv":
            stream.write(read_words.to_csv(rows))
        else:
            read_words.print_tables(rows, view, tagger, console(stream))
    if plot is not None:
        trace = tagger.read(sentences[0]).trace
        save_plot(trace.plot(layer=view.layer, reverse=view.reverse, unit=view.unit), plot)


def _split(text: str) -> list[list[str]]:
    from hiddenstate.text.tokenise import sentences, tokenise

    split = [words for line in sentences(text) if (words := tokenise(line))]
    if not split:
        raise ArgumentError("the text has no words; give one such as 'Giraffes in a field'")
    return split
