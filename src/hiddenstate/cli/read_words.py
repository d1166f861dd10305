"""The words of ``hiddenstate read``: the values of one layer at each word, as tables, JSON and CSV."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Span, Text

from hiddenstate.cli.terminal import plain
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.terminal import share
from hiddenstate.models.tagger.tagger import Reading, Tagger
from hiddenstate.structure.names import GATES, MEANINGS, STATES, LayerDirection
from hiddenstate.structure.tables import csv_text
from hiddenstate.tracing.record import Moment
from hiddenstate.tracing.views import StepSummary, summaries_of

CHANGED = 3
LONGEST_WORD = 24
LEFT = " "  # left margin of the table
GAP = "  "  # between columns
NO_GATES = "A wider terminal shows the gates."


@dataclass(frozen=True)
class View:
    """The selection: one layer and direction, and one unit if chosen."""

    layer: int
    reverse: bool
    unit: int | None

    @property
    def layer_direction(self) -> str:
        """The name, such as ``l1r``."""
        return LayerDirection(self.layer, self.reverse).name


@dataclass(frozen=True)
class ReadWord:
    """One word of a reading: its tag and the LSTM's values."""

    word: str
    tag: str
    probability: float
    runner_up: str
    runner_up_probability: float
    step: StepSummary
    moment: Moment | None


def select_view(tagger: Tagger, layer: int | None, reverse: bool, unit: int | None) -> View:
    """Return the view that the options select, of the last layer by default, or reject them."""
    cell = tagger.lstm.sizes.kind.label
    if cell != "LSTM":
        raise ArgumentError(
            f"read shows the gates of an LSTM, but this tagger has {cell} cells; open it with hiddenstate studio"
        )
    layers, units = tagger.lstm.num_layers, tagger.lstm.hidden_size
    layer = layers - 1 if layer is None else layer
    for name, value, count in (("--layer", layer, layers), ("--unit", unit or 0, units)):
        if not 0 <= value < count:
            raise ArgumentError(f"{name} {value} is out of range: this model has {count}, from 0 to {count - 1}")
    return View(layer, reverse, unit)


def described(tagger: Tagger, sentences: Iterable[Sequence[str]], view: View) -> Iterator[list[ReadWord]]:
    """Read sentences, and yield the words of each with the layer's values."""
    keep = [f"{view.layer_direction}.{quantity}" for quantity in (*GATES, *STATES)]
    for _, together in groupby(tagger.read_all(sentences, keep=keep), key=lambda reading: id(reading.trace)):
        readings = list(together)
        rows = [reading.row for reading in readings]
        steps = summaries_of(readings[0].trace, rows, layer=view.layer, reverse=view.reverse, most=CHANGED)
        yield from (_words(*pair, view) for pair in zip(readings, steps, strict=True))


def _words(reading: Reading, steps: Sequence[StepSummary], view: View) -> list[ReadWord]:
    words = []
    for word, tags, step in zip(reading.words, reading.top(2), steps, strict=True):
        (tag, probability), (runner_up, runner_up_probability) = [*tags.items(), ("", 0.0)][:2]
        moment = None
        if view.unit is not None:
            moment = reading.trace.at(step.t, view.unit, layer=view.layer, reverse=view.reverse, row=reading.row)
        words.append(ReadWord(word, tag, probability, runner_up, runner_up_probability, step, moment))
    return words


def to_data(rows: Iterable[Sequence[ReadWord]], view: View) -> dict[str, Any]:
    """Return everything, ready for JSON."""
    return {
        "layer": view.layer,
        "direction": "reverse" if view.reverse else "forward",
        "unit": view.unit,
        "sentences": [[_row(word) for word in words] for words in rows],
    }


def _row(word: ReadWord) -> dict[str, Any]:
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


def to_csv(rows: Iterable[Sequence[ReadWord]]) -> str:
    """Return a header line and a line for each word, with nested values spread over columns."""
    lines = []
    for sentence, words in enumerate(rows):
        for t, word in enumerate(words):
            row = _row(word)
            gates, changed, values = row.pop("gates"), row.pop("changed"), row.pop("values", {})
            means = {f"mean_{'abs_' if gate == 'g' else ''}{gate}": value for gate, value in gates.items()}
            units = " ".join(str(change["unit"]) for change in changed)
            lines.append({"sentence": sentence, "step": t, **row, **means, "changed": units, **values})
    return csv_text(lines)


def print_tables(rows: Iterable[Sequence[ReadWord]], view: View, tagger: Tagger, screen: Console) -> None:
    """Print each sentence as it is read, and the legend at the end."""
    for words in map(_escaped, rows) if screen.is_terminal else rows:
        lines = make_table(words, screen.width) if view.unit is None else unit_lines(words)
        if screen.is_terminal:
            screen.print(lines, soft_wrap=True)
        else:  # plain text is written directly, which is much faster
            screen.file.write(f"{lines.plain}\n")
    screen.print(Text(_legend(view, tagger), style="dim"))


def _escaped(words: Sequence[ReadWord]) -> list[ReadWord]:
    """Escape words and tags before they are measured, so that columns stay aligned on a terminal."""
    return [
        replace(word, word=plain(word.word), tag=plain(word.tag), runner_up=plain(word.runner_up)) for word in words
    ]


def _legend(view: View, tagger: Tagger) -> str:
    way = "last word to first" if view.reverse else "first word to last"
    layers = tagger.lstm.num_layers
    place = f"{view.layer_direction}: layer {view.layer} ({layers} layers, counted from 0), reading from the {way}"
    if view.unit is not None:
        meanings = ", ".join(f"{name} {MEANINGS[name]}" for name in (*GATES, *STATES))
        return f"{place}, unit {view.unit}: {meanings}."
    return (
        f"{place}, {tagger.lstm.hidden_size} units. Bars are means over the units: i how far the input gate is open "
        "(writes), f the forget gate (keeps), o the output gate (shows), |g| how strong the candidate is. ‖c‖ and ‖h‖ "
        "are the lengths of the cell and hidden state; the units named changed most in c, up or down. See one with "
        "--unit."
    )


@dataclass(frozen=True)
class Detail:
    """How much of a row is shown. The word and its tag are always shown."""

    bar: int  # length of a gate's bar in characters; 0 omits the gates
    changed: int  # number of units listed as changing most
    runner_up: bool
    norms: bool = True
    probability: bool = True


DETAILS = (
    Detail(5, 3, True),
    Detail(5, 2, True),
    Detail(4, 2, True),
    Detail(4, 1, True),
    Detail(4, 1, False),
    Detail(3, 0, False),
    Detail(0, 0, False),
    Detail(0, 0, False, norms=False),
    Detail(0, 0, False, norms=False, probability=False),
)


def make_table(words: Sequence[ReadWord], width: int) -> Text:
    """Return the table of a sentence: the most detailed one that fits, or the least detailed, cut off at the right."""
    word_width = min(LONGEST_WORD, max(4, *(cell_len(word.word) for word in words)))
    room = width - word_width - len(LEFT) - len(GAP)
    for detail in DETAILS:
        rows = _rows(words, detail)
        # All rows have the same width, so measuring one is enough.
        if rows[0].cell_len <= room:
            break
    else:
        for row in rows:
            row.truncate(max(room, 0))
    rule = "─" * (word_width + len(LEFT) + rows[0].cell_len + len(GAP))
    lines = [Text(), _line("word", word_width, rows[0], "bold"), Text(f" {rule}")]
    for word, row in zip(words, rows[1:], strict=True):
        first, *folded = chop_cells(word.word, word_width) or [""]
        lines += [_line(first, word_width, row), *(Text(f"{LEFT}{part}", "bold") for part in folded)]
    return Text("\n").join([*lines, *([] if detail.bar else [Text(NO_GATES, "dim")]), Text()])


def _line(word: str, width: int, row: Text, style: str = "") -> Text:
    """Return a row with its word, padded to the width, in front."""
    return Text.assemble(LEFT, (word + " " * (width - cell_len(word)), "bold"), GAP, row, style=style)


def unit_lines(words: Sequence[ReadWord]) -> Text:
    """Return the six values of a unit at every word, with the equations filled in below."""
    names = [name for name in (*GATES, *STATES, "m") if words[0].moment and name in words[0].moment]
    width = max(len("word"), *(cell_len(word.word) for word in words))
    lines = [Text(f"{'word':{width}}  {'tag':5}" + "".join(f"{name:>9}" for name in names), "bold")]
    for word in words:
        assert word.moment is not None  # because a unit was chosen
        numbers = "".join(f"{word.moment[name]:9.4f}" for name in names)
        lines.append(Text(f"{word.word}{' ' * (width - cell_len(word.word))}  {word.tag:5}{numbers}"))
        lines += [Text(f"    {line}", "dim") for line in word.moment.state_lines()]
    return Text("\n").join([*lines, Text()])


@dataclass(frozen=True)
class Column:
    """One column after the word: its title, style, alignment and cells."""

    title: str
    cells: list[str]
    style: str = ""
    right: bool = False

    def aligned(self) -> list[str]:
        """Title and cells, all of the same width."""
        texts = [self.title, *self.cells]
        width = max(map(cell_len, texts))
        blanks = [" " * (width - cell_len(text)) for text in texts]
        return [blank + text if self.right else text + blank for text, blank in zip(texts, blanks, strict=True)]


def _rows(words: Sequence[ReadWord], detail: Detail) -> list[Text]:
    """The title and a row for each word, all of the same width, without the word."""
    columns = _columns(words, detail)
    title, *others = zip(*(column.aligned() for column in columns), strict=True)
    spans, start = list[Span](), 0
    for column, text in zip(columns, title, strict=True):
        spans.append(Span(start, start + len(text), column.style))
        start += len(text) + len(GAP)
    return [Text(GAP.join(title)), *(Text(GAP.join(row), spans=list(spans)) for row in others)]


def _columns(words: Sequence[ReadWord], detail: Detail) -> list[Column]:
    steps = [word.step for word in words]
    columns = [Column("tag", [word.tag for word in words], "cyan")]
    if detail.probability:
        columns.append(Column("p", [f"{word.probability:.2f}" for word in words], right=True))
    if detail.runner_up:
        columns.append(Column("or", [_runner_up(word) for word in words], "dim"))
    if detail.bar:
        titles = {gate: "|g|" if gate == "g" else gate for gate in GATES}
        columns += [Column(titles[g], [share(step.gates[g], detail.bar) for step in steps], "green") for g in GATES]
    if detail.norms:
        columns.append(Column("‖c‖", [f"{step.c_norm:.2f}" for step in steps], right=True))
        columns.append(Column("‖h‖", [f"{step.h_norm:.2f}" for step in steps], right=True))
    if detail.changed:
        title = "changed" if detail.changed == 1 else "changed most"
        columns.append(Column(title, [_changed(step, detail.changed) for step in steps]))
    return columns


def _runner_up(word: ReadWord) -> str:
    """The second most likely tag; empty if its probability rounds to 0.00."""
    probability = f"{word.runner_up_probability:.2f}"
    return f"{word.runner_up} {probability}" if float(probability) else ""


def _changed(step: StepSummary, most: int) -> str:
    return " ".join(f"{unit}{'↑' if change > 0 else '↓'}" for unit, change in step.changed[:most])
