"""What the commands of ``hiddenstate explain`` share: the model and its text, the target, how results are given out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hiddenstate.base.files import written_beside
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.explained import Subject
from hiddenstate.explain.outputs import needed_head
from hiddenstate.explain.results import Explanation
from hiddenstate.explain.subjects import subject
from hiddenstate.explain.targets import Logit, LogProbability, log_probability, logit
from hiddenstate.explain.work import Progress as Told
from hiddenstate.models.folder import SHIPPED, load_any
from hiddenstate.models.language import LanguageModel
from hiddenstate.models.tagger import Tagger
from hiddenstate.text.source import read_text

STANDARD = "-"

TextArgument = Annotated[
    str, typer.Argument(help="One sentence; - reads standard input.", metavar="TEXT|-", show_default=False)
]
ModelOption = Annotated[
    str,
    typer.Option(help=f"Model folder, or the name of a shipped model: {', '.join(SHIPPED)}.", metavar="DIR|NAME"),
]
WordOption = Annotated[
    str | None,
    typer.Option(
        help="The word (or its number, from 0) at which the target is looked at. Without it, of a tagger the word that "
        "it is least sure of, of a language model the end of the text.",
        show_default=False,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(help="Tag, or next character or word, to explain; the most probable without.", show_default=False),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="Label whose logit is taken off: why the one rather than the other. Of a tagger the second most "
        "probable, where no --label is given.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    str | None, typer.Option("--json", help="Write everything as JSON; - for standard output.", metavar="FILE|-")
]
CsvOption = Annotated[
    str | None, typer.Option("--csv", help="Write the rows as CSV; - for standard output.", metavar="FILE|-")
]
PlotOption = Annotated[
    Path | None, typer.Option(help="Also draw it: a PNG, SVG or PDF.", show_default=False, metavar="FILE")
]


def loaded(model: str, text: str) -> tuple[Tagger | LanguageModel, Subject]:
    """Load a model by its folder or name, and let it read a text."""
    given = read_text(sys.stdin.buffer).strip("\n") if text == STANDARD else text
    found = load_any(model)
    return found, subject(found, given)


def step_of(model: Tagger | LanguageModel, read: Subject, word: str | None) -> int:
    """Return the step that is looked at: a word or its number, or the one that says most without."""
    if word is not None:
        return read.step_of(int(word) if word.lstrip("-").isdigit() and word not in read.words() else word)
    if isinstance(model, LanguageModel):
        return read.T - 1
    with torch.no_grad():
        return int(read.run().logits[:, 0].topk(2).values.diff(dim=-1)[:, 0].argmax())


def target_of(
    model: Tagger | LanguageModel, read: Subject, t: int, label: str | None, against: str | None, *, linear: bool
) -> Logit | LogProbability:
    """Return what is explained at a step: a tag and not the next best, or what a language model thinks comes next.

    Args:
        model: the model.
        read: what it read.
        t: the step.
        label: the label, or the most probable one.
        against: another, whose logit is taken off.
        linear: whether the target must be linear in states.
    """
    head = needed_head(read.head)
    with torch.no_grad():
        logits = read.run().logits[t, 0]
    best = logits.topk(min(2, len(logits))).indices.tolist()
    chosen = best[0] if label is None else head.index(_label(label))
    if against is not None:
        return logit(chosen, word=t, against=head.index(_label(against)))
    if isinstance(model, LanguageModel):
        return logit(chosen, word=t) if linear else log_probability(chosen, word=t)
    return logit(chosen, word=t, against=best[1] if label is None and len(best) > 1 else None)


def _label(text: str) -> str:
    r"""Return a label as it was meant: a line end can be written as ``\n``."""
    return text.replace("\\n", "\n")


def give(result: Explanation, json: str | None, csv: str | None, plot: Path | None) -> None:
    """Print a result, or write it where it is wanted.

    Raises:
        ArgumentError: JSON and CSV both go to standard output.
        FileNotFoundError, IsADirectoryError, FileWriteError: a file cannot be written.
    """
    if json == csv == STANDARD:
        raise ArgumentError("--json - and --csv - both write to standard output; write one of them to a file")
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
        from hiddenstate.base.figures import save_picture  # needs matplotlib, which is optional

        save_picture(result.plot(), plot)
        typer.echo(f"wrote {plot}", err=True)


@contextmanager
def told() -> Iterator[Told]:
    """Show a bar on the terminal while something runs; Ctrl-C stops it."""
    console = Console(stderr=True)
    columns = TextColumn("{task.completed:,.0f} of {task.total:,.0f} row-steps"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total)
