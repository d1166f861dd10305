"""An index in its folder: its statistics, tokens and bits. Reruns any part of the corpus."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.modes import eval_twin, types_of_the_weights
from hiddenstate.base.reading import check_zip, reading
from hiddenstate.base.validation import AnyState
from hiddenstate.corpus.index.build import (
    ABOVE,
    COLUMNS,
    EQUAL,
    PLACES,
    TIMES,
    read_windows,
    run_chunks,
    traced,
    value_bounds,
)
from hiddenstate.corpus.index.lagged import TIME_PARTS
from hiddenstate.corpus.index.sequences import (
    CHECKPOINT,
    PIECE,
    WINDOW,
    Context,
    CorpusItem,
    CorpusReader,
    context_of,
    cut_part,
)
from hiddenstate.corpus.index.statistics import BINS, CONTEXTS, Statistics, bin_edges
from hiddenstate.corpus.shards.plan import open_parquet
from hiddenstate.corpus.shards.workers import CallsInOrder
from hiddenstate.errors import FileFormatError, NameUnknownError
from hiddenstate.structure.addresses import parse_address
from hiddenstate.structure.names import Place, parse_place

STATISTICS = "statistics.npz"
SEARCHED = "searched"  # the folder of the bits that searches store
MOST_THRESHOLDS = 64  # of a place
MOST_PARQUET_STEPS = 1 << 27  # maximum number of steps in a shard
MOST_KEPT_STEPS = 1 << 28  # maximum number of steps whose tokens are kept in memory, at about 9 bytes each
READERS, SHARDS_TOGETHER = 8, 32  # number of threads that read ahead, and of shards that each reads at a time

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '\|u1', 'fortran_order': False, "
    rb"'shape': \((?P<rows>[0-9]{1,12}),(?: (?P<columns>[0-9]{1,12}))?\), \} *\n",
    re.DOTALL,
)


@dataclass(frozen=True, eq=False)
class ShardText:
    """The tokens and labels of a shard, as codes of distinct texts."""

    names: tuple[str, ...]
    codes: NDArray[np.int32]
    label_names: tuple[str, ...]
    label_codes: NDArray[np.int32]
    starts: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.codes)

    def item(self, sequence: int, data: Values | None = None) -> CorpusItem:
        """Return a sequence."""
        a, b = self.starts[sequence : sequence + 2]
        tokens = tuple(self.names[k] for k in self.codes[a:b])
        return CorpusItem(tokens, tuple(self.label_names[k] for k in self.label_codes[a:b]), data)

    @cached_property
    def first(self) -> NDArray[np.bool_]:
        """``[M]``, whether a sequence begins at a step."""
        begins = np.zeros(self.steps, np.bool_)
        begins[self.starts[:-1]] = True
        return begins

    @cached_property
    def separator(self) -> str:
        """The separator between the corpus's tokens in a text; empty for characters."""
        return "" if all(len(name) == 1 for name in self.names) else " "


@dataclass(frozen=True, eq=False)
class IndexFolder:
    """An index in its folder."""

    folder: Path
    reader: CorpusReader
    about: Mapping[str, Any]  # the manifest
    statistics: Mapping[str, Statistics]  # of each place
    random: NDArray[np.int64]  # contexts drawn at random
    lengths: NDArray[np.int64]  # the number of steps of each shard
    memory: dict[Any, Any] = field(default_factory=dict)  # cached texts of shards

    @property
    def shards(self) -> range:
        """The numbers of the shards."""
        return range(len(self.about["shards"]))

    @property
    def steps(self) -> int:
        """The number of steps of the corpus."""
        return next(iter(self.statistics.values())).steps

    @cached_property
    def thresholds(self) -> dict[str, tuple[float, ...]]:
        """The thresholds whose bits were stored with the index, by place."""
        return {name: tuple(values) for name, values in self.about["thresholds"].items()}

    @cached_property
    def _rows(self) -> dict[tuple[str, float], int]:
        """The first row of each place and threshold in the files of bits."""
        keys = [(name, value) for name, values in self.thresholds.items() for value in values]
        sizes = self.reader.lstm.sizes
        counts = [sizes.units(parse_place(name, *sizes.layers).quantity) for name, _ in keys]
        return dict(zip(keys, np.cumsum([0, *counts]).tolist(), strict=False))

    def place(self, name: str) -> Place:
        """Return a place for which the index has statistics; raise NameUnknownError for others."""
        place = parse_place(name, *self.reader.lstm.sizes.layers)
        if name not in self.statistics:
            raise NameUnknownError(f"the index has no {name}; it was made with places {' '.join(self.statistics)}")
        return place

    def resolve_unit(self, address: str) -> tuple[str, int]:
        """Return the place and the unit of an address such as ``l1.c[125]``; raise NameUnknownError for others."""
        parsed = parse_address(address)
        sizes = self.reader.lstm.sizes
        count = sizes.units(parse_place(parsed.place, *sizes.layers).quantity)
        if not isinstance(parsed.unit, int) or parsed.t is not None or parsed.row is not None:
            raise NameUnknownError(f"{address!r} does not name one unit: write a place and a unit, such as 'l0.h[5]'")
        if not 0 <= parsed.unit < count:
            raise NameUnknownError(f"{parsed.place} has the units 0 to {count - 1}, got {parsed.unit}")
        return parsed.place, parsed.unit

    def edges(self, name: str) -> NDArray[np.float64]:
        """Return the edges of a place's histograms."""
        return bin_edges(value_bounds(self.reader.lstm.sizes, self.place(name).quantity))

    def path(self, shard: int) -> Path:
        """Return the folder of a shard."""
        return self.folder / f"{shard:05}"

    def text(self, shard: int) -> ShardText:
        """Return the tokens and labels of a shard."""
        key = "text", shard
        text: ShardText | None = self.memory.get(key)
        if text is None:
            text = read_text(self.path(shard))
            if self.memory.get("steps", 0) + text.steps > MOST_KEPT_STEPS:
                self.memory.clear()
            self.memory[key] = text
            self.memory["steps"] = self.memory.get("steps", 0) + text.steps
        return text

    def item(self, shard: int, sequence: int) -> CorpusItem:
        """Return a sequence of a shard, with what is needed to run it."""
        text = self.text(shard)
        path = self.path(shard) / "inputs.npy"
        if not path.is_file():
            return text.item(sequence)
        a, b = text.starts[sequence : sequence + 2]
        lead = self.reader.lead
        item = text.item(sequence, np.array(_mapped(path, None, None)[a + lead * sequence : b + lead * (sequence + 1)]))
        return item if self.columns is None else item._replace(states=self._states_of_pieces(shard, sequence, b - a))

    def items(self, shard: int) -> list[CorpusItem]:
        """Return every sequence of a shard."""
        return [self.item(shard, sequence) for sequence in range(len(self.text(shard).starts) - 1)]

    def context(self, key: int) -> Context:
        """Return the context that a key of the statistics stands for."""
        shard, sequence, window = context_of(int(key))
        starts = self.text(shard).starts if shard in self.shards else ()
        if sequence + 1 >= len(starts) or window * WINDOW >= starts[sequence + 1] - starts[sequence]:
            raise FileFormatError(f"{self.folder / STATISTICS} is damaged: the corpus has no context {key}")
        length = int(starts[sequence + 1] - starts[sequence])
        return Context(shard, sequence, window * WINDOW, min((window + 1) * WINDOW, length))

    @torch.no_grad()
    @types_of_the_weights()
    def values(self, context: Context, places: Sequence[str]) -> dict[str, Values]:
        """Rerun steps, from the last stored state or all of them, and return the values ``[T, U]``."""
        item, lstm = self.item(context.shard, context.sequence), eval_twin(self.reader.lstm)
        if self.reader.window:
            part = cut_part(item, context.start, context.stop, self.reader.lead)
            values = read_windows(self.reader, lstm, [part], places)
            return {name: values[name][:, 0].float().numpy() for name in places}
        start, state = 0, None
        if not lstm.bidirectional:
            start, state = self._state_before(context)
        stop = len(item.tokens) if lstm.bidirectional else context.stop
        trace = traced(lstm, self.reader.inputs([item], start, stop), state, places)
        inside = slice(context.start - start, context.stop - start)
        return {name: trace.values[name][inside, 0].float().numpy() for name in places}

    @torch.no_grad()
    @types_of_the_weights()
    def run(self, contexts: Sequence[Context], places: Sequence[str]) -> list[dict[str, Values]]:
        """Rerun whole sequences, many at once; the results equal those of `values`."""
        items = [self.item(context.shard, context.sequence) for context in contexts]
        parts: list[dict[str, dict[int, Values]]] = [{name: {} for name in places} for _ in items]
        for run in run_chunks(self.reader, items, places):
            for name in places:
                for k, start, values in run.values(name):
                    parts[k][name][start] = values
        return [
            {
                name: np.concatenate([values[start] for start in sorted(values)])[context.start : context.stop]
                for name, values in by_place.items()
            }
            for by_place, context in zip(parts, contexts, strict=True)
        ]

    @torch.no_grad()
    def span_input(self, context: Context) -> tuple[Tensor, AnyState | None]:
        """Return what a series' layer reads from a multiple of 256 on, by steps or windows, and its state."""
        reader, (shard, sequence, start, stop) = self.reader, context
        first = int(self.text(shard).starts[sequence]) + reader.lead * sequence
        data = np.array(_mapped(self.path(shard) / "inputs.npy", None, 2)[first + start : first + stop + reader.lead])
        x = reader.inputs([CorpusItem((), (), data)], 0, len(data))
        if reader.window:
            return x[:, 0].unfold(0, reader.window, 1).permute(2, 0, 1), None
        return x, self._state_before(context)[1]

    def parts(self, shard: int) -> NDArray[np.int64]:
        """Return the row of each part of a series in a shard, and its first step there, ``[sequences, 2]``."""
        places = np.array(_mapped(self.path(shard) / PLACES, np.int64, 2))
        if places.shape != (len(self.text(shard).starts) - 1, 2):
            raise FileFormatError(f"{self.path(shard) / PLACES} does not match the parts of the shard")
        return places

    def _state_before(self, context: Context) -> tuple[int, AnyState | None]:
        """Return the last step at or before the start of a context whose state was stored, and that state."""
        number = context.start // CHECKPOINT
        if not number and self.columns is None:
            return 0, None
        states = self._stored_states(context.shard, context.sequence, [number])
        if states is None:
            return 0, None
        return number * CHECKPOINT, self.reader.lstm.sizes.kind.as_given([part[:, 0, None] for part in states])

    def _states_of_pieces(self, shard: int, sequence: int, steps: int) -> tuple[Tensor, ...] | None:
        """Return the states before every piece of a part of a series; None if it is read from the zero state."""
        return self._stored_states(shard, sequence, range(0, -(-steps // CHECKPOINT), PIECE // CHECKPOINT))

    def _stored_states(self, shard: int, sequence: int, numbers: Sequence[int]) -> tuple[Tensor, ...] | None:
        """Return the states ``[L, n, ...]`` before multiples of `CHECKPOINT` steps; None if a first one is zero."""
        keys = self.path(shard) / "state_keys.npy"
        if not keys.is_file():
            return None
        stored = _mapped(keys, np.int64, 1)
        wanted = (sequence << 16) | np.array(numbers, np.int64)
        at = np.searchsorted(stored, wanted)
        missing = (at >= len(stored)) | (stored[np.minimum(at, len(stored) - 1)] != wanted)
        if missing.any():
            if not numbers[0]:
                return None
            raise FileFormatError(f"{keys}: the state of step {numbers[int(missing.argmax())] * CHECKPOINT} is missing")
        like = next(iter(self.reader.lstm.state_dict().values()))
        dtype, parts = like.dtype if like.is_floating_point() else torch.float32, []
        for name in self.reader.lstm.sizes.kind.carried:
            states = _mapped(keys.with_name(f"state_{name}.npy"), np.float32, 3)
            if len(states) != len(stored):
                raise FileFormatError(f"{keys}: it has {len(stored)} states, but there are {len(states)} of {name}")
            parts.append(torch.from_numpy(np.array(states[at])).transpose(0, 1).to(dtype))
        return tuple(parts)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns of a series whose values are stored; None for other corpora."""
        about = self.about.get("covariates")
        return None if about is None else tuple(about["columns"])

    def step_values(self, shard: int, name: str) -> NDArray[Any]:
        """Return the values ``[M]`` of a column, or of a part of the calendar, at the steps of a shard."""
        columns, steps = self.columns or (), int(self.lengths[shard])
        is_column = name in columns
        path = self.path(shard) / (COLUMNS if is_column else TIMES)
        stored = _mapped(path, np.float64 if is_column else np.int64, 2 if is_column else 1)
        if stored.shape != ((steps, len(columns)) if is_column else (steps,)):
            raise FileFormatError(f"{path} has shape {[*stored.shape]}, which does not match {steps} steps")
        if is_column:
            return np.array(stored[:, columns.index(name)])
        return np.asarray(TIME_PARTS[name](np.array(stored).view("M8[ns]")))

    def check_column(self, name: str) -> None:
        """Raise NameUnknownError if there is no such column, and no such part of the calendar."""
        has_times = self.columns is not None and self.about["covariates"]["dates"]
        if name not in (*(self.columns or ()), *(TIME_PARTS if has_times else ())):
            there = "it is not an index of a series" if self.columns is None else f"it has {', '.join(self.columns)}"
            calendar = f", and of its dates {', '.join(TIME_PARTS)}" if has_times else ""
            raise NameUnknownError(f"the index in {self.folder} has no column {name!r}: {there}{calendar}")

    def has_bits(self, shard: int, place: str, unit: int, threshold: float) -> bool:
        """Whether `bits` are stored."""
        return self._stored(shard, place, unit, threshold) is not None

    def bits(self, shard: int, place: str, unit: int, threshold: float) -> Mask | None:
        """Return ``[M]``, whether a unit is above a threshold at each step of a shard; None if that was not stored."""
        stored = self._stored(shard, place, unit, threshold)
        if stored is None:
            return None
        path, row = stored
        steps = int(self.lengths[shard])
        try:
            packed = np.frombuffer(read_row(path, row), np.uint8)
        except FileNotFoundError:
            if path.parent.name != SEARCHED:
                raise
            return None  # another search has deleted it
        if len(packed) != -(-steps // 8):
            raise FileFormatError(f"{path} is damaged: its bits do not match the number of steps")
        return np.unpackbits(packed, count=steps).view(np.bool_)

    def bits_of_shards(self, place: str, unit: int, threshold: float) -> Iterator[Mask | None]:
        """Yield `bits` of every shard. Threads read ahead, because files that are not cached take a while to read."""

        def read(shards: Sequence[int]) -> list[Mask | None]:
            return [self.bits(shard, place, unit, threshold) for shard in shards]

        with ThreadPoolExecutor(READERS) as pool:
            calls = CallsInOrder[list[Mask | None]](pool, 2 * READERS)
            for k in self.shards[::SHARDS_TOGETHER]:
                calls.submit(read, self.shards[k : k + SHARDS_TOGETHER])
                yield from chain.from_iterable(calls.finished(wait=False))
            yield from chain.from_iterable(calls.finished(wait=True))

    def _stored(self, shard: int, place: str, unit: int, threshold: float) -> tuple[Path, int] | None:
        """Return the file and the row of a unit's bits, if they are stored."""
        row = self._rows.get((place, threshold))
        if row is not None:
            return self.path(shard) / ABOVE, row + unit
        row = self._rows.get((place, float(np.nextafter(np.float32(threshold), np.float32(np.inf)))))
        if row is not None and read_row(self.path(shard) / EQUAL, row + unit) == b"\0":
            return self.path(shard) / ABOVE, row + unit  # the unit never has exactly that value
        path = self.cached_bits(shard, place, unit, threshold)
        return (path, 0) if path.is_file() else None

    def cached_bits(self, shard: int, place: str, unit: int, threshold: float) -> Path:
        """Return the file of bits that a search has stored."""
        return self.folder / SEARCHED / f"{shard:05}.{place}.{unit}.{np.float32(threshold)!s}.npy"

    def contexts(self) -> Iterator[Context]:
        """Yield every sequence of the corpus."""
        for shard in self.shards:
            starts = self.text(shard).starts
            for sequence, length in enumerate(np.diff(starts).tolist()):
                yield Context(shard, sequence, 0, length)


class Merged(NamedTuple):
    """The statistics of each place, random contexts, and the number of steps of each shard."""

    places: dict[str, Statistics]
    random: NDArray[np.int64]
    lengths: NDArray[np.int64]


def read_statistics(path: Path) -> Merged:
    """Return the content of a file of statistics, for one shard or for all."""
    with reading(path):
        check_zip(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file.items())
        random, lengths = arrays.pop("random"), arrays.pop("lengths")
        by_place: dict[str, dict[str, NDArray[Any]]] = {}
        for name, value in arrays.items():
            place, _, key = name.partition("/")
            by_place.setdefault(place, {})[key] = value
        places = {place: Statistics.from_arrays(parts) for place, parts in by_place.items()}
        return Merged(places, random, lengths)


def _mapped(path: Path, dtype: Any, dimensions: int | None) -> NDArray[Any]:
    """Map an array file into memory."""
    with reading(path):
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if (dtype is not None and array.dtype != dtype) or (dimensions is not None and array.ndim != dimensions):
            raise FileFormatError(f"expected {dimensions} dimensions of {dtype}, got {array.ndim} of {array.dtype}")
        return array


def read_row(path: Path, row: int) -> bytes:
    """Return one row, or element, of an array file; mapping thousands of files takes ten times as long."""
    with reading(path), path.open("rb", buffering=0) as file:
        head = _HEAD.match(file.read(192))
        if head is None:
            raise FileFormatError("it is not an array of bytes")
        rows, start = int(head["rows"]), 10 + int.from_bytes(head["length"], "little")
        width = int(head["columns"] or 1)
        if start + rows * width != os.fstat(file.fileno()).st_size or not 0 <= row < rows:
            raise FileFormatError(f"its length does not fit its header, or it has no row {row}")
        file.seek(start + row * width)
        return file.read(width)


def check_manifest(about: Mapping[str, Any], reader: CorpusReader, merged: Merged) -> None:
    """Check that a manifest describes an index with this model and these statistics. Call it inside `reading`."""
    shards, thresholds = about.get("shards"), about.get("thresholds")
    if not isinstance(shards, list) or [*map(type, shards)] != [dict] * len(merged.lengths):
        raise FileFormatError(f"{STATISTICS} has the statistics of other shards")
    if about.get("places") != [*merged.places]:
        raise FileFormatError(f"{STATISTICS} has the statistics of other places")
    if about.get("sizes") != asdict(reader.lstm.sizes):
        raise FileFormatError("the model has different sizes")
    sizes = reader.lstm.sizes
    for name, known in merged.places.items():
        quantity = parse_place(name, *sizes.layers).quantity
        _check_arrays(known, sizes.units(quantity), len(reader.common), is_keeping=quantity == sizes.kind.keeper)
    _check_covariates(about.get("covariates"))
    if any(numbers.ndim != 1 or numbers.dtype != np.int64 for numbers in (merged.random, merged.lengths)):
        raise FileFormatError(f"{STATISTICS} has no numbers of contexts or steps")
    if not isinstance(thresholds, dict) or not all(
        name in merged.places and isinstance(values, list) and len(values) <= MOST_THRESHOLDS and _are_finite(values)
        for name, values in thresholds.items()
    ):
        raise FileFormatError("thresholds must be lists of numbers, by place")


def _check_covariates(about: Any) -> None:
    """Check what a manifest says about the covariates of a series. Call it inside `reading`."""
    if about is None:
        return
    kinds = {"columns": str, "clocks": str, "lags": int, "shifts": int}
    for name, kind in kinds.items():
        if not isinstance(about[name], list) or not all(type(part) is kind for part in about[name]):
            raise FileFormatError(f"{name} of covariates must be a list of {kind.__name__}")
    if not about["lags"] or type(about["half"]) is not int or type(about["dates"]) is not bool:
        raise FileFormatError("covariates must have lags, and the first step of the second half")


def _check_arrays(known: Statistics, units: int, tokens: int, *, is_keeping: bool) -> None:
    """Check the shapes and types of statistics of a place; the letters are those of `Statistics`."""
    K = len(known.labels)
    shapes = {
        "count": (2,),
        "means": (2, units),
        "spreads": (2, units),
        "logarithm": (units if is_keeping else 0,),
        "histogram": (units, BINS),
        "label_count": (2, K),
        "label_spreads": (2, K, units),
        "token_count": (tokens,),
        "token_total": (tokens, units),
        **dict.fromkeys(("top", "top_key", "bottom", "bottom_key"), (units, CONTEXTS)),
    }
    arrays = known.to_arrays()
    for name, shape in shapes.items():
        wide = name in ("means", "spreads", "logarithm", "label_spreads", "token_total")
        dtype = np.dtype(np.float32 if name in ("top", "bottom") else np.float64 if wide else np.int64)
        value = arrays[name]
        if value.shape != shape or value.dtype != dtype:
            raise FileFormatError(
                f"{STATISTICS} has {name} of {value.dtype} {list(value.shape)}, expected {dtype} {list(shape)}"
            )


def _are_finite(values: Sequence[Any]) -> bool:
    return all(isinstance(value, float) and np.isfinite(value) for value in values)


def read_text(folder: Path) -> ShardText:
    """Return the tokens and labels of a shard, from its folder."""
    starts = np.array(_mapped(folder / "starts.npy", np.int64, 1))
    path = folder / "tokens.parquet"
    with reading(path):
        with open_parquet(path, read_dictionary=["token", "label"]) as file:
            if file.metadata.num_rows > MOST_PARQUET_STEPS or file.metadata.num_rows != starts[-1]:
                raise FileFormatError(f"{file.metadata.num_rows:,} steps do not match starts.npy")
            table = file.read(columns=["token", "label"])
        columns: list[Any] = []
        for name in ("token", "label"):
            column = table.column(name).unify_dictionaries().combine_chunks()
            chunk = column.chunk(0) if hasattr(column, "chunk") else column
            if chunk.null_count:
                raise FileFormatError(f"the column {name} has missing values")
            # `to_numpy` would import pandas, and `cast` pyarrow's functions, which takes half the time of a process's
            # first search. The indices that `read_dictionary` gives have 32 bits.
            codes = np.frombuffer(chunk.indices.buffers()[1], np.int32) if len(chunk) else ()
            at = chunk.indices.offset
            columns += [tuple(map(str, chunk.dictionary.to_pylist())), np.array(codes[at : at + len(chunk)], np.int32)]
    if np.any(np.diff(starts) < 0) or starts[0] != 0:
        raise FileFormatError(f"{folder / 'starts.npy'} is damaged: sequences must begin one after the other")
    return ShardText(columns[0], columns[1], columns[2], columns[3], starts)
