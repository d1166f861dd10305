"""What the commands of ``hiddenstate explain`` share: which model, which target, and how a result is shown."""

import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.explain.explained import Subject
from hiddenstate.explain.outputs import needed_head
from hiddenstate.explain.results import Explanation
from hiddenstate.explain.targets import Logit, Of
from hiddenstate.models.folder import SHIPPED, load, load_language_model, shipped
from hiddenstate.models.language import LanguageModel
from hiddenstate.models.tagger import Tagger
from hiddenstate.text.source import read_text

Text = Annotated[str, typer.Argument(help="The text; - reads standard input.", metavar="TEXT|-")]
Model = Annotated[
    str | None,
    typer.Option(
        help="Model folder, or shakespeare, a language model that comes along; the shipped English tagger without.",
        metavar="DIR",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Plot = Annotated[Path | None, typer.Option(help="Also draw it: a PNG, SVG or PDF.", show_default=False, metavar="FILE")]
Word = Annotated[
    str | None,
    typer.Option(help="The word asked about, or the number of its step; the last without.", show_default=False),
]
Label = Annotated[
    str | None, typer.Option(help="Whose logit: a tag or next token; the likeliest without.", show_default=False)
]
Place = Annotated[
    str | None,
    typer.Option(help="Ask for a value instead, such as l1.c[125]@7.", show_default=False, metavar="PLACE"),
]


def model_of(name: str | None) -> Tagger | LanguageModel:
    """Open a model: a folder's, one that comes along, or the shipped tagger.

    Raises:
        FileFormatError: there is none.
    """
    folder = shipped(name) if name in SHIPPED else Path(name) if name is not None else shipped()
    try:
        return load(folder)
    except FileFormatError as not_a_tagger:
        if "kind" not in str(not_a_tagger):
            raise
        return load_language_model(folder)


def given_text(text: str) -> str:
    """Return the text, or what standard input holds."""
    return read_text(sys.stdin.buffer).strip() if text == "-" else text


def target_of(subject: Subject, word: str | None, label: str | None, place: str | None) -> Of:
    """Return what is asked: a place, or a logit at a word, of the likeliest label where none is named.

    Raises:
        ArgumentError: a place and a logit are asked for at once.
    """
    if place is not None:
        if word is not None or label is not None:
            raise ArgumentError("--place asks for a value, --word and --label for a logit; choose one")
        return place
    step = step_of(subject, word)
    return Logit(likeliest(subject, step) if label is None else label, step)


def step_of(subject: Subject, word: str | None) -> int:
    """Return the step of a word, or the step that a number names; the last without."""
    if word is None:
        return subject.T - 1
    number = word.removeprefix("-").isdecimal() and word not in subject.words()
    return subject.step_of(int(word) if number else word)


def likeliest(subject: Subject, t: int) -> int:
    """Return the number of the label with the largest logit at a step."""
    needed_head(subject.head)
    with torch.no_grad():
        return int(subject.run().logits[t, 0].argmax())


def check_forms(as_json: bool, as_csv: bool, plot: Path | None) -> None:
    """Refuse forms that exclude each other, and a picture that cannot be written, before anything runs.

    Raises:
        ArgumentError: which they are.
    """
    if as_json and as_csv:
        raise ArgumentError("--json and --csv are two forms of the same output; choose one")
    if plot is not None:
        from hiddenstate.base.figures import check_picture  # needs matplotlib, which is optional

        check_picture(plot)


def show(result: Explanation, as_json: bool, as_csv: bool, plot: Path | None) -> None:
    """Print a result in the form that is asked for, and draw it."""
    if plot is not None:
        from hiddenstate.base.figures import save_picture

        save_picture(result.plot(), plot)
        typer.echo(f"wrote {plot}", err=True)
    typer.echo((result.to_json() if as_json else result.to_csv() if as_csv else str(result)).rstrip("\n"))


def progress_on_terminal() -> Any:
    """Return what shows how far it is on a terminal, or None where there is none."""
    if not sys.stderr.isatty():
        return None

    def told(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{done:,} of {total:,} row-steps{end}")
        sys.stderr.flush()

    return told
