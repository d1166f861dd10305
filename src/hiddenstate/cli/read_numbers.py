"""The numbers of ``hiddenstate read``: the values of one layer at each word, as rows, JSON and CSV."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hiddenstate.cli.read_table import Word
from hiddenstate.errors import ArgumentError
from hiddenstate.models.tagger.tagger import Reading, Tagger
from hiddenstate.structure.layer_direction import LayerDirection
from hiddenstate.structure.names import GATES, STATES
from hiddenstate.structure.tables import csv_text
from hiddenstate.tracing.unit_step import Moment
from hiddenstate.tracing.views import StepSummary, summaries_of

CHANGED = 3


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


def select_view(tagger: Tagger, layer: int | None, reverse: bool, unit: int | None) -> View:
    """Return the view that the options select; the last layer by default.

    Raises:
        ArgumentError: there is no such layer or unit, or the tagger's cells are not LSTMs.
    """
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


def described(tagger: Tagger, sentences: Iterable[Sequence[str]], view: View) -> Iterator[list[Word]]:
    """Read sentences, and yield the words of each with the layer's values; raises the errors of `Tagger.read_all`."""
    keep = [f"{view.layer_direction}.{quantity}" for quantity in (*GATES, *STATES)]
    for _, together in groupby(tagger.read_all(sentences, keep=keep), key=lambda reading: id(reading.trace)):
        readings = list(together)
        rows = [reading.row for reading in readings]
        steps = summaries_of(readings[0].trace, rows, layer=view.layer, reverse=view.reverse, most=CHANGED)
        yield from (_words(*pair, view) for pair in zip(readings, steps, strict=True))


def _words(reading: Reading, steps: Sequence[StepSummary], view: View) -> list[Word]:
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
    if view.unit is None:
        return None
    return reading.trace.at(t, view.unit, layer=view.layer, reverse=view.reverse, row=reading.row)


def as_json(described: Iterable[Sequence[Word]], view: View) -> str:
    """Return everything as JSON."""
    data = {
        "layer": view.layer,
        "direction": "reverse" if view.reverse else "forward",
        "unit": view.unit,
        "sentences": [[_row(word) for word in words] for words in described],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


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


def as_csv(described: Iterable[Sequence[Word]]) -> str:
    """Return a header line and a line for each word."""
    return csv_text(
        [_flat(sentence, t, word) for sentence, words in enumerate(described) for t, word in enumerate(words)]
    )


def _flat(sentence: int, step: int, word: Word) -> dict[str, Any]:
    """One line of CSV, with nested values spread over columns."""
    row = _row(word)
    gates, changed, values = row.pop("gates"), row.pop("changed"), row.pop("values", {})
    flat: dict[str, Any] = {"sentence": sentence, "step": step, **row}
    flat |= {f"mean_{'abs_' if gate == 'g' else ''}{gate}": value for gate, value in gates.items()}
    flat["changed"] = " ".join(str(change["unit"]) for change in changed)
    flat |= values
    return flat
