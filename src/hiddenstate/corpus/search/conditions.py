"""Finds the steps of a shard at which a condition holds, from stored bits or by rerunning the corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hiddenstate.base.files import free_name, refuse_link, sync
from hiddenstate.base.modes import types_of_the_weights
from hiddenstate.base.scoped import lasting
from hiddenstate.base.writing import writing
from hiddenstate.corpus.index.bits import to_float32
from hiddenstate.corpus.index.build import run_chunks
from hiddenstate.corpus.index.folder import SEARCHED, IndexFolder, ShardText
from hiddenstate.corpus.search.grammar import Condition, Named, Query, Value
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.subject.progress_bar import Progress, counted

Mask = NDArray[np.bool_]
Key = tuple[str, int, float]  # place, unit, threshold

MOST_SEARCHED = 1 << 30  # maximum size of the stored bits in bytes, each file counted as at least a block
_BLOCK = 1 << 12


def threshold_of(value: Value) -> tuple[float, bool]:
    """Return a threshold, and whether the condition holds above it; otherwise it holds at or below it.

    ``>= t`` and ``< t`` are comparisons with the largest float32 below t.
    """
    number = to_float32(value.number)
    if value.op in (">=", "<"):
        number = np.nextafter(number, np.float32(-np.inf))
    return float(number), value.op in (">", ">=")


def key_of(value: Value) -> Key:
    """Return the key of a comparison's bits, which includes everything that they depend on."""
    return value.place, value.unit, threshold_of(value)[0]


def check_values(index: IndexFolder, query: Query) -> None:
    """Reject a query for units that the model does not have.

    Raises:
        NameUnknownError: there is no such place or unit.
        ArgumentError: a number is not finite as float32.
    """
    for value in query.values():
        index.resolve_unit(f"{value.place}[{value.unit}]")
        if not np.isfinite(to_float32(value.number)):
            raise ArgumentError(f"{value.number} is beyond the range of float32")


def make_bits(index: IndexFolder, query: Query, progress: Progress | None = None) -> int:
    """Rerun the corpus for comparisons whose bits are not stored, and store the bits.

    Returns:
        The number of steps that were run.
    """
    wanted = {key_of(value) for value in query.values()}
    missing = {
        shard: keys
        for shard in index.shards
        if (keys := sorted(key for key in wanted if index.bits(shard, *key, peek=True) is None))
    }
    steps = 0
    for shard in counted(list(missing), progress):
        for (place, unit, threshold), mask in run_shard(index, shard, missing[shard]).items():
            _write(index.cached_bits(shard, place, unit, threshold), np.packbits(mask)[None])
        steps += int(index.lengths[shard])
    return steps


def forget_bits(index: IndexFolder, query: Query) -> None:
    """Delete stored bits, the oldest first and those of the query last, until few enough are left."""
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
    items = [index.item(shard, k) for k in range(len(text.starts) - 1)]
    masks = {key: np.zeros(text.steps, np.bool_) for key in keys}
    for run in run_chunks(index.reader, items, sorted({place for place, _, _ in keys})):
        for key, mask in masks.items():
            place, unit, threshold = key
            values = run.trace.values[place][:, :, unit].float().numpy()
            for row, (k, n) in enumerate(zip(run.items, run.lengths, strict=True)):
                at = text.starts[k] + run.start
                mask[at : at + n] = values[:n, row] > np.float32(threshold)
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
    """Conditions at the steps of one shard.

    Attributes:
        text: its tokens and labels.
        bits: the steps at which a unit is above a threshold, keyed by `key_of`.
    """

    text: ShardText
    bits: Mapping[Key, Mask]

    def holds(self, condition: Condition) -> Mask:
        """Return ``[M]``, whether a condition holds at each step."""
        if isinstance(condition, Value):
            found = self.bits[key_of(condition)]
            return found if threshold_of(condition)[1] else ~found
        if isinstance(condition, Named):
            return self._named(condition)
        parts = [self.holds(part) for part in condition.parts]
        if condition.kind == "not":
            return ~parts[0]
        joined: Any = np.logical_and if condition.kind == "and" else np.logical_or
        return np.asarray(joined.reduce(parts))

    def _named(self, condition: Named) -> Mask:
        names, codes = (
            (self.text.names, self.text.codes)
            if condition.kind == "token"
            else (self.text.label_names, self.text.label_codes)
        )
        code = names.index(condition.text) if condition.text in names else -1
        return np.asarray(codes == code) if condition.is_equal else np.asarray(codes != code)
