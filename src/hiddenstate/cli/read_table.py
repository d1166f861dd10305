"""The table of ``hiddenstate read``: a row a word, as detailed as the terminal is wide."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Span, Text

from hiddenstate.structure.names import GATES
from hiddenstate.tracing.summary import StepSummary
from hiddenstate.tracing.unit_step import Moment

PLAIN_WIDTH = 100
LONGEST_WORD = 24
GAP = "  "  # between columns
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Detail:
    """How much of a row is shown. The word and its tag always are."""

    bar: int  # characters of a gate's bar; 0 leaves the gates out
    changed: int  # units that changed most
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
NO_GATES = "A wider terminal shows the gates."


@dataclass(frozen=True)
class Word:
    """One word of a reading: its tag and what the LSTM did."""

    word: str
    tag: str
    probability: float
    runner_up: str
    runner_up_probability: float
    step: StepSummary
    moment: Moment | None


def fitting(console: Console, words: Sequence[Word]) -> Table:
    """The most detailed table that fits, or the least detailed one."""
    unbounded = console.options.update(max_width=10 * PLAIN_WIDTH)
    longest = max(words, key=lambda word: cell_len(word.word))
    for detail in DETAILS:
        rows = _rows(words, detail)
        # All rows are as wide as one another but for the word.
        sample = _table([longest], rows[0], rows[1:2])
        if detail is DETAILS[-1] or console.measure(sample, options=unbounded).maximum <= console.width:
            break
    table = _table(words, rows[0], rows[1:])
    table.caption = None if detail.bar else NO_GATES
    return table


def _table(words: Sequence[Word], head: Text, rows: Sequence[Text]) -> Table:
    # All behind the word is one column: to lay out a cell takes rich long, and a text may have many words.
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column("word", overflow="fold", style="bold", min_width=4, max_width=LONGEST_WORD)
    table.add_column(head, no_wrap=True)
    for word, row in zip(words, rows, strict=True):
        table.add_row(Text(word.word), row)
    return table


@dataclass(frozen=True)
class Column:
    """One column behind the word: its title, style, whether it stands right, and what it has in each row."""

    title: str
    cells: list[str]
    style: str = ""
    right: bool = False

    def aligned(self) -> list[str]:
        """Title and cells, all of one width."""
        every = [self.title, *self.cells]
        width = max(map(cell_len, every))
        blanks = [" " * (width - cell_len(text)) for text in every]
        pairs = zip(every, blanks, strict=True)
        return [blank + text if self.right else text + blank for text, blank in pairs]


def _rows(words: Sequence[Word], detail: Detail) -> list[Text]:
    """The title and a row for each word, all of one width, without the word."""
    columns = _columns(words, detail)
    title, *others = zip(*(column.aligned() for column in columns), strict=True)
    spans, start = list[Span](), 0
    for column, text in zip(columns, title, strict=True):
        spans.append(Span(start, start + len(text), column.style))
        start += len(text) + len(GAP)
    return [Text(GAP.join(title)), *(Text(GAP.join(row), spans=list(spans)) for row in others)]


def _runner_up(word: Word) -> str:
    """The second most likely tag; nothing where it has no chance that two digits show."""
    said = f"{word.runner_up_probability:.2f}"
    return f"{word.runner_up} {said}" if float(said) else ""


def _columns(words: Sequence[Word], detail: Detail) -> list[Column]:
    steps = [word.step for word in words]
    columns = [Column("tag", [word.tag for word in words], "cyan")]
    if detail.probability:
        columns.append(Column("p", [f"{word.probability:.2f}" for word in words], right=True))
    if detail.runner_up:
        columns.append(Column("or", [_runner_up(word) for word in words], "dim"))
    if detail.bar:
        columns += _gates(steps, detail.bar)
    if detail.norms:
        columns.append(Column("‖c‖", [f"{step.c_norm:.2f}" for step in steps], right=True))
        columns.append(Column("‖h‖", [f"{step.h_norm:.2f}" for step in steps], right=True))
    if detail.changed:
        title = "changed" if detail.changed == 1 else "changed most"
        columns.append(Column(title, [_changed(step, detail.changed) for step in steps]))
    return columns


def _gates(steps: Sequence[StepSummary], width: int) -> list[Column]:
    return [
        Column(f"|{gate}|" if gate == "g" else gate, [_bar(step.gates[gate], width) for step in steps], "green")
        for gate in GATES
    ]


def _changed(step: StepSummary, most: int) -> str:
    return " ".join(f"{unit}{'↑' if change > 0 else '↓'}" for unit, change in step.changed[:most])


def _bar(share: float, width: int) -> str:
    """Draw a number from 0 to 1 as a bar of blocks, to an eighth of a block."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width, "·")
