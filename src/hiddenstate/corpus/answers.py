"""An index's answers to pages of the studio, ready for JSON."""

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from hiddenstate.base.messages import plain
from hiddenstate.corpus.index.folder import IndexFolder
from hiddenstate.corpus.index.readers import model_fingerprint
from hiddenstate.corpus.index.sequences import Context
from hiddenstate.corpus.opened import Index, open_index
from hiddenstate.corpus.search.find import search
from hiddenstate.corpus.search.grammar import parse_query
from hiddenstate.corpus.units.card import unit_card
from hiddenstate.corpus.units.table import units
from hiddenstate.errors import ArgumentError, ArgumentTypeError, MessageError
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import find_folder, load
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.recurrent import Recurrent

MOST_SPANS = 2000  # maximum number of spans sent per search
MOST_PASSAGES, MOST_PASSAGE_STEPS = 32, 256  # maximum per request
_SPAN = re.compile(r"\d{1,9}(:\d{1,9}){3}")
_LEVELS = 9  # number of bar heights in a unit's small histogram; each height is one digit


class IndexAnswers:
    """An index's answers to the pages Units and Search."""

    def __init__(self, index: IndexFolder) -> None:
        self.index = index
        parse_query("token = a")  # builds the parser, so that the first search need not
        self._units: dict[str, Any] | None = None

    def about(self) -> dict[str, Any]:
        """Return the data about the index that a page has from the start."""
        return {"name": self.index.folder.resolve().name, "steps": self.index.steps}

    def model(self) -> nn.Module:
        """Return the model that was indexed."""
        return self.index.reader.model

    def find_model(self, models: Sequence[Any]) -> int:
        """Return the position of the model that was indexed; for the index of a layer, of a module with that layer."""
        wanted = model_fingerprint(self.model())
        for k, model in enumerate(models):
            candidate = load(find_folder(model)) if isinstance(model, str | os.PathLike) else model
            if not isinstance(candidate, Tagger | LanguageModel | Recurrent):
                candidate = getattr(candidate, "lstm", None)
            if isinstance(candidate, nn.Module) and model_fingerprint(candidate) == wanted:
                return k
        raise ArgumentError(
            f"the index in {self.index.folder} belongs to a different model; open the one that was indexed, or give "
            "only the index"
        )

    def units(self) -> dict[str, Any]:
        """Return the table of all units by column, each with a small histogram, and the stored thresholds."""
        if self._units is None:
            rows = units(self.index).table
            columns: dict[str, list[Any]] = {name: [plain(row[name]) for row in rows] for name in rows[0]}
            shapes = {name: _shapes(known.histogram) for name, known in self.index.statistics.items()}
            places = [self.index.resolve_unit(str(unit)) for unit in columns["unit"]]
            columns["shape"] = [shapes[name][unit] for name, unit in places]
            self._units = {"columns": columns, "thresholds": self.index.thresholds}
        return self._units

    def card(self, address: str) -> dict[str, Any]:
        """Return the card of a unit; errors are those of `Index.unit`."""
        return unit_card(self.index, address).to_dict()

    def search(self, query: str, progress: Progress | None = None) -> dict[str, Any]:
        """Return the result of a search, with the places of its first spans; errors are those of `Index.search`."""
        result = search(self.index, query, limit=MOST_SPANS, progress=progress)
        return {**result.summary(), "spans": [tuple(match.context) for match in result.matches]}

    def passages(self, unit: str, spans: str) -> list[dict[str, Any]]:
        """Return a unit's values at spans ``SHARD:SEQUENCE:START:STOP,...``, which may go beyond the end."""
        place, number = self.index.resolve_unit(unit)
        contexts = [self._context(span) for span in spans.split(",", MOST_PASSAGES)]
        if len(contexts) > MOST_PASSAGES:
            raise MessageError(f"at most {MOST_PASSAGES} passages can be requested at a time")
        if self.index.reader.lstm.bidirectional:
            values = [states[place] for states in self.index.run(contexts, [place])]
        else:
            values = [self.index.values(context, [place])[place] for context in contexts]
        return [self._passage(*pair) for pair in zip(contexts, (part[:, number] for part in values), strict=True)]

    def _passage(self, context: Context, values: np.ndarray) -> dict[str, Any]:
        item = self.index.text(context.shard).item(context.sequence)
        inside = slice(context.start, context.stop)
        return {
            "start": context.start,
            "tokens": item.tokens[inside],
            "labels": item.labels[inside],
            "values": [round(value, 4) for value in values.tolist()],
        }

    def _context(self, span: str) -> Context:
        if not _SPAN.fullmatch(span, endpos=64):
            raise MessageError(f"a span must be SHARD:SEQUENCE:START:STOP, got {span[:40]!r}")
        shard, sequence, start, stop = map(int, span.split(":"))
        if shard in self.index.shards and start < stop <= start + MOST_PASSAGE_STEPS:
            starts = self.index.text(shard).starts
            if sequence < len(starts) - 1 and start < (length := int(starts[sequence + 1] - starts[sequence])):
                return Context(shard, sequence, start, min(stop, length))
        raise MessageError(f"the corpus has no span {span}, or it has more than {MOST_PASSAGE_STEPS} steps")


def open_answers(index: Any) -> IndexAnswers:
    """Return the answers of an index, given as an `Index` or as its folder."""
    if isinstance(index, Index):
        return IndexAnswers(index)
    if not isinstance(index, str | os.PathLike):
        raise ArgumentTypeError(f"index must be a hiddenstate.Index or its folder, got {type(index).__name__}")
    return IndexAnswers(open_index(index))


def _shapes(histogram: np.ndarray) -> list[str]:
    """Return each unit's histogram as digits, from 0 for an empty bin to 9 for the fullest."""
    heights = np.ceil(histogram * (_LEVELS / np.maximum(histogram.max(1, keepdims=True), 1))).astype(int)
    return ["".join(map(str, row)) for row in heights.tolist()]
