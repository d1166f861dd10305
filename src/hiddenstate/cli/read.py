"""``hiddenstate read``: shows how a trained LSTM reads a text, word by word, or a file of numbers, step by step."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hiddenstate.cli.conventions import (
    JsonOption,
    OutOption,
    PlotOption,
    check_format,
    check_outputs,
    json_text,
    output,
    save_plot,
    text_from,
)
from hiddenstate.cli.series import (
    DatesOption,
    FrameOptions,
    GapsOption,
    MissingOption,
    RowsOption,
    SeriesRead,
    is_series,
    refuse_series_options,
    show,
    write_forecasts,
)
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError

Direction = Literal["forward", "reverse"]
ReadFormat = Literal["table", "json", "csv"]


def read(
    text: Annotated[
        str,
        typer.Argument(
            help="Text to read, or for a series model a CSV or Parquet file; - reads standard input.",
            metavar="TEXT|FILE|-",
        ),
    ],
    unit: Annotated[
        int | None, typer.Option(help="Show all values of this unit, with the equations (for a text).")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Layer, from 0.  [default: the last]")] = None,
    direction: Annotated[Direction, typer.Option(help="Direction in which the layer reads.")] = "forward",
    format_: Annotated[
        ReadFormat | None,
        typer.Option(
            "--format", help="A table, all numbers (json), or a line per word or forecast (csv).", show_default="table"
        ),
    ] = None,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: PlotOption = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder or name of a tagger or a series model; default: the shipped English tagger.",
            metavar="MODEL",
        ),
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First date to forecast, for a file of numbers.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date to forecast.")] = None,
    row: Annotated[str | None, typer.Option(help="The row of --rows whose gates are shown and plotted.")] = None,
    dates: DatesOption = None,
    rows: RowsOption = None,
    gaps: GapsOption = None,
    missing: MissingOption = None,
) -> None:
    """Watch a model read a text or a series.

    For a text: a row for each word, with its tag and the gates of an LSTM layer. For a series in a CSV or Parquet file:
    the forecasts, their skill, and the gates at the last steps.

    Examples: hiddenstate read "Giraffes in a field" --unit 17

    hiddenstate read seattle-weather.csv --model seattle-weather
    """
    check_format(format_, as_json, "json")
    chosen: ReadFormat = "json" if as_json else format_ or "table"
    check_outputs(out, plot=plot)
    frame = FrameOptions(dates, rows, gaps, missing)
    if is_series(model):
        if unit is not None or direction != "forward":
            raise ArgumentError(
                "--unit and --direction are for texts; for a file of numbers, --plot draws the forecasts"
            )
        assert model is not None
        forecasts, shown = show(series := SeriesRead.of(model, text, frame), first, last, layer, row)
        with output(out, exact=chosen != "table") as stream:
            stream.write(shown) if chosen == "table" else write_forecasts(forecasts, chosen, stream)
        if plot is not None:
            save_plot(forecasts.plot(row=series.number(row)), plot)
        return
    refuse_series_options({**frame._asdict(), "from": first, "to": last, "row": row}, text)
    sentences = _split(text_from(text))
    if plot is not None and len(sentences) > 1:
        raise ArgumentError(f"--plot draws one sentence, but the text has {len(sentences)}; plot them one by one")
    from hiddenstate.cli import read_words
    from hiddenstate.models.model_folder import load_tagger, shipped

    tagger = load_tagger(model or shipped())
    view = read_words.select_view(tagger, layer, direction == "reverse", unit)
    words = read_words.described(tagger, sentences, view)
    with output(out, exact=chosen != "table") as stream:
        if chosen == "json":
            stream.write(json_text(read_words.to_data(words, view)))
        elif chosen == "csv":
            stream.write(read_words.to_csv(words))
        else:
            read_words.print_tables(words, view, tagger, console(stream))
    if plot is not None:
        trace = tagger.read(sentences[0]).trace
        save_plot(trace.plot(layer=view.layer, reverse=view.reverse, unit=view.unit), plot)


def _split(text: str) -> list[list[str]]:
    from hiddenstate.text.tokenise import sentences, tokenise

    split = [words for line in sentences(text) if (words := tokenise(line))]
    if not split:
        raise ArgumentError("the text has no words; give one such as 'Giraffes in a field'")
    return split
