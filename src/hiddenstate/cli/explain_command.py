"""`explaining`: what each command of ``hiddenstate explain`` takes beside its own options, and how results come out."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from hiddenstate.base.files import written_beside
from hiddenstate.cli.explain_options import read_by
from hiddenstate.cli.outputs import STANDARD, check_outputs
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.results import Explanation
from hiddenstate.models.folder import SHIPPED


def _every_command(
    text: Annotated[
        str, typer.Argument(help="One sentence; - reads standard input.", metavar="TEXT|-", show_default=False)
    ],
    model: Annotated[
        str,
        typer.Option(help=f"Model folder, or the name of a shipped model: {', '.join(SHIPPED)}.", metavar="DIR|NAME"),
    ] = "tagger-en",
    json: Annotated[
        str | None, typer.Option("--json", help="Write everything as JSON; - for standard output.", metavar="FILE|-")
    ] = None,
    csv: Annotated[
        str | None, typer.Option("--csv", help="Write the rows as CSV; - for standard output.", metavar="FILE|-")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw it: a PNG, SVG or PDF.", show_default=False, metavar="FILE")
    ] = None,
) -> None:
    """Say what every command takes."""


def explaining(explain: Callable[..., Explanation]) -> Callable[..., None]:
    """Make a command of a function that takes what a model `Read` and options of its own, and returns a result.

    The command takes a text first and the model and the files of the result last. Where a file can't be written, it
    says so before anything is computed.
    """

    @wraps(explain)
    def command(text: str, model: str, json: str | None, csv: str | None, plot: Path | None, **own: Any) -> None:
        _check(json, csv, plot)
        _give(explain(read_by(model, text), **own), json, csv, plot)

    text, *shared = signature(_every_command).parameters.values()
    own = list(signature(explain).parameters.values())[1:]
    keyword = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *shared)]
    vars(command)["__signature__"] = Signature([text, *keyword])
    command.__annotations__ = {each.name: each.annotation for each in (text, *keyword)}
    return command


def _check(json: str | None, csv: str | None, plot: Path | None) -> None:
    """Refuse files that can't be written.

    Raises:
        ArgumentError: JSON and CSV both go to one place, or it is no picture that is drawn into.
        FileNotFoundError, IsADirectoryError, FileWriteError: it can't be written there.
    """
    if json is not None and json == csv:
        where = "standard output" if json == STANDARD else json
        raise ArgumentError(f"--json {json} and --csv {csv} both write to {where}; write one of them elsewhere")
    check_outputs(json, csv, plot=plot)


def _give(result: Explanation, json: str | None, csv: str | None, plot: Path | None) -> None:
    """Print a result, or write it where it is wanted.

    Raises:
        FileNotFoundError, IsADirectoryError, FileWriteError: a file cannot be written.
    """
    if STANDARD not in (json, csv):
        typer.echo(str(result))
    for target, text in ((json, result.to_json), (csv, result.to_csv)):
        if target == STANDARD:
            typer.echo(text(), nl=False)
        elif target is not None:
            with written_beside(target) as beside:
                beside.write_text(text(), encoding="utf-8", newline="\n")
            typer.echo(f"wrote {target}", err=True)
    if plot is not None:
        result.plot(plot)
        typer.echo(f"wrote {plot}", err=True)
