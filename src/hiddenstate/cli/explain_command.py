"""What all ``hiddenstate explain`` commands share: options, a model that has read a text, and the output of results."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from hiddenstate.cli.conventions import (
    JsonOption,
    OutOption,
    PlotOption,
    check_format,
    check_outputs,
    declare,
    output,
    save_plot,
    tell,
    text_from,
)
from hiddenstate.cli.series import (
    DEFAULT,
    DatesOption,
    FrameOptions,
    GapsOption,
    MissingOption,
    RowsOption,
    SeriesRead,
    is_series,
    refuse_series_options,
)
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.explain.result.explanation import Explanation
    from hiddenstate.explain.subject.subject import Subject
    from hiddenstate.explain.subject.target import Logit, LogProbability
    from hiddenstate.models.language.language_model import LanguageModel
    from hiddenstate.models.tagger.tagger import Tagger

TAGGER = "tagger-en"
SERIES_ONLY = ("at", "ahead", "last", "row")
ResultFormat = Literal["text", "json", "csv"]

WordOption = Annotated[
    str | None,
    typer.Option(
        help="The word (or its number, from 0) whose prediction is explained. Default for a tagger: the word that "
        "it is least sure of; for a language model: the end of the text."
    ),
]
LabelOption = Annotated[
    str | None, typer.Option(help="Tag, or next character or word, to explain; default: the most probable.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="Label whose logit is subtracted: why this one rather than that one. Default for a tagger, without "
        "--label: the second most probable tag."
    ),
]
OfOption = Annotated[
    str | None,
    typer.Option(
        help="State or gate to explain instead, such as l1.c[125]@7; for a series model, the target.", metavar="PLACE"
    ),
]


AtOption = Annotated[
    str | None, typer.Option(help="For a series: the date that is forecast; default: the last.", metavar="DATE")
]
AheadOption = Annotated[
    int | None, typer.Option(help="For a horizon: how many steps ahead that is.", show_default="1", metavar="STEPS")
]
LastOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="For a series, if the model carries a state: steps to explain.", show_default="30", metavar="STEPS"
    ),
]
RowOption = Annotated[str | None, typer.Option(help="For a series: the row of --rows; default: the first.")]
TargetOption = Annotated[str | None, typer.Option(help="The target to explain; default: the first.")]


Reads = Literal["text", "series", "both"]


class Read(NamedTuple):
    """A model, a text, and the text as the model reads it."""

    model: "Tagger | LanguageModel"
    text: str
    subject: "Subject"

    @property
    def predicts_next(self) -> bool:
        """Whether the model is a language model, which predicts the token after each step."""
        from hiddenstate.models.language.language_model import LanguageModel

        return isinstance(self.model, LanguageModel)

    def find_step(self, word: str | None) -> int:
        """Return the step of this word, or with this number; by default the most informative one."""
        import torch

        read = self.subject
        if word is not None:
            return read.step_of(int(word) if word.removeprefix("-").isdecimal() and word not in read.words() else word)
        if self.predicts_next:
            return read.T - 1
        with torch.no_grad():
            return int(read.run().logits[:, 0].topk(2).values.diff(dim=-1)[:, 0].argmax())

    def target(
        self, word: str | None, label: str | None, against: str | None = None, *, linear: bool
    ) -> "Logit | LogProbability":
        """Return the target: a tag over the runner-up, or a next token; as a logit if it must be ``linear``."""
        import torch

        from hiddenstate.explain.subject.head import needed_head
        from hiddenstate.explain.subject.target import log_probability, logit

        t, head = self.find_step(word), needed_head(self.subject.head)
        with torch.no_grad():
            logits = self.subject.run().logits[t, 0]
        best = logits.topk(min(2, len(logits))).indices.tolist()
        chosen = best[0] if label is None else head.index(_label(label))
        if against is not None:
            return logit(chosen, word=t, against=head.index(_label(against)))
        if self.predicts_next:
            return logit(chosen, word=t) if linear else log_probability(chosen, word=t)
        return logit(chosen, word=t, against=best[1] if label is None and len(best) > 1 else None)


def _label(text: str) -> str:
    r"""Return a label with its escapes resolved: a newline can be written as ``\n``."""
    return text.replace("\\n", "\n")


def read_by(model: str, text: str) -> Read:
    """Load a model by its folder or name, and run it on a text."""
    from hiddenstate.explain.subject.sources import subject
    from hiddenstate.models.model_folder import load_any

    text = text_from(text).strip("\n")
    loaded = load_any(model)
    return Read(loaded, text, subject(loaded, text))


ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Model folder, or the name of a shipped model: tagger-en, shakespeare, seattle-weather.",
        metavar="DIR|NAME",
        show_default=TAGGER,
    ),
]
_FILE = "CSV or Parquet file; - reads standard input."
ARGUMENTS = {
    "series": Annotated[str, typer.Argument(help=_FILE, metavar="FILE|-")],
    "both": Annotated[
        str, typer.Argument(help=f"One sentence, or for a series model a {_FILE}", metavar="TEXT|FILE|-")
    ],
}


def _series_options(
    dates: DatesOption = None, rows: RowsOption = None, gaps: GapsOption = None, missing: MissingOption = None
) -> None:
    """Declare the options for reading a file of numbers."""


def _every_command(
    text: Annotated[str, typer.Argument(help="One sentence; - reads standard input.", metavar="TEXT|-")],
    model: ModelOption = None,
    format_: Annotated[
        ResultFormat | None,
        typer.Option("--format", help="Readable text, all numbers (json), or the rows (csv).", show_default="text"),
    ] = None,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: PlotOption = None,
) -> None:
    """Declare the options that every command takes."""


def explaining(
    explain: "Callable[..., Explanation]",
    default_model: Callable[[Mapping[str, Any]], str] = lambda _: TAGGER,
    reads: Reads = "text",
) -> Callable[..., None]:
    """Turn a function that takes a `Read` and its own options, and returns a result, into a command.

    The command takes the text first, and the model and the output files last. Output files are checked before anything
    is computed. ``default_model`` returns the shipped model to use with these options if no model is named. One that
    ``reads`` files of numbers takes a `SeriesRead` for a series model.
    """
    frame = {} if reads == "text" else dict(signature(_series_options).parameters)

    @wraps(explain)
    def command(
        text: str,
        model: str | None,
        format_: ResultFormat | None,
        as_json: bool,
        out: Path | None,
        plot: Path | None,
        **own: Any,
    ) -> None:
        check_format(format_, as_json, "json")
        chosen: ResultFormat = "json" if as_json else format_ or "text"
        check_outputs(out, plot=plot)
        usual = default_model(own)
        if model is None and usual != TAGGER:
            tell(f"read by {usual}; choose another model with --model")
        options = {name: own.pop(name) for name in frame}
        result = explain(_read(model or usual, text, reads, options, own), **own)
        with output(out, exact=chosen != "text") as stream:
            shown = result.to_csv() if chosen == "csv" else f"{result}\n"
            stream.write(result.to_json() if chosen == "json" else shown)
        if plot is not None:
            save_plot(result.plot(), plot)

    text, *shared = signature(_every_command).parameters.values()
    text = text.replace(annotation=ARGUMENTS.get(reads, text.annotation))
    declare(command, [text, *list(signature(explain).parameters.values())[1:], *frame.values(), *shared])
    return command


def _read(model: str, text: str, reads: Reads, options: Mapping[str, Any], own: Mapping[str, Any]) -> Read | SeriesRead:
    """Read a text or a file of numbers, after checking that the command and its options accept it."""
    if is_series(model):
        if reads == "text":
            raise ArgumentError(
                f"{model} is a series model: use attribute, importance, response or limits, or the other tools in "
                "Python"
            )
        return SeriesRead.of(model, text, FrameOptions(**options))
    if reads == "series":
        raise ArgumentError(f"{model} reads text: name a series model with --model, such as {DEFAULT}")
    refuse_series_options({**options, **{name: own.get(name) for name in SERIES_ONLY}}, text)
    return read_by(model, text)
