"""The results of searches: matches with their words and base rates, and the nearest states."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from hiddenstate.base.messages import plain
from hiddenstate.corpus.index.folder import ShardText
from hiddenstate.corpus.index.sequences import Context
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import sentence, shortened
from hiddenstate.structure.tables import table

AROUND = 6  # tokens shown on each side of a match
MOST_SHOWN = 40  # maximum number of tokens shown per match
DATES = " to "  # the separator if tokens are the dates of a series, of which the first and the last are shown


class SearchMatch(NamedTuple):
    """A span of a sequence, or a step.

    Attributes:
        context: its place in the corpus.
        before: the tokens before it; for a series, the name of the row, or an empty text.
        tokens: its tokens.
        after: the tokens after it; for a series, there are none.
        score: the score by which it is ranked: its number of steps, or its similarity.
        separator: what is between tokens in a text: a space, nothing for characters, or ``" to "`` for dates.
    """

    context: Context
    before: tuple[str, ...]
    tokens: tuple[str, ...]
    after: tuple[str, ...]
    score: float
    separator: str = " "

    def row(self) -> Row:
        """Return the match as a row of a table."""
        shard, sequence, start, stop = self.context
        texts = {name: text_of(getattr(self, name), self.separator) for name in ("before", "tokens", "after")}
        return {"shard": shard, "sequence": sequence, "start": start, "stop": stop, "score": self.score, **texts}


class Clause(NamedTuple):
    """A part of a query.

    Attributes:
        text: the part.
        steps: the number of steps at which it holds.
        left: the number of steps (or spans, for parts around a span) that remain after this part and all parts before
            it.
        lift: how much more often it holds when the parts before it hold; NaN for the first part, or if they hold
            nowhere.
        span: the lowest and the highest value of the unit over the corpus, if that is known.
    """

    text: str
    steps: int
    left: int
    lift: float
    span: tuple[float, float] | None


@dataclass(frozen=True, eq=False, repr=False)
class Matches(Measured):
    """The spans of a corpus that match a query, longest first; spans of equal length are in random order.

    Attributes:
        query: the query.
        steps: the number of steps of the corpus.
        count: the number of spans that match.
        matched_steps: the number of steps in these spans.
        matches: the first of these spans.
        clauses: the parts of the query.
        labels: each label's share of the matched steps and of all steps.
        cost: the row-steps that were run because a threshold was not indexed.
    """

    kind: ClassVar[str] = "found"

    query: str
    steps: int
    count: int
    matched_steps: int
    matches: tuple[SearchMatch, ...]
    clauses: tuple[Clause, ...]
    labels: Mapping[str, tuple[float, float]]
    cost: int

    def rows(self) -> Sequence[Row]:
        """Return one row per match."""
        return [match.row() for match in self.matches]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {**self.summary(), "matches": list(self.rows())}

    def summary(self) -> dict[str, Any]:
        """Return everything except the matches, ready for JSON."""
        return {
            "query": self.query,
            "steps": self.steps,
            "count": self.count,
            "matched_steps": self.matched_steps,
            "clauses": plain([clause._asdict() for clause in self.clauses]),
            "labels": {name: {"share": share, "base": base} for name, (share, base) in self.labels.items()},
            "reason": self.reason,
            "residual": self.residual,
            "cost": self.cost,
        }

    def __str__(self) -> str:
        spans = "span" if self.count == 1 else "spans"
        lines = [f"{self.query}: {self.count:,} {spans}, {self.matched_steps:,} of {self.steps:,} steps"]
        lines += [_line(match, f"{len(match.tokens):,}") for match in self.matches]
        rows = [
            [part.text, f"{part.steps:,}", f"{part.steps / max(self.steps, 1):.2%}", f"{part.left:,}", _lift(part.lift)]
            for part in self.clauses
        ]
        lines += ["", table(["part", "steps", "of all", "left", "lift"], rows, "l")]
        if not self.count:
            lines += ["", sentence(self.reason)]
        best = self._commonest(5)
        if best and self.count:
            shares = [[shortened(n), f"{s:.1%}", f"{b:.1%}", _lift(s / b if b else float("nan"))] for n, (s, b) in best]
            lines += ["", table(["label", "of matched", "of all", "lift"], shares, "l")]
        return "\n".join(lines)

    @property
    def reason(self) -> str:
        """Why nothing matches: the part of the query after which nothing remained. Empty if there are matches."""
        if self.count:
            return ""
        for k, part in enumerate(self.clauses):
            if part.left:
                continue
            if part.span is not None and not part.steps:
                low, high = part.span
                return f"Nothing matches: {part.text} holds nowhere; the unit is between {low:.4g} and {high:.4g}."
            if not part.steps:
                return f"Nothing matches: {part.text} holds nowhere in the corpus."
            if k and math.isnan(part.lift) and self.clauses[k - 1].left:  # there is no span
                break
            if k == 0:
                return f"Nothing matches: {part.text} holds at {part.steps:,} steps, but never for that long."
            return f"Nothing matches: {part.text} holds at {part.steps:,} steps, but never where the other parts do."
        return "Nothing matches: all parts hold together, but never for a span of this length."

    def _commonest(self, most: int) -> list[tuple[str, tuple[float, float]]]:
        """Return the labels with the largest shares of the matched steps."""
        return sorted(self.labels.items(), key=lambda item: -item[1][0])[:most]

    def _draw(self, axes: Any) -> None:
        """Draw how much more often each label is among the matched steps."""
        best = self._commonest(20)
        names = [shortened(name) for name, _ in best]
        axes.bar(
            [k - 0.2 for k in range(len(best))], [share for _, (share, _) in best], width=0.4, label="matched steps"
        )
        axes.bar([k + 0.2 for k in range(len(best))], [base for _, (_, base) in best], width=0.4, label="all steps")
        axes.set_xticks(range(len(best)), names, rotation=60)
        axes.set_ylabel("share")
        axes.legend(fontsize=8)


@dataclass(frozen=True, eq=False, repr=False)
class Nearest(Measured):
    """The steps of a corpus whose states are nearest to a given one, at most one per sequence.

    Attributes:
        place: the places whose states are compared.
        what: the step with which they are compared, for messages.
        matches: the steps, nearest first; ``score`` is the cosine of the angle between the states.
    """

    kind: ClassVar[str] = "nearest"
    _saved = "place what matches=rows residual cost"

    place: str
    what: str
    matches: tuple[SearchMatch, ...]
    cost: int

    def rows(self) -> Sequence[Row]:
        """Return one row per step."""
        return [match.row() for match in self.matches]

    def __str__(self) -> str:
        lines = [f"States of {self.place} nearest to {self.what}, by cosine:"]
        return "\n".join([*lines, *(_line(match, f"{match.score:.3f}") for match in self.matches)])

    def _draw(self, axes: Any) -> None:
        """Draw the similarities in order."""
        axes.barh([" ".join(map(shortened, match.tokens)) for match in self.matches], [m.score for m in self.matches])
        axes.invert_yaxis()
        axes.set_xlabel("cosine")


def _line(match: SearchMatch, score: str) -> str:
    if match.separator == DATES:
        return f"{score:>6}  {' '.join(filter(None, match.before))} {text_of(match.tokens, DATES)}"
    tokens = match.tokens if len(match.tokens) <= MOST_SHOWN else (*match.tokens[:MOST_SHOWN], "…")
    before, inside, after = (text_of(part, match.separator) for part in (match.before, tokens, match.after))
    return f"{score:>6}  {before} [{inside}] {after}"


def words_around(text: ShardText, context: Context) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the tokens before, in and after some steps of a sequence."""
    _, sequence, start, stop = context
    first, last = text.starts[sequence : sequence + 2].tolist()
    a, b = first + start, first + stop
    before, inside, after = (
        tuple(text.names[code] for code in text.codes[low:high])
        for low, high in ((max(first, a - AROUND), a), (a, b), (b, min(last, b + AROUND)))
    )
    return before, inside, after


def text_of(tokens: Sequence[str], separator: str) -> str:
    """Join tokens in readable form."""
    if separator == DATES:
        return DATES.join(dict.fromkeys((*tokens[:1], *tokens[-1:])))
    if separator:
        return separator.join(map(shortened, tokens))
    return "".join(token if token.isprintable() else repr(token)[1:-1] for token in tokens)


def _lift(value: float) -> str:
    return "" if math.isnan(value) else f"× {value:.2f}"
