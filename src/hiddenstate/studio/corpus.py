"""The interface of the index behind the pages Units and Search, which the package `corpus` implements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from hiddenstate.base.later import index_openers


class Answers(Protocol):
    """The queries that an index answers; see `hiddenstate.corpus.answers.IndexAnswers`."""

    def about(self) -> dict[str, Any]:
        """Return the data about the index that the page shows at first."""

    def model(self) -> nn.Module:
        """Return the model that was indexed."""

    def find_model(self, models: Sequence[Any]) -> int:
        """Return the position of the model that was indexed."""

    def units(self) -> dict[str, Any]:
        """Return the table of all units."""

    def card(self, address: str) -> dict[str, Any]:
        """Return the card of a unit."""

    def search(self, query: str, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Return the result of a search."""

    def passages(self, unit: str, spans: str) -> list[dict[str, Any]]:
        """Return parts of sequences with the values of a unit."""


@dataclass(frozen=True, eq=False)
class CorpusPages:
    """The pages Units and Search."""

    answers: Answers  # the index that they query
    model: str  # the id of the indexed model in the studio

    def about(self) -> dict[str, Any]:
        """Return the data that the page has from the start; see `Boot` in web/types.ts."""
        return {**self.answers.about(), "model": self.model}


def open_answers(index: Any) -> Answers:
    """Open an index, or the one in a folder, for queries."""
    (opener,) = index_openers
    return opener(index)
