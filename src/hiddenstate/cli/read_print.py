"""The tables of ``hiddenstate read`` on a terminal, in a file or in a pipe."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from hiddenstate.cli.read_numbers import View
from hiddenstate.cli.read_table import Word, make_table, unit_lines
from hiddenstate.cli.terminal import plain
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.structure.names import GATES, MEANINGS, STATES


def print_tables(rows: Iterable[Sequence[Word]], view: View, tagger: Tagger, screen: Console) -> None:
    """Print each sentence as it is read, and the legend at the end."""
    for words in map(_escaped, rows) if screen.is_terminal else rows:
        shown = make_table(words, screen.width) if view.unit is None else unit_lines(words)
        if screen.is_terminal:
            screen.print(shown, soft_wrap=True)
        else:  # plain text is written directly, which is much faster
            screen.file.write(f"{shown.plain}\n")
    screen.print(Text(_legend(view, tagger), style="dim"))


def _escaped(words: Sequence[Word]) -> list[Word]:
    """Escape words and tags before they are measured, so that columns stay aligned on a terminal."""
    return [
        replace(word, word=plain(word.word), tag=plain(word.tag), runner_up=plain(word.runner_up)) for word in words
    ]


def _legend(view: View, tagger: Tagger) -> str:
    way = "last word to first" if view.reverse else "first word to last"
    layers = tagger.lstm.num_layers
    of = f"{view.layer_direction}: layer {view.layer} ({layers} layers, counted from 0), reading from the {way}"
    if view.unit is not None:
        return f"{of}, unit {view.unit}: " + ", ".join(f"{name} {MEANINGS[name]}" for name in (*GATES, *STATES)) + "."
    return (
        f"{of}, {tagger.lstm.hidden_size} units. Bars are means over the units: i how far the input gate is open "
        "(writes), f the forget gate (keeps), o the output gate (shows), |g| how strong the candidate is. ‖c‖ and ‖h‖ "
        "are the lengths of the cell and hidden state; the units named changed most in c, up or down. See one with "
        "--unit."
    )
