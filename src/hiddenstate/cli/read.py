"""``hiddenstate read``: watch a trained LSTM read a text, word by word."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hiddenstate.cli.outputs import check_outputs
from hiddenstate.cli.read_table import PLAIN_WIDTH, Word, fitting
from hiddenstate.errors import ArgumentError
from hiddenstate.models.folder import load, shipped
from hiddenstate.models.tagger import Reading, Tagger
from hiddenstate.structure.names import GATES, MEANINGS, STATES, track
from hiddenstate.text.source import read_text
from hiddenstate.text.tokenise import sentences, tokenise
from hiddenstate.tracing.summary import summary_of
from hiddenstate.tracing.unit_step import Moment

CHANGED = 3


class Direction(str, Enum):
    """Which way the layer reads."""

    forward = "forward"
    reverse = "reverse"


@dataclass(frozen=True)
class View:
    """What is looked at: one layer and direction, and one unit if asked for."""

    layer: int
    reverse: bool
    unit: int | None

    @property
    def track(self) -> str:
        """Its name, such as ``l1r``."""
        return track(self.layer, self.reverse)


def read(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.", metavar="TEXT|-")],
    unit: Annotated[
        int | None, typer.Option(help="Show all values of this unit, with the equations.", show_default=False)
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Layer, from 0.  [default: the last]", show_default=False)] = None,
    direction: Annotated[Direction, typer.Option(help="Which way the layer reads.")] = Direction.forward,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line a word.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw the gates and states: a PNG, SVG or PDF.", show_default=False, metavar="FILE"),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder or name of a tagger; else the shipped one, of English.", metavar="MODEL"),
    ] = None,
) -> None:
    """Watch the tagger read a text: a row a word, with its tag and what the gates of an LSTM layer did.

    Example: hiddenstate read "Giraffes in a field" --unit 17
    """
    if as_json and as_csv:
        raise ArgumentError("--json and --csv are two forms of the same output; choose one")
    check_outputs(plot=plot)
    words_by_sentence = _split(read_text(sys.stdin.buffer) if text == "-" else text)
    if plot is not None and len(words_by_sentence) > 1:
        raise ArgumentError(
            f"--plot draws one sentence, and the text has {len(words_by_sentence)}; read them one by one"
        )
    tagger = load(model or shipped())
    view = _view(tagger, layer, direction, unit)
    readings = [tagger.read(words) for words in words_by_sentence]
    described = [_describe(reading, view) for reading in readings]
    if as_json:
        typer.echo(json.dumps(_as_data(described, view), ensure_ascii=False, indent=2))
    elif as_csv:
        typer.echo(_as_csv(described, view), nl=False)
    else:
        _print(described, view, tagger)
    if plot is not None:
        _draw(readings[0], view, plot)


def _split(text: str) -> list[list[str]]:
    split = [words for line in sentences(text) if (words := tokenise(line))]
    if not split:
        raise ArgumentError("there is no word to read: give a text, such as 'Giraffes in a field'")
    return split


def _view(tagger: Tagger, layer: int | None, direction: Direction, unit: int | None) -> View:
    layers, units = tagger.lstm.num_layers, tagger.lstm.hidden_size
    layer = layers - 1 if layer is None else layer
    for name, value, count in (("--layer", layer, layers), ("--unit", unit or 0, units)):
        if not 0 <= value < count:
            raise ArgumentError(f"{name} {value} is out of range: this model has {count}, from 0 to {count - 1}")
    return View(layer, direction is Direction.reverse, unit)


def _describe(reading: Reading, view: View) -> list[Word]:
    steps = summary_of(reading.trace, layer=view.layer, reverse=view.reverse, most=CHANGED)
    top = [list(tags.items()) for tags in reading.top(2)]
    return [
        Word(
            word=word,
            tag=best[0][0],
            probability=best[0][1],
            runner_up=best[1][0] if len(best) > 1 else "",
            runner_up_probability=best[1][1] if len(best) > 1 else 0.0,
            step=step,
            moment=_moment(reading, view, step.t),
        )
        for word, best, step in zip(reading.words, top, steps, strict=True)
    ]


def _moment(reading: Reading, view: View, t: int) -> Moment | None:
    return None if view.unit is None else reading.trace.at(t, view.unit, layer=view.layer, reverse=view.reverse)


def _as_data(described: Sequence[Sequence[Word]], view: View) -> dict[str, Any]:
    return {
        "layer": view.layer,
        "direction": "reverse" if view.reverse else "forward",
        "unit": view.unit,
        "sentences": [[_row(word) for word in words] for words in described],
    }


def _row(word: Word) -> dict[str, Any]:
    row: dict[str, Any] = {
        "word": word.word,
        "tag": word.tag,
        "probability": round(word.probability, 6),
        "runner_up": word.runner_up,
        "runner_up_probability": round(word.runner_up_probability, 6),
        "gates": {gate: round(value, 6) for gate, value in word.step.gates.items()},
        "c_norm": round(word.step.c_norm, 6),
        "h_norm": round(word.step.h_norm, 6),
        "changed": [{"unit": unit, "change": round(change, 6)} for unit, change in word.step.changed],
    }
    if word.moment is not None:
        row["values"] = {name: round(value, 6) for name, value in word.moment.items()}
    return row


def _as_csv(described: Sequence[Sequence[Word]], view: View) -> str:
    buffer = io.StringIO()
    rows = [_flat(sentence, t, word) for sentence, words in enumerate(described) for t, word in enumerate(words)]
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _flat(sentence: int, step: int, word: Word) -> dict[str, Any]:
    """One line of CSV: nested values spread over columns."""
    row = _row(word)
    gates, changed, values = row.pop("gates"), row.pop("changed"), row.pop("values", {})
    flat: dict[str, Any] = {"sentence": sentence, "step": step, **row}
    flat |= {f"mean_{'abs_' if gate == 'g' else ''}{gate}": value for gate, value in gates.items()}
    flat["changed"] = " ".join(str(change["unit"]) for change in changed)
    flat |= values
    return flat


def _print(described: Sequence[Sequence[Word]], view: View, tagger: Tagger) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no width of its own
        console.width = PLAIN_WIDTH
    for words in described:
        if view.unit is None:
            console.print(fitting(console, words))
        else:
            _print_unit(console, words)
    console.print(Text(_legend(view, tagger), style="dim"))


def _print_unit(console: Console, words: Sequence[Word]) -> None:
    """Print the six values of a unit at every word, and under each the equations that they stand in."""
    shown = [name for name in (*GATES, *STATES, "m") if words[0].moment and name in words[0].moment]
    width = max(len("word"), *(len(word.word) for word in words))
    console.print(Text(f"{'word':{width}}  {'tag':5}" + "".join(f"{name:>9}" for name in shown), style="bold"))
    for word in words:
        assert word.moment is not None  # a unit was asked for
        numbers = "".join(f"{word.moment[name]:9.4f}" for name in shown)
        console.print(Text(f"{word.word:{width}}  {word.tag:5}{numbers}"), soft_wrap=True)
        for line in word.moment.state_lines():
            console.print(Text(f"    {line}", style="dim"), soft_wrap=True)
    console.print()


def _legend(view: View, tagger: Tagger) -> str:
    way = "last word to first" if view.reverse else "first word to last"
    layers = tagger.lstm.num_layers
    of = f"{view.track}: layer {view.layer} ({layers} layers, counted from 0), reading from the {way}"
    if view.unit is not None:
        return f"{of}, unit {view.unit}: " + ", ".join(f"{name} {MEANINGS[name]}" for name in (*GATES, *STATES)) + "."
    return (
        f"{of}, {tagger.lstm.hidden_size} units. Bars are means over the units: i how far the input gate is open "
        "(writes), f the forget gate (keeps), o the output gate (shows), |g| how strong the candidate is. ‖c‖ and ‖h‖ "
        "are the lengths of the cell and hidden state; the units named changed most in c, up or down. See one with "
        "--unit."
    )


def _draw(reading: Reading, view: View, path: Path) -> None:
    reading.trace.plot(path, layer=view.layer, reverse=view.reverse, unit=view.unit)
    typer.echo(f"wrote {path}", err=True)
