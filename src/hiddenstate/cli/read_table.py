"""The table of ``hiddenstate read``: a row for each word, with as much detail as fits the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.text import Span, Text

from hiddenstate.structure.names import GATES, STATES
from hiddenstate.tracing.unit_step import Moment
from hiddenstate.tracing.views import StepSummary

LONGEST_WORD = 24
LEFT = " "  # left margin of the table
GAP = "  "  # between columns
RULE = "─"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


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
NO_GATES = "A wider terminal shows the gates."


@dataclass(frozen=True)
class Word:
    """One word of a reading: its tag and the LSTM's values."""

    word: str
    tag: str
    probability: float
    runner_up: str
    runner_up_probability: float
    step: StepSummary
    moment: Moment | None


def make_table(words: Sequence[Word], width: int) -> Text:
    """Return the table of a sentence: the most detailed one that fits, or the least detailed, cut off at the right."""
    shown = min(LONGEST_WORD, max(4, *(cell_len(word.word) for word in words)))
    room = width - shown - len(LEFT) - len(GAP)
    for detail in DETAILS:
        rows = _rows(words, detail)
        # All rows have the same width, so measuring one is enough.
        if rows[0].cell_len <= room:
            break
    else:
        for row in rows:
            row.truncate(max(room, 0))
    rule = RULE * (shown + len(LEFT) + rows[0].cell_len + len(GAP))
    lines = [Text(), _line("word", shown, rows[0], "bold"), Text(f" {rule}")]
    for word, row in zip(words, rows[1:], strict=True):
        first, *folded = chop_cells(word.word, shown) or [""]
        lines += [_line(first, shown, row), *(Text(f"{LEFT}{part}", "bold") for part in folded)]
    return Text("\n").join([*lines, *([] if detail.bar else [Text(NO_GATES, "dim")]), Text()])


def _line(word: str, width: int, row: Text, style: str = "") -> Text:
    """Return a row with its word, padded to the width, in front."""
    filled = word + " " * (width - cell_len(word))
    return Text.assemble(LEFT, (filled, "bold"), GAP, row, style=style)


def unit_lines(words: Sequence[Word]) -> Text:
    """Return the six values of a unit at every word, with the equations filled in below."""
    shown = [name for name in (*GATES, *STATES, "m") if words[0].moment and name in words[0].moment]
    width = max(len("word"), *(cell_len(word.word) for word in words))
    lines = [Text(f"{'word':{width}}  {'tag':5}" + "".join(f"{name:>9}" for name in shown), "bold")]
    for word in words:
        assert word.moment is not None  # because a unit was chosen
        numbers = "".join(f"{word.moment[name]:9.4f}" for name in shown)
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
        every = [self.title, *self.cells]
        width = max(map(cell_len, every))
        blanks = [" " * (width - cell_len(text)) for text in every]
        pairs = zip(every, blanks, strict=True)
        return [blank + text if self.right else text + blank for text, blank in pairs]


def _rows(words: Sequence[Word], detail: Detail) -> list[Text]:
    """The title and a row for each word, all of the same width, without the word."""
    columns = _columns(words, detail)
    title, *others = zip(*(column.aligned() for column in columns), strict=True)
    spans, start = list[Span](), 0
    for column, text in zip(columns, title, strict=True):
        spans.append(Span(start, start + len(text), column.style))
        start += len(text) + len(GAP)
    return [Text(GAP.join(title)), *(Text(GAP.join(row), spans=list(spans)) for row in others)]


def _runner_up(word: Word) -> str:
    """The second most likely tag; empty if its probability rounds to 0.00."""
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
    """Draw a number from 0 to 1 as a bar of blocks, to the nearest eighth of a block."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width, "·")
