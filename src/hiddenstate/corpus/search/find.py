"""Finds spans that match a query exactly, by stored bits or a rerun, and the states nearest to a given one."""

import errno
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hiddenstate.base.files import free_name, refuse_link, sync, writing
from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.modes import types_of_the_weights
from hiddenstate.base.scalars import check_int
from hiddenstate.base.scoped import lasting
from hiddenstate.corpus.index.build import run_chunks, to_float32
from hiddenstate.corpus.index.folder import SEARCHED, IndexFolder, ShardText
from hiddenstate.corpus.index.sequences import NO_LABEL, Context, CorpusItem, scramble
from hiddenstate.corpus.search.grammar import (
    Around,
    ColumnCondition,
    Condition,
    Named,
    Query,
    UnitCondition,
    parse_query,
)
from hiddenstate.corpus.search.result import DATES, Clause, Matches, Nearest, SearchMatch, words_around
from hiddenstate.errors import ArgumentError, FileWriteError
from hiddenstate.explain.result.terminal import shortened
from hiddenstate.explain.subject.progress_bar import Progress, counted, reporting
from hiddenstate.models.series.dates import period_of

MOST_MATCHES = 100_000
MOST_NEAREST = 10_000
MOST_SEARCHED = 1 << 30  # maximum size of the stored bits in bytes, each file counted as at least a block
_BLOCK = 1 << 12
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Key = tuple[str, int, float]  # place, unit, threshold
Unstored = dict[int, dict[Key, NDArray[np.uint8]]]  # bits by shard, if the index is read-only


def search(index: IndexFolder, query: str, *, limit: int = 10, progress: Progress | bool | None = None) -> Matches:
    """Find the spans that match a query; arguments and errors are those of `Index.search`."""
    limit = check_int("limit", limit)
    if not 0 <= limit <= MOST_MATCHES:
        raise ArgumentError(f"limit must be in 0..{MOST_MATCHES:,}, got {limit}")
    parsed = parse_query(query)
    check_values(index, parsed)
    with reporting(progress, unit="shards") as report:
        cost, unstored = make_bits(index, parsed, report)
    tally, named = _Tally(parsed), {condition.name for condition in parsed.columns()}
    best: list[tuple[int, int, int, int, int]] = []
    streams = {key: index.bits_of_shards(*key) for key in {key_of(value) for value in parsed.values()}}
    for shard in index.shards:
        stored = {key: next(stream) for key, stream in streams.items()}
        bits = {key: mask for key, mask in stored.items() if mask is not None}
        for key, packed in unstored.get(shard, {}).items():
            bits[key] = np.unpackbits(packed, count=int(index.lengths[shard])).view(np.bool_)
        if lost := sorted(streams.keys() - bits.keys()):  # another search has deleted them
            bits |= run_shard(index, shard, lost)
            cost += int(index.lengths[shard])
        columns = {name: index.step_values(shard, name) for name in named}
        spans = tally.add(ShardConditions(index.text(shard), bits, columns))
        best = sorted([*best, *_ranked(shard, spans, limit)])[:limit]
    if cost and not unstored:
        forget_bits(index, parsed)
    matches = tuple(_match(index, shard, start, stop) for _, _, shard, start, stop in best)
    return Matches(
        query, tally.steps, tally.count, tally.matched, matches, tally.clauses(index), tally.label_shares(), cost
    )


def threshold_of(value: UnitCondition) -> tuple[float, bool]:
    """Return a threshold, and whether the condition holds above it: ``>= t`` is above the float32 before t."""
    number = to_float32(value.number)
    if value.op in (">=", "<"):
        number = np.nextafter(number, np.float32(-np.inf))
    return float(number), value.op in (">", ">=")


def key_of(value: UnitCondition) -> Key:
    """Return the key of a comparison's bits, which includes everything that they depend on."""
    return value.place, value.unit, threshold_of(value)[0]


def check_values(index: IndexFolder, query: Query) -> None:
    """Reject a query for units that the model does not have, or for numbers that are not finite as float32."""
    for value in query.values():
        index.resolve_unit(f"{value.place}[{value.unit}]")
        if not np.isfinite(to_float32(value.number)):
            raise ArgumentError(f"{value.number} is beyond the range of float32")
    for condition in query.columns():
        index.check_column(condition.name)
        is_date = condition.name == "date" and "date" not in (index.columns or ())
        for operand in condition.values:
            if isinstance(operand, str) != is_date:
                expected = 'a date in quotes, such as "2015-06"' if is_date else "a number"
                raise ArgumentError(f"{condition}: {condition.name} is compared with {expected}")
            if isinstance(operand, str):
                period_of(operand)


def make_bits(index: IndexFolder, query: Query, progress: Progress | None = None) -> tuple[int, Unstored]:
    """Rerun the corpus for bits that are not stored; return the steps run, and what could not be stored."""
    wanted = {key_of(value) for value in query.values()}
    missing = {
        shard: keys
        for shard in index.shards
        if (keys := sorted(key for key in wanted if not index.has_bits(shard, *key)))
    }
    steps, unstored = 0, Unstored()
    for shard in counted(list(missing), progress):
        packed = {key: np.packbits(mask) for key, mask in run_shard(index, shard, missing[shard]).items()}
        steps += int(index.lengths[shard])
        try:
            for key, bits in packed.items():
                _write(index.cached_bits(shard, *key), bits[None])
        except FileWriteError as error:
            if error.errno not in _READ_ONLY:
                raise
            unstored[shard] = packed
    return steps, unstored


def forget_bits(index: IndexFolder, query: Query) -> None:
    """Delete stored bits, the oldest first and the query's last, until few enough are left."""
    folder = index.folder / SEARCHED
    wanted = {key_of(value) for value in query.values()}
    needed = {index.cached_bits(shard, *key).name for shard in index.shards for key in wanted}
    stats = [(path, path.lstat()) for path in folder.iterdir()] if folder.is_dir() else []
    sizes = [(path.name in needed, stat.st_mtime_ns, max(stat.st_size, _BLOCK), path) for path, stat in stats]
    left = sum(size for _, _, size, _ in sizes)
    for _, _, size, path in sorted(sizes):
        if left <= MOST_SEARCHED:
            return
        path.unlink(missing_ok=True)
        left -= size


@torch.no_grad()
@types_of_the_weights()
def run_shard(index: IndexFolder, shard: int, keys: Sequence[Key]) -> dict[Key, Mask]:
    """Rerun a shard, and return the steps at which units are above thresholds."""
    text = index.text(shard)
    masks = {key: np.zeros(text.steps, np.bool_) for key in keys}
    for run in run_chunks(index.reader, index.items(shard), sorted({place for place, _, _ in keys})):
        for (place, unit, threshold), mask in masks.items():
            for k, start, values in run.values(place):
                at = text.starts[k] + start
                mask[at : at + len(values)] = values[:, unit] > np.float32(threshold)
    return masks


def _write(path: Path, bits: NDArray[np.uint8]) -> None:
    refuse_link(path.parent)
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        beside = free_name(path, "partial")
        with lasting(lambda: None, lambda: beside.unlink(missing_ok=True)), beside.open("wb") as file:
            np.save(file, bits)
            file.flush()
            sync(beside)
            beside.replace(path)


@dataclass(frozen=True, eq=False)
class ShardConditions:
    """Conditions at the steps of one shard, from its text and the steps at which units are above thresholds."""

    text: ShardText
    bits: Mapping[Key, Mask]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def holds(self, condition: Condition) -> Mask:
        """Return ``[M]``, whether a condition holds at each step."""
        if isinstance(condition, UnitCondition):
            above = self.bits[key_of(condition)]
            return above if threshold_of(condition)[1] else ~above
        if isinstance(condition, Named):
            return self._named(condition)
        if isinstance(condition, ColumnCondition):
            return np.asarray(np.logical_or.reduce([self._compared(condition, value) for value in condition.values]))
        parts = [self.holds(part) for part in condition.parts]
        if condition.kind == "not":
            return ~parts[0]
        joined: Any = np.logical_and if condition.kind == "and" else np.logical_or
        return np.asarray(joined.reduce(parts))

    def _compared(self, condition: ColumnCondition, value: float | str) -> Mask:
        """Return where the comparison of a column with one value holds; it never holds where the column is missing."""
        values, op = self.columns[condition.name], condition.op
        begin, end = period_of(value) if isinstance(value, str) else (value, value)
        if op in ("<", ">="):
            return np.asarray(values < begin if op == "<" else values >= begin)
        is_after = values >= end if isinstance(value, str) else values > end
        if op == ">":
            return np.asarray(is_after)
        is_known = values == values  # neither NaN nor NaT
        if op == "<=":
            return np.asarray(~is_after & is_known)
        is_in = (values >= begin) & ~is_after
        return np.asarray(~is_in & is_known if op == "!=" else is_in)

    def _named(self, condition: Named) -> Mask:
        text, is_token = self.text, condition.kind == "token"
        names, codes = (text.names, text.codes) if is_token else (text.label_names, text.label_codes)
        code = names.index(condition.text) if condition.text in names else -1
        return np.asarray(codes == code) if condition.is_equal else np.asarray(codes != code)


def spans_of(holds: Mask, first: Mask, query: Query) -> Ints:
    """Return the longest spans ``[S, 2]``, within sequences, where a condition holds, if their lengths match."""
    if not len(holds):
        return np.empty((0, 2), np.int64)
    begins = holds.copy()
    begins[1:] &= ~holds[:-1] | first[1:]
    ends = holds.copy()
    ends[:-1] &= ~holds[1:] | first[1:]
    spans = np.stack([np.flatnonzero(begins), np.flatnonzero(ends) + 1], axis=1)
    lengths = spans[:, 1] - spans[:, 0]
    return spans[(lengths >= query.shortest) & (lengths <= query.longest)]


def holds_around(counts: Ints, begins: Ints, ends: Ints, first: Ints, last: Ints, around: Around) -> Mask:
    """Return whether a condition holds at a step before or after each span, in the same sequence.

    ``counts [M + 1]`` has the number of earlier steps at which it holds; ``ends`` and ``last`` are exclusive.
    """
    if around.where == "before":
        low, high = np.maximum(begins - around.far, first), np.maximum(begins - around.near + 1, 0)
    else:
        low, high = ends - 1 + around.near, np.minimum(ends + around.far, last)
    return np.asarray(counts[high] > counts[np.minimum(low, high)])


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
        for counts in (self.holding, self.left, self.usual):
            counts += [0] * len(self.query.clauses)

    def add(self, conditions: ShardConditions) -> Ints:
        """Count one shard, and return the spans that match."""
        text = conditions.text
        self.steps += text.steps
        joint = np.ones(text.steps, np.bool_)
        for k, condition in enumerate(self.query.at):
            holds = conditions.holds(condition)
            self.holding[k] += int(np.count_nonzero(holds))
            joint = joint & holds
            self.left[k] += int(np.count_nonzero(joint))
        spans = spans_of(joint, text.first, self.query)
        self.spans += len(spans)
        steps, lengths = np.arange(text.steps), np.diff(text.starts)
        first, last = np.repeat(text.starts[:-1], lengths), np.repeat(text.starts[1:], lengths)
        for k, around in enumerate(self.query.around, len(self.query.at)):
            holds = conditions.holds(around.condition)
            self.holding[k] += int(np.count_nonzero(holds))
            counts = np.concatenate([[0], np.cumsum(holds)])
            self.usual[k] += int(np.count_nonzero(holds_around(counts, steps, steps + 1, first, last, around)))
            begins, ends = spans.T
            spans = spans[holds_around(counts, begins, ends, first[begins], last[begins], around)]
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
        clauses = []
        for k, part in enumerate(self.query.clauses):
            is_around = k >= len(self.query.at)
            before = self.left[k - 1] if k and k != len(self.query.at) else self.spans if is_around else 0
            usual = (self.usual if is_around else self.holding)[k] / max(self.steps, 1)
            lift = self.left[k] / before / usual if before and usual else float("nan")
            condition = part.condition if isinstance(part, Around) else part
            clauses.append(Clause(str(part), self.holding[k], self.left[k], lift, _value_span(index, condition)))
        return tuple(clauses)

    def label_shares(self) -> dict[str, tuple[float, float]]:
        """Return each label's share of the matched steps, and of all steps."""
        return {
            name: (self.labels[name] / max(self.matched, 1), count / max(self.steps, 1))
            for name, count in sorted(self.base.items())
            if name != NO_LABEL
        }


def _value_span(index: IndexFolder, condition: Condition) -> tuple[float, float] | None:
    """Return the lowest and the highest value of a compared unit over the corpus, if that is known."""
    if not isinstance(condition, UnitCondition) or condition.place not in index.statistics:
        return None
    known = index.statistics[condition.place]
    return float(known.bottom[condition.unit, 0]), float(known.top[condition.unit, 0])


def _ranked(shard: int, spans: Ints, limit: int) -> list[tuple[int, int, int, int, int]]:
    """Return the first spans of a shard in order of rank: the longest first, in random order if equally long."""
    lengths = spans[:, 1] - spans[:, 0]
    drawn = (scramble((shard << 40) | spans[:, 0]) >> np.uint64(1)).astype(np.int64)
    order = np.lexsort((drawn, -lengths))[:limit]
    return [(-int(lengths[k]), int(drawn[k]), shard, int(spans[k, 0]), int(spans[k, 1])) for k in order]


def _separator(index: IndexFolder, text: ShardText) -> str:
    return text.separator if index.columns is None else DATES


def _match(index: IndexFolder, shard: int, start: int, stop: int) -> SearchMatch:
    text = index.text(shard)
    sequence = int(np.searchsorted(text.starts, start, side="right")) - 1
    first = int(text.starts[sequence])
    context = Context(shard, sequence, start - first, stop - first)
    before, tokens, after = words_around(text, context)
    if index.columns is not None:
        before, after = (text.label_names[text.label_codes[start]],), ()
    return SearchMatch(context, before, tokens, after, float(stop - start), _separator(index, text))


@torch.no_grad()
def like(
    index: IndexFolder, item: CorpusItem, t: int, places: list[str], k: int, progress: Progress | bool | None = None
) -> Nearest:
    """Find the nearest states; arguments and errors are those of `Index.like`, for a sequence that was already read."""
    count = check_int("k", k)
    if not 1 <= count <= MOST_NEAREST:
        raise ArgumentError(f"k must be in 1..{MOST_NEAREST:,}, got {k}")
    step = resolve_one(t, len(item.tokens), "t")
    wanted = torch.cat([torch.from_numpy(values)[step] for values in _states(index, item, places)])
    wanted = wanted / wanted.norm().clamp_min(1e-12)
    best: list[tuple[float, int, int, int]] = []
    with reporting(progress, unit="shards") as report:
        for shard in counted(list(index.shards), report):
            best = sorted([*best, *_nearest_of_shard(index, shard, wanted, places, count)])[:count]
    matches = []
    for minus_cosine, shard, sequence, at in best:
        text, context = index.text(shard), Context(shard, sequence, at, at + 1)
        matches.append(SearchMatch(context, *words_around(text, context), -minus_cosine, _separator(index, text)))
    what = f"{shortened(item.tokens[step])} (step {step})"
    return Nearest(", ".join(places), what, tuple(matches), index.steps)


def _states(index: IndexFolder, item: CorpusItem, places: list[str]) -> list[NDArray[np.float32]]:
    runs = list(run_chunks(index.reader, [item], places))
    parts = [{start: values for run in runs for _, start, values in run.values(name)} for name in places]
    return [np.concatenate([by_start[start] for start in sorted(by_start)]) for by_start in parts]


def _nearest_of_shard(
    index: IndexFolder, shard: int, wanted: torch.Tensor, places: list[str], k: int
) -> list[tuple[float, int, int, int]]:
    """Return the nearest step of each of the k nearest sequences, as (minus the cosine, shard, sequence, step)."""
    text = index.text(shard)
    if not text.steps:
        return []
    cosines = np.full(text.steps, -np.inf, np.float32)
    for run in run_chunks(index.reader, index.items(shard), places):
        states = torch.cat([run.recorded[name].float() for name in places], dim=-1)
        of_rows = (states @ wanted / states.norm(dim=-1).clamp_min(1e-12)).numpy()
        for row, (number, start, n) in enumerate(zip(run.items, run.starts, run.lengths, strict=True)):
            at = text.starts[number] + start
            cosines[at : at + n] = of_rows[:n, row]
    highest = np.maximum.reduceat(cosines, text.starts[:-1])
    nearest = []
    for number in np.argsort(-highest, kind="stable")[:k].tolist():
        a, b = text.starts[number : number + 2]
        nearest.append((-float(highest[number]), shard, number, int(cosines[a:b].argmax())))
    return nearest
