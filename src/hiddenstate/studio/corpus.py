"""The interface of the index behind the pages Units and Search, which the package `corpus` implements."""

from dataclasses import dataclass
from typing import Any

from hiddenstate.base.later import index_openers


@dataclass(frozen=True, eq=False)
class CorpusPages:
    """The pages Units and Search."""

    answers: Any  # the `hiddenstate.corpus.answers.IndexAnswers` of the index that they query
    model: str  # the id of the indexed model in the studio

    def about(self) -> dict[str, Any]:
        """Return the data that the page has from the start; see `Boot` in web/types.ts."""
        return {**self.answers.about(), "model": self.model}


def open_answers(index: Any) -> Any:
    """Open an index, or the one in a folder, for queries."""
    (opener,) = index_openers
    return opener(index)
