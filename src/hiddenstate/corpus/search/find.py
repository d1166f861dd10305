"""Finds the spans of a corpus that match a query exactly, with base rates for comparison."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hiddenstate.base.scalars import check_int
from hiddenstate.corpus.index.folder import Context, IndexFolder, ShardText
from hiddenstate.corpus.index.items import NO_LABEL, scramble
from hiddenstate.corpus.search.conditions import (
    Mask,
    ShardConditions,
    check_values,
    forget_bits,
    key_of,
    make_bits,
    run_shard,
)
from hiddenstate.corpus.search.grammar import Around, Condition, Query, Value, parse_query
from hiddenstate.corpus.search.result import AROUND, Clause, Found, Match
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.subject.progress_bar import Progress, reporting

MOST_MATCHES = 100_000
Ints = NDArray[np.int64]


def search(index: IndexFolder, query: str, *, limit: int = 10, progress: Progress | bool | None = None) -> Found:
    """Find the spans that match a query; arguments and errors are those of `Index.search`."""
    limit = check_int("limit", limit)
    if not 0 <= limit <= MOST_MATCHES:
        raise ArgumentError(f"limit must be in 0..{MOST_MATCHES:,}, got {limit}")
    parsed = parse_query(query)
    check_values(index, parsed)
    with reporting(progress, unit="shards") as report:
        cost = make_bits(index, parsed, report)
    tally = _Tally(parsed)
    best: list[tuple[int, int, int, int, int]] = []
    streams = {key: index.bits_of_shards(*key) for key in {key_of(value) for value in parsed.values()}}
    for shard in index.shards:
        bits = {key: found for key, stream in streams.items() if (found := next(stream)) is not None}
        if lost := sorted(streams.keys() - bits.keys()):  # another search has deleted them
            bits |= run_shard(index, shard, lost)
            cost += int(index.lengths[shard])
        spans = tally.add(ShardConditions(index.text(shard), bits))
        best = sorted([*best, *_ranked(shard, spans, limit)])[:limit]
    if cost:
        forget_bits(index, parsed)
    matches = tuple(_match(index.text(shard), shard, start, stop) for _, _, shard, start, stop in best)
    return Found(
        query, tally.steps, tally.count, tally.matched, matches, tally.clauses(index), tally.label_shares(), cost
    )


def spans_of(holds: Mask, first: Mask, query: Query) -> Ints:
    """Return the longest spans ``[S, 2]`` in which a condition holds at every step, if their lengths match the query.

    Args:
        holds: ``[M]``, whether the condition holds.
        first: ``[M]``, whether a sequence begins at the step; spans do not cross such a border.
        query: the query, which has the lengths.
    """
    if not len(holds):
        return np.empty((0, 2), np.int64)
    begins = holds.copy()
    begins[1:] &= ~holds[:-1] | first[1:]
    ends = holds.copy()
    ends[:-1] &= ~holds[1:] | first[1:]
    spans = np.stack([np.flatnonzero(begins), np.flatnonzero(ends) + 1], axis=1)
    lengths = spans[:, 1] - spans[:, 0]
    return spans[(lengths >= query.shortest) & (lengths <= query.longest)]


def holds_around(counted: Ints, begins: Ints, ends: Ints, starts: Ints, around: Around) -> Mask:
    """Return whether a condition holds at one of the steps before or after each span, in the same sequence.

    Args:
        counted: ``[M + 1]``, the number of earlier steps at which the condition holds.
        begins: the first step of each span.
        ends: the step after each span.
        starts: the first step of each sequence, and M.
        around: the condition.
    """
    sequence = np.searchsorted(starts, begins, side="right") - 1
    if around.where == "before":
        low, high = np.maximum(begins - around.far, starts[sequence]), begins - around.near + 1
    else:
        low, high = ends - 1 + around.near, np.minimum(ends + around.far, starts[sequence + 1])
    high = np.maximum(high, 0)
    return np.asarray(counted[high] > counted[np.minimum(low, high)])


def steps_around(counted: Ints, starts: Ints, around: Around) -> int:
    """Return the number of steps around which the condition holds; for the arguments, see `holds_around`."""
    every, lengths = np.arange(len(counted) - 1), np.diff(starts)
    if around.where == "before":
        low = np.maximum(every - around.far, np.repeat(starts[:-1], lengths))
        high = np.maximum(every + (1 - around.near), 0)
    else:
        low = every + around.near
        high = np.minimum(every + (1 + around.far), np.repeat(starts[1:], lengths))
    return int(np.count_nonzero(counted[high] > counted[np.minimum(low, high)]))


@dataclass
class _Tally:
    """Counts over the shards."""

    query: Query
    steps: int = 0
    count: int = 0
    matched: int = 0
    spans: int = 0  # counted before the conditions around them are applied
    holding: list[int] = field(default_factory=list)  # number of steps at which each part holds
    left: list[int] = field(default_factory=list)
    usual: list[int] = field(default_factory=list)  # number of steps around which each part holds
    labels: Counter[str] = field(default_factory=Counter)
    base: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for each in (self.holding, self.left, self.usual):
            each += [0] * len(self.query.clauses)

    def add(self, conditions: ShardConditions) -> Ints:
        """Count one shard, and return the spans that match."""
        text = conditions.text
        self.steps += text.steps
        joint: Mask | None = None
        for k, condition in enumerate(self.query.at):
            holds = conditions.holds(condition)
            self.holding[k] += int(np.count_nonzero(holds))
            joint = holds if joint is None else joint & holds
            self.left[k] += int(np.count_nonzero(joint))
        assert joint is not None
        spans = spans_of(joint, text.first, self.query)
        self.spans += len(spans)
        for k, around in enumerate(self.query.around, len(self.query.at)):
            holds = conditions.holds(around.condition)
            self.holding[k] += int(np.count_nonzero(holds))
            counted = np.concatenate([[0], np.cumsum(holds)])
            self.usual[k] += steps_around(counted, text.starts, around)
            spans = spans[holds_around(counted, spans[:, 0], spans[:, 1], text.starts, around)]
            self.left[k] += len(spans)
        self.count += len(spans)
        self.matched += int((spans[:, 1] - spans[:, 0]).sum())
        self._count_labels(text, spans)
        return spans

    def _count_labels(self, text: ShardText, spans: Ints) -> None:
        if text.label_names in ((), (NO_LABEL,)):
            return
        inside = np.zeros(text.steps + 1, np.int64)
        inside[spans[:, 0]] += 1
        inside[spans[:, 1]] -= 1
        is_matched = np.cumsum(inside[:-1]) > 0
        for counter, codes in ((self.base, text.label_codes), (self.labels, text.label_codes[is_matched])):
            counts = np.bincount(codes, minlength=len(text.label_names))
            counter.update({name: int(count) for name, count in zip(text.label_names, counts, strict=True) if count})

    def clauses(self, index: IndexFolder) -> tuple[Clause, ...]:
        """Return the parts of the query with their counts."""
        found = []
        for k, part in enumerate(self.query.clauses):
            is_around = k >= len(self.query.at)
            before = self.left[k - 1] if k and k != len(self.query.at) else self.spans if is_around else 0
            usual = (self.usual if is_around else self.holding)[k] / max(self.steps, 1)
            lift = self.left[k] / before / usual if before and usual else float("nan")
            condition = part.condition if isinstance(part, Around) else part
            found.append(Clause(str(part), self.holding[k], self.left[k], lift, _span(index, condition)))
        return tuple(found)

    def label_shares(self) -> dict[str, tuple[float, float]]:
        """Return each label's share of the matched steps, and of all steps."""
        return {
            name: (self.labels[name] / max(self.matched, 1), count / max(self.steps, 1))
            for name, count in sorted(self.base.items())
            if name != NO_LABEL
        }


def _span(index: IndexFolder, condition: Condition) -> tuple[float, float] | None:
    if not isinstance(condition, Value) or condition.place not in index.statistics:
        return None
    known = index.statistics[condition.place]
    return float(known.bottom[condition.unit, 0]), float(known.top[condition.unit, 0])


def _ranked(shard: int, spans: Ints, limit: int) -> list[tuple[int, int, int, int, int]]:
    """Return the first spans of a shard in order of rank: the longest first, in random order if equally long."""
    lengths = spans[:, 1] - spans[:, 0]
    drawn = (scramble((shard << 40) | spans[:, 0]) >> np.uint64(1)).astype(np.int64)
    order = np.lexsort((drawn, -lengths))[:limit]
    return [(-int(lengths[k]), int(drawn[k]), shard, int(spans[k, 0]), int(spans[k, 1])) for k in order]


def _match(text: ShardText, shard: int, start: int, stop: int) -> Match:
    sequence = int(np.searchsorted(text.starts, start, side="right")) - 1
    first, last = text.starts[sequence : sequence + 2].tolist()
    parts = [(max(first, start - AROUND), start), (start, stop), (stop, min(last, stop + AROUND))]
    before, tokens, after = (tuple(text.names[code] for code in text.codes[a:b]) for a, b in parts)
    return Match(Context(shard, sequence, start - first, stop - first), before, tokens, after, float(stop - start))
