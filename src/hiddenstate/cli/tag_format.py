"""The formats of ``hiddenstate tag``: a tagged sentence as CoNLL-U, as a line of JSON, or as a table."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from hiddenstate.text.conllu import Sentence, to_conllu, with_comments, with_tags

if TYPE_CHECKING:
    from hiddenstate.models.tagger.tagging import Guess, Tagging, Tags

TABLE_TAGS = 3


class Format(str, Enum):
    """The output format."""

    conllu = "conllu"
    jsonl = "jsonl"
    table = "table"


@dataclass(frozen=True)
class Layout:
    """The format of tagged sentences.

    Attributes:
        format: the format.
        top_k: tags per word; None for the format's default.
    """

    format: Format
    top_k: int | None

    @property
    def separator(self) -> str:
        """The separator between two sentences."""
        return "\n" if self.format is Format.table else ""

    @property
    def has_probabilities(self) -> bool:
        """Whether the output has more than the tags."""
        return self.format is not Format.conllu or self.top_k is not None

    def text(self, sentence: Sentence, tagging: "Tagging") -> str:
        """Return a tagged sentence, with its final newline."""
        if self.format is Format.conllu:
            return to_conllu([_filled(sentence, tagging, self.top_k)])
        if self.format is Format.jsonl:
            return json.dumps(_data(tagging, self.top_k), ensure_ascii=False) + "\n"
        return _table(tagging, self.top_k or (TABLE_TAGS if len(tagging.columns) == 1 else 1))


def _filled(sentence: Sentence, tagging: "Tagging", top_k: int | None) -> Sentence:
    """Insert the tags of every column, and any other requested output, into a sentence."""
    for column, tags in tagging.columns.items():
        sentence = with_tags(sentence, tags.tags, None if top_k is None else tags.top(top_k), column)
        best = enumerate(tags.guesses, 1)
        sentence = with_comments(
            sentence, [f"# {column}_best_{k} = {guess.probability:.4f} {' '.join(guess.tags)}" for k, guess in best]
        )
    return sentence


def _data(tagging: "Tagging", top_k: int | None) -> dict[str, Any]:
    """Return a sentence for JSON: its words, and the result of `_column` for the first and for each further column."""
    first, *others = tagging.columns.items()
    data = {"words": tagging.words, **_column(first[1], top_k)}
    if others:
        data["columns"] = {column: _column(tags, top_k) for column, tags in others}
    return data


def _column(tags: "Tags", top_k: int | None) -> dict[str, Any]:
    """Return the tags, the probabilities for each word, and the best taggings of the sentence, if requested."""
    shares = [{tag: round(share, 6) for tag, share in word.items()} for word in tags.top(top_k or len(tags.names))]
    data: dict[str, Any] = {"tags": tags.tags, "probabilities": shares}
    if tags.guesses:
        data["n_best"] = [{"tags": guess.tags, "probability": round(guess.probability, 6)} for guess in tags.guesses]
    return data


def _table(tagging: "Tagging", top_k: int) -> str:
    """Write a line for each word: the word, then its tags and probabilities, the most probable first."""
    width = max((cell_len(word) for word in tagging.words), default=0)
    # Wide characters (Chinese, say) take two terminal cells, which str.ljust ignores.
    lines = [word + " " * (width - cell_len(word)) for word in tagging.words]
    for tags in tagging.columns.values():
        tag_width = max(len(name) for name in tags.names)
        for k, shares in enumerate(tags.top(top_k)):
            lines[k] += "".join(f"  {name:{tag_width}} {share:.4f}" for name, share in shares.items())
    lines += [_line(column, guess) for column, tags in tagging.columns.items() for guess in tags.guesses]
    return "\n".join([*lines, ""])


def _line(column: str, guess: "Guess") -> str:
    return f"{column.upper()} {guess.probability:.4f}  {' '.join(guess.tags)}"
