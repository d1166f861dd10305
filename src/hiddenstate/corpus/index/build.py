"""Indexes a shard: runs its sequences for statistics, thresholds as bits, and states to resume from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import eval_twin
from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.corpus.index.lagged import LAGGED, LaggedSums
from hiddenstate.corpus.index.sequences import (
    CHECKPOINT,
    MOST_LABELS,
    NO_LABEL,
    PIECE,
    WINDOW,
    CorpusItem,
    CorpusReader,
    context_key,
    half_of,
    scramble,
)
from hiddenstate.corpus.index.statistics import CONTEXTS, EVERY, Accumulator, Chunk, Ints
from hiddenstate.corpus.shards.contents import write_table
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.errors import ArgumentError
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.names import parse_place
from hiddenstate.structure.sizes import Sizes
from hiddenstate.tracing.trace import Trace

ROWS_TOGETHER = 64  # for a layer that reads forward
WORDS_TOGETHER = 6400  # for a bidirectional layer
COLUMNS, TIMES, PLACES = "columns.npy", "times.npy", "places.npy"  # of the steps of a series, and of its parts
ABOVE, EQUAL = "above.npy", "equal.npy"  # a shard's files: rows of bits, and `is_equal`, for all places and thresholds

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ChunkRun:
    """Some steps of some sequences, run."""

    items: Sequence[int]  # the index of each row's sequence
    starts: Sequence[int]  # the first step of each row in its sequence
    lengths: Sequence[int]  # the number of steps of each row
    recorded: Mapping[str, Tensor]  # [T, N, U] by place
    state: AnyState | None  # after the last step, if the layer reads forward and carries its state

    def values(self, place: str) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """Yield each row's sequence, its first step there, and the values ``[T, U]`` of a place at its steps."""
        values = self.recorded[place].float().numpy()
        for row, (k, start, n) in enumerate(zip(self.items, self.starts, self.lengths, strict=True)):
            yield k, start, values[:n, row]


def run_chunks(reader: CorpusReader, items: Sequence[CorpusItem], places: Sequence[str]) -> Iterator[ChunkRun]:
    """Run sequences, many at once, and record some places."""
    lstm = eval_twin(reader.lstm)
    parts = [(k, *part) for k, item in enumerate(items) for part in reader.pieces(item)]
    order = sorted(range(len(parts)), key=lambda p: (-len(parts[p][2].tokens), p))
    at = 0
    while at < len(order):
        longest = len(parts[order[at]][2].tokens)
        together = ROWS_TOGETHER
        if reader.window or lstm.bidirectional:
            together = max(1, WORDS_TOGETHER // (longest * (reader.window or 1)))
        rows = [parts[p] for p in order[at : at + together]]
        at += together
        numbers, begins, pieces = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
        if reader.window or lstm.bidirectional:
            lengths = [len(piece.tokens) for piece in pieces]
            recorded = (
                read_windows(reader, lstm, pieces, places)
                if reader.window
                else traced(lstm, reader.inputs(pieces, 0, longest), None, places, torch.tensor(lengths)).values
            )
            yield ChunkRun(numbers, begins, lengths, recorded, None)
            continue
        state = _initial_state(lstm, pieces)
        for start in range(0, longest, WINDOW):
            count = sum(len(piece.tokens) > start for piece in pieces)  # the longest come first
            pieces = pieces[:count]
            lengths = [min(len(piece.tokens) - start, WINDOW) for piece in pieces]
            x = reader.inputs(pieces, start, start + WINDOW)
            state = None if state is None else _first_rows(state, count)
            trace = traced(lstm, x, state, places, None if len({*lengths}) == 1 else torch.tensor(lengths))
            state = trace.state
            starts = [begin + start for begin in begins[:count]]
            yield ChunkRun(numbers[:count], starts, lengths, trace.values, state)


def read_windows(
    reader: CorpusReader, lstm: Recurrent[Any, Any], pieces: Sequence[CorpusItem], places: Sequence[str]
) -> Mapping[str, Tensor]:
    """Return the values at the end of the window that ends at each step, the longest pieces first."""
    T, N, W = len(pieces[0].tokens), len(pieces), reader.window
    assert W is not None
    windows = reader.inputs(pieces, 0, T + W - 1).unfold(0, W, 1)  # [T, N, C, W]
    values = traced(lstm, windows.permute(3, 0, 1, 2).flatten(1, 2), None, places).values
    return {name: values[name][-1].unflatten(0, (T, N)) for name in places}


def _initial_state(lstm: Recurrent[Any, Any], pieces: Sequence[CorpusItem]) -> AnyState | None:
    """Return the state before some pieces; None if it is zero."""
    if pieces[0].states is None:
        return None
    parts = zip(*(piece.states or () for piece in pieces), strict=True)
    return lstm.sizes.kind.as_given([torch.stack([state[:, 0] for state in part], 1) for part in parts])


def _first_rows(state: AnyState, count: int) -> AnyState:
    return map_state(lambda part: part[:, :count].contiguous(), state)


def traced(
    lstm: Recurrent[Any, Any], x: Tensor, state: AnyState | None, places: Sequence[str], lengths: Tensor | None = None
) -> Trace:
    """Run a layer on ``x [T, N, C]``, and record some places."""
    rows_first = x.transpose(0, 1) if lstm.batch_first else x
    return lstm.trace(rows_first, state, lengths=lengths, keep=list(places), limit=None)


@dataclass(frozen=True, eq=False)
class IndexShards:
    """The task of indexing a shard: a folder ``00000`` with statistics of places, and bits of thresholds of some."""

    reader: CorpusReader
    places: tuple[str, ...]
    thresholds: Mapping[str, tuple[float, ...]]

    def name(self, shard: Shard) -> str:
        """The name of a shard's folder."""
        return f"{shard.number:05}"

    @torch.no_grad()
    def __call__(self, shard: Shard, place: Path) -> None:
        """Write the index of a shard."""
        items = [item for item in self.reader.items(shard) if item.tokens]
        work = _Shard(self, shard.number, items)
        for chunk in run_chunks(self.reader, items, self.places):
            work.add(chunk)
        place.mkdir()
        work.write(place)


class _Shard:
    """The index of a shard while it is being built."""

    def __init__(self, task: IndexShards, number: int, items: Sequence[CorpusItem]) -> None:
        self.task, self.number, self.items = task, number, items
        lengths = np.array([len(item.tokens) for item in items], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.step_halves = np.repeat(half_of(number, np.arange(len(items), dtype=np.int64)), lengths)
        self.states: list[tuple[int, list[Tensor]]] = []
        covariates = task.reader.covariates
        if covariates is not None:
            self.row_of_step = np.repeat(np.array([item.place[0] for item in items], np.int64), lengths)
            self.time_of_step = np.concatenate([item.place[1] + np.arange(len(item.tokens)) for item in items])
            self.step_halves = (self.time_of_step >= covariates.half).astype(np.int64)
            self.states = [
                ((k << 16) | (p * PIECE // CHECKPOINT), list(parts))
                for k, item in enumerate(items)
                for p, parts in enumerate(zip(*(part.unbind(1) for part in item.states or ()), strict=True))
            ]
        windows = -(-lengths // WINDOW)
        self.window_starts = np.concatenate([[0], np.cumsum(windows)]).astype(np.int64)
        inside = np.arange(windows.sum()) - np.repeat(self.window_starts[:-1], windows)
        self.keys: Ints = np.asarray(context_key(number, np.repeat(np.arange(len(items)), windows), inside), np.int64)
        self._number_labels()
        self._number_tokens()
        sizes = task.reader.lstm.sizes
        self.kind = sizes.kind
        self.places = {name: parse_place(name, *sizes.layers) for name in task.places}
        groups = len(self.labels) + 1
        self.accumulators = {
            name: Accumulator(
                sizes.units(place.quantity),
                value_bounds(sizes, place.quantity),
                place.quantity == sizes.kind.keeper,
                groups,
                len(task.reader.common),
                len(self.keys),
            )
            for name, place in self.places.items()
        }
        self.bits = {
            (name, threshold): BitCollector(int(self.starts[-1]), sizes.units(self.places[name].quantity), threshold)
            for name, thresholds in task.thresholds.items()
            for threshold in thresholds
        }
        self.lagged = {name: LaggedSums(sizes.units(place.quantity)) for name, place in self.places.items()}
        self.memory = torch.empty(0, dtype=torch.float32)

    def _number_labels(self) -> None:
        flat = [label for item in self.items for label in item.labels]
        self.labels = tuple(sorted({*flat} - {NO_LABEL}))
        if len(self.labels) > MOST_LABELS:
            raise ArgumentError(
                f"a shard has {len(self.labels):,} different labels, but at most {MOST_LABELS} are allowed"
            )
        number = {label: k for k, label in enumerate(self.labels)} | {NO_LABEL: len(self.labels)}
        self.label_codes = np.fromiter(map(number.__getitem__, flat), np.int64, len(flat))
        groups = self.step_halves * (len(self.labels) + 1) + self.label_codes
        counted = np.bincount(groups, minlength=2 * (len(self.labels) + 1)).reshape(2, -1)
        self.count, self.label_count = counted.sum(1), counted[:, :-1]

    def _number_tokens(self) -> None:
        common, folded = self.task.reader.common, self.task.reader.folded
        number = {token: k for k, token in enumerate(common)}
        self.token_codes = np.fromiter(
            (number.get(folded(token), -1) for item in self.items for token in item.tokens),
            np.int64,
            int(self.starts[-1]),
        )
        # Steps are sampled at random, because taking regular steps of each sequence would include too many first steps.
        steps = (self.number << 40) | np.arange(self.starts[-1])
        self.is_sampled = scramble(steps) % np.uint64(EVERY) == 0
        sampled = self.token_codes[self.is_sampled]
        self.token_count = np.bincount(sampled[sampled >= 0], minlength=len(common)).astype(np.int64)

    def add(self, run: ChunkRun) -> None:
        """Take some steps of some sequences."""
        T, N = max(run.lengths), len(run.items)
        lengths = np.array(run.lengths)
        begins = self.starts[run.items] + run.starts
        steps = np.concatenate([begin + np.arange(n) for begin, n in zip(begins, lengths, strict=True)])
        rows = np.concatenate([np.arange(n) * N + row for row, n in enumerate(lengths)])
        count = len(self.labels) + 1
        groups = self.step_halves[steps] * count + self.label_codes[steps]
        order = np.argsort(groups, kind="stable")
        steps, rows, groups = steps[order], rows[order], groups[order]
        bounds = np.searchsorted(groups, np.arange(2 * count + 1)).tolist()
        sample = np.flatnonzero(self.is_sampled[steps])
        chunk = Chunk(
            rows=torch.from_numpy(rows),
            first=bounds[count],
            groups=[(group, a, b) for group, (a, b) in enumerate(pairwise(bounds)) if a < b],
            sample=torch.from_numpy(sample),
            tokens=_one_hot(self.token_codes[steps[sample]], len(self.token_count)),
            windows=list(self._windows(run, T, lengths)),
            memory=self.memory,
        )
        covariates = self.task.reader.covariates
        lagged = None
        if covariates is not None:
            lagged = covariates.at(self.row_of_step[steps], self.time_of_step[steps], chunk.first)
        for name, accumulator in self.accumulators.items():
            values = run.recorded[name][:T]
            flat = accumulator.add(values, chunk)
            if lagged is not None:
                self.lagged[name].add(flat, lagged)
            for threshold in self.task.thresholds.get(name, ()):
                self.bits[name, threshold].add(flat, steps)
        if run.state is not None:
            for row, (k, start, n) in enumerate(zip(run.items, run.starts, run.lengths, strict=True)):
                at = start + WINDOW
                is_begin = self.items[k].states is not None and at % PIECE == 0  # whose states are there already
                if at % CHECKPOINT == 0 and not is_begin and n == WINDOW and len(self.items[k].tokens) > at:
                    parts = self.kind.parts_of(run.state)
                    self.states.append(((k << 16) | (at // CHECKPOINT), [part[:, row].clone() for part in parts]))

    def _windows(
        self, run: ChunkRun, T: int, lengths: NDArray[np.int64]
    ) -> Iterator[tuple[Tensor, slice, slice, tuple[Tensor, Tensor]]]:
        """Yield the contexts of a run, grouped by their steps; the longest rows come first."""
        for start in range(0, T, WINDOW):
            n = int((lengths > start).sum())
            stop = min(start + WINDOW, T)
            numbers = self.window_starts[run.items[:n]] + (np.array(run.starts[:n]) + start) // WINDOW
            t, row = np.nonzero(np.arange(start, stop)[:, None] >= lengths[:n])
            beyond = torch.from_numpy(t + start), torch.from_numpy(row)
            yield torch.from_numpy(numbers), slice(0, n), slice(start, stop), beyond

    def write(self, folder: Path) -> None:
        """Write everything."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, accumulator in self.accumulators.items():
            statistics = accumulator.finish(self.keys, self.labels, self.count, self.label_count, self.token_count)
            arrays |= {f"{name}/{key}": value for key, value in statistics.to_arrays().items()}
        order = np.argsort(scramble(self.keys), kind="stable")[:CONTEXTS]
        np.savez(folder / "statistics.npz", random=self.keys[order], lengths=self.starts[-1:], **arrays)  # type: ignore[arg-type]
        if self.bits:
            np.save(folder / ABOVE, np.concatenate([bits.finish() for bits in self.bits.values()]))
            np.save(folder / EQUAL, np.concatenate([bits.is_equal for bits in self.bits.values()]))
        np.save(folder / "starts.npy", self.starts)
        tokens = [token for item in self.items for token in item.tokens]
        labels = [label for item in self.items for label in item.labels]
        write_table(folder / "tokens.parquet", {"token": tokens, "label": labels}, {"sequences": len(self.items)})
        if self.states:
            self.states.sort(key=lambda state: state[0])
            np.save(folder / "state_keys.npy", np.array([key for key, _ in self.states]))
            for k, name in enumerate(self.kind.carried):
                np.save(
                    folder / f"state_{name}.npy", torch.stack([state[k] for _, state in self.states]).float().numpy()
                )
        covariates = self.task.reader.covariates
        if covariates is not None:
            sums = {
                f"{name}/{key}": part for name, lagged in self.lagged.items() for key, part in lagged.finish().items()
            }
            np.savez(folder / LAGGED, **sums)  # type: ignore[arg-type]
            np.save(folder / PLACES, np.array([item.place for item in self.items], np.int64))
            np.save(folder / COLUMNS, covariates.columns[self.time_of_step, self.row_of_step])
            if covariates.times is not None:
                np.save(folder / TIMES, covariates.times[self.time_of_step].astype("M8[ns]").astype(np.int64))
        if self.items and self.items[0].data is not None:
            np.save(folder / "inputs.npy", np.concatenate([item.data for item in self.items if item.data is not None]))


def value_bounds(sizes: Sizes, quantity: str) -> tuple[float, float] | None:
    """Return the bounds of a gate or state in a layer that starts from the zero state; None if it is unbounded."""
    gate = sizes.kind.gate_by_name.get(quantity)
    if gate is not None:
        return gate.bounds
    return (-1.0, 1.0) if quantity == "h" and not sizes.proj_size else None


def _one_hot(codes: NDArray[np.int64], count: int) -> Tensor:
    """Return float32 ``[count, M]``, 1 where a step has a code; negative codes mean none."""
    ones = np.zeros((count, len(codes)), np.float32)
    known = np.flatnonzero(codes >= 0)
    ones[codes[known], known] = 1
    return torch.from_numpy(ones)


def to_float32(number: float) -> np.float32:
    """Return a number as float32: infinite, without a warning, if it is beyond the range."""
    with np.errstate(over="ignore"):
        return np.float32(number)


class BitCollector:
    """Collects float32 comparisons with thresholds; where ``is_equal``, ``>`` and ``>=`` differ."""

    def __init__(self, steps: int, units: int, threshold: float) -> None:
        self._by_step = np.zeros((steps, -(-units // 8)), np.uint8)
        self._units, self._threshold = units, threshold
        self.is_equal = np.zeros(units, np.uint8)

    def add(self, flat: Tensor, steps: NDArray[np.int64]) -> None:
        """Take the values ``[m, U]`` of some steps of the shard."""
        above = torch.gt(flat, self._threshold).numpy()
        self.is_equal |= (flat == self._threshold).any(0).numpy()
        self._by_step[steps] = np.packbits(above, axis=-1)

    def finish(self) -> Bytes:
        """Return the bits by unit, ``[U, ceil(M / 8)]``."""
        by_unit = np.empty((self._by_step.shape[1] * 8, -(-len(self._by_step) // 8)), np.uint8)
        for k in range(self._by_step.shape[1]):
            eight = np.unpackbits(self._by_step[:, k : k + 1], axis=1)
            by_unit[8 * k : 8 * k + 8] = np.packbits(np.ascontiguousarray(eight.T), axis=1)
        return by_unit[: self._units]
