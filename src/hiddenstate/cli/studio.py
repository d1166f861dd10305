"""``hiddenstate studio``, ``page`` and ``course``: what opens in a browser."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hiddenstate.cli.conventions import STANDARD, check_outputs, output, quote_path, tell, text_from, wrote
from hiddenstate.cli.series import DatesOption, RowsOption
from hiddenstate.errors import ArgumentError, ArgumentTypeError

MOST_ROWS = 32  # of a file, each of which is a model on the page


def _opened(models: list[Path], dates: str | None, rows: str | None) -> list[Any]:
    """Return what to open: the models, or, with a file of series, each series model with each row of the file."""
    data = [path for path in models if path.suffix.lower() in (".csv", ".parquet", ".pq")]
    if not data:
        if dates is not None or rows is not None:
            raise ArgumentError("--dates and --rows name columns of a file of series: give the file, too")
        return [*models]
    named = [path for path in models if path not in data]
    if len(data) > 1 or not named:
        raise ArgumentError(f"a studio shows one file of series, with its models: got {len(data)}, and {len(named)}")
    from hiddenstate.models.model_folder import load
    from hiddenstate.models.series.series_model import SeriesModel
    from hiddenstate.models.series.tables import read_table
    from hiddenstate.studio.bundles.series import bundle_series

    bundles = []
    for path in named:
        model = load(path)
        if not isinstance(model, SeriesModel):
            raise ArgumentTypeError(
                f"{path} is a {type(model).__name__}, which does not read a file of series: leave one out"
            )
        frame, dated, _ = read_table(data[0], model.features, model.targets, dates=dates, rows=rows)
        series = model.prepare(frame, dates=dated, rows=rows)
        for row, name in enumerate(series.rows[:MOST_ROWS]):
            named_row = f"{path.stem}: {name}" if len(series.rows) > 1 else path.stem
            bundles.append(bundle_series(model, series, named_row, row))
    return bundles


def studio(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders, files or names of models; default: the shipped English tagger. For series models also "
            "their series: a file that ends in .csv or .parquet.",
            metavar="MODEL",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Folder of an index of the model: adds the pages Units and Search.", metavar="DIR"),
    ] = None,
    text: Annotated[str, typer.Option(help="Text to show first.")] = "",
    dates: DatesOption = None,
    rows: RowsOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but the default lets other machines connect.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Watch a model read a text or a series in the browser: gates and states at every step, edits, comparisons, a tour.

    Example: hiddenstate studio --text "Giraffes in a field"
    """
    from hiddenstate.studio.view import studio as open_studio

    opened = open_studio(*_opened(models or [], dates, rows), text=text, index=index)
    opened.serve(host, port, browser=browser)


def page(
    text: Annotated[str, typer.Argument(help="Text to show first; - reads standard input.", metavar="TEXT|-")] = "",
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Folder, file or name of a model, repeatable; default: the shipped tagger.", metavar="MODEL"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write; - for standard output.", metavar="FILE")
    ] = Path("view.html"),
    data: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file of the series, for series models.", metavar="FILE")
    ] = None,
    dates: DatesOption = None,
    rows: RowsOption = None,
) -> None:
    """Write the studio as one HTML file that runs the model itself, from disk or any web server, without a network.

    Example: hiddenstate page "Giraffes in a field" -o view.html
    """
    check_outputs(out)
    from hiddenstate.studio.view import studio as open_studio

    begin = text_from(text)
    models = _opened([*(model or []), *([] if data is None else [data])], dates, rows)
    opened = open_studio(*models, text=begin.strip() if text == STANDARD else begin)
    if str(out) == STANDARD:
        with output(None, exact=True) as stream:
            stream.write(opened.html())
        return
    opened.save(out)
    wrote(quote_path(out), f"{out.stat().st_size / 1e6:.1f} MB")


def course(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Copy the notebooks and data to this folder instead; created if it does not exist.", metavar="DIR"
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser; otherwise print the first page's path.")
    ] = True,
) -> None:
    """Open the course in the browser; it needs no network.

    With DIR, copy its notebooks, which check your answers with hiddenstate.course.check.

    Example: hiddenstate course
    """
    if folder is not None:
        from hiddenstate.course.files import copy

        copied = copy(folder)
        tell(f"wrote {len(copied)} files to {quote_path(folder)}; open the first with Jupyter")
        return
    from hiddenstate.course.opening import first_page

    page = first_page()
    if not browser:
        with output(None, exact=False) as stream:
            stream.write(f"{page}\n")
    elif _opens(page):
        tell(f"opened {quote_path(page)} in the browser")
    else:
        tell(f"no browser could be started; open {quote_path(page)} in one")


def _opens(page: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False
