"""`explaining`: the options that all ``hiddenstate explain`` commands share, and the output of results."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.cli.outputs import (
    JsonOption,
    OutOption,
    PlotOption,
    check_outputs,
    chosen_format,
    output,
    save_plot,
    tell,
)

if TYPE_CHECKING:
    from hiddenstate.explain.result.explanation import Explanation

TAGGER = "tagger-en"


class Format(str, Enum):
    """The format of a result."""

    text = "text"
    json = "json"
    csv = "csv"


def _every_command(
    text: Annotated[
        str, typer.Argument(help="One sentence; - reads standard input.", metavar="TEXT|-", show_default=False)
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model folder, or the name of a shipped model: tagger-en, shakespeare.",
            metavar="DIR|NAME",
            show_default=TAGGER,
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Readable text, all numbers (json), or the rows (csv).", show_default="text"),
    ] = None,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: PlotOption = None,
) -> None:
    """Declare the options that every command takes."""


def explaining(
    explain: "Callable[..., Explanation]", default_model: Callable[[Mapping[str, Any]], str] = lambda _: TAGGER
) -> Callable[..., None]:
    """Turn a function that takes a `Reading` and its own options, and returns a result, into a command.

    The command takes the text first, and the model and the output files last. Output files are checked before anything
    is computed.

    Args:
        explain: the function.
        default_model: returns the shipped model to use with these options if no model is named.
    """

    @wraps(explain)
    def command(
        text: str,
        model: str | None,
        format_: Format | None,
        as_json: bool,
        out: Path | None,
        plot: Path | None,
        **own: Any,
    ) -> None:
        chosen = chosen_format(format_, as_json, Format.json) or Format.text
        check_outputs(out, plot=plot)
        from hiddenstate.cli.explain_read import read_by

        usual = default_model(own)
        if model is None and usual != TAGGER:
            tell(f"read by {usual}; choose another model with --model")
        _give(explain(read_by(model or usual, text), **own), chosen, out, plot)

    text, *shared = signature(_every_command).parameters.values()
    own = list(signature(explain).parameters.values())[1:]
    keyword = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *shared)]
    vars(command)["__signature__"] = Signature([text, *keyword])
    command.__annotations__ = {each.name: each.annotation for each in (text, *keyword)}
    return command


def _give(result: "Explanation", format_: Format, out: Path | None, plot: Path | None) -> None:
    """Write a result, and draw it if a plot was requested."""
    texts: dict[Format, Callable[[], str]] = {
        Format.text: lambda: f"{result}\n",
        Format.json: result.to_json,
        Format.csv: lambda: result.to_csv(),
    }
    with output(out, exact=format_ is not Format.text) as stream:
        stream.write(texts[format_]())
    if plot is not None:
        save_plot(result.plot(), plot)
