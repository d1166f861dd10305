"""`index` indexes a corpus, and `open_index` reopens an index; both return an `Index`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hiddenstate.base.files import folder_beside, put_folder, written_beside
from hiddenstate.base.validation import optional_package
from hiddenstate.corpus.index.build import IndexShards
from hiddenstate.corpus.index.folder import IndexFolder, Merged, read_statistics
from hiddenstate.corpus.index.items import Reader, scramble
from hiddenstate.corpus.index.readers import LayerReader, ModelReader, array_shards, load_reader, read_item, reader_of
from hiddenstate.corpus.index.statistics import CONTEXTS, Statistics
from hiddenstate.corpus.search.find import search
from hiddenstate.corpus.search.nearest import like
from hiddenstate.corpus.search.result import Found, Nearest
from hiddenstate.corpus.shards.plan import SHARD_BYTES, Shard, describe_files, expand, plan
from hiddenstate.corpus.shards.run import read_manifest, run
from hiddenstate.corpus.units.card import UnitCard, unit_card
from hiddenstate.corpus.units.table import Units, units
from hiddenstate.errors import ArgumentError, FileFormatError, NameUnknownError
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.structure.names import parse_place

TEXT_SHARD_BYTES = 1 << 18
MERGED_TOGETHER = 32  # shards that a worker in a cluster merges at a time
KIND = "index/2"
THRESHOLDS: Mapping[str, Sequence[float]] = {"*.h": (-0.5, 0.5)}


class Index(IndexFolder):
    """The index of a corpus, as `hiddenstate.index` returns it."""

    def search(self, query: str, *, limit: int = 10, progress: Progress | bool | None = None) -> Found:
        """Find the spans of the corpus that match a query.

        An example is ``"l1.c[125] > .5 for 3.., l0.i[7] < .1 before"``. The search is exact. If the bits of a threshold
        are not stored, the corpus is rerun to compute and store them. Needs lark.

        Args:
            query: conditions separated by commas, all of which hold. ``UNIT > NUMBER`` (or ``>= < <=``), ``token = X``
                and ``label != X``, joined with ``and``, ``or``, ``not`` and brackets, hold at every step of a span.
                After the first condition, ``for 3``, ``for 3..``, ``for ..5`` or ``for 3..5`` sets the number of steps
                in a span. After the others, ``before`` or ``after`` means the adjacent step on that side; ``before
                2..4``, any of the steps 2 to 4 before it.
            limit: how many matches to return; all are counted.
            progress: a callback that gets the number of shards rerun and their total; True for a progress bar.

        Raises:
            ArgumentError: the query does not follow the grammar, or ``limit`` is out of range.
            NameUnknownError: there is no such place or unit.
            FileFormatError: the index is damaged.
            MissingDependencyError: lark is not installed.
        """
        return search(self, query, limit=limit, progress=progress)

    def like(
        self,
        x: Any,
        t: int = -1,
        *,
        places: str | Sequence[str] | None = None,
        k: int = 10,
        progress: Progress | bool | None = None,
    ) -> Nearest:
        """Find the steps of the corpus whose states are nearest to a given one, by cosine. Reruns the whole corpus.

        Args:
            x: a sentence (text or words) for a tagger, a text for a language model, an array ``[T, C]`` for a layer.
            t: the step whose state is compared.
            places: the places whose states are compared together; by default ``h`` of the last layer.
            k: how many steps to return, at most one per sequence.
            progress: a callback that gets the number of shards done and their total; True for a progress bar.

        Raises:
            ArgumentError, ArgumentTypeError, ShapeError, IndexRangeError, NameUnknownError: an argument does not fit.
        """
        last = self.reader.lstm.num_layers - 1
        chosen = f"l{last}.h,l{last}r.h" if self.reader.lstm.bidirectional else f"l{last}.h"
        names = _chosen_places(self.reader, chosen if places is None else places)
        return like(self, read_item(self.reader, x), t, list(names), k, progress)

    def units(self) -> Units:
        """Return the table of all units: distribution, saturation, time constant and most correlated label."""
        return units(self)

    def unit(self, address: str) -> UnitCard:
        """Return the card of a unit: its behaviour over the corpus, and the effect of zeroing it.

        Contexts, the correlation on held-out sequences and the effects come from runs of small parts of the corpus.

        Args:
            address: such as ``"l1.c[125]"``.

        Raises:
            NameUnknownError: there is no such unit, or its place is not indexed.
        """
        return unit_card(self, address)

    def __repr__(self) -> str:
        return f"Index({str(self.folder)!r}, {self.steps:,} steps, places {' '.join(self.statistics)})"


def index(
    model: Any,
    corpus: Any,
    folder: str | os.PathLike[str],
    *,
    places: str | Sequence[str] | None = None,
    thresholds: Mapping[str, Sequence[float]] | None = None,
    labels: Any = None,
    tokens: Sequence[Sequence[str]] | None = None,
    head: nn.Linear | None = None,
    names: Sequence[str] | None = None,
    softmax: bool = False,
    column: str = "text",
    workers: int = 1,
    client: Any = None,
    progress: Progress | bool | None = None,
) -> Index:
    """Index a corpus: record the behaviour of every unit of a model over it.

    Needs pyarrow (``pip install 'hiddenstate[corpus]'``). The index stores statistics, contexts, thresholds as bits,
    and a few states from which to resume, but not all states. To resume an interrupted call, repeat it.

    Args:
        model: a tagger, a language model, or a `hiddenstate.LSTM`, `GRU` or `RNN`, which reads arrays.
        corpus: files (CoNLL-U, plain text, Parquet): a path, a glob, the name of a corpus, or a list of these. For a
            layer, a list of arrays or tensors ``[T, C]``.
        folder: where to write the index.
        places: patterns of places, such as ``"l1.*"``, separated by commas; by default all states: h, and c of an LSTM.
        thresholds: maps patterns of places to thresholds whose crossings are stored as bits, one bit per step, unit and
            threshold; by default -0.5 and 0.5 for every indexed ``h``. A search with other thresholds reruns the
            corpus.
        labels: a label for each step. For a tagger, a column of CoNLL-U (by default the one that it predicts); for a
            language model of characters, ``"character"``, the kind of each character (the default); for both, a
            function of a sequence's tokens; for a layer, a list of labels for each array. A label is the name of a
            class, or None. Integers are names too, and their order does not count; other numbers are refused: sort them
            into classes first. A shard may have at most 128 distinct labels.
        tokens: for a layer: a word for each step of each array.
        head: for a layer: the linear layer that reads its outputs.
        names: for a layer: the names of the head's outputs.
        softmax: for a layer: whether the head's outputs are the scores of a softmax over its names. Cards then show
            what an edit costs the correct label, in nats; otherwise, how far it moves the outputs.
        column: the text column in Parquet files.
        workers: the number of processes, one thread each. The result does not depend on it.
        client: a `distributed.Client`, to run on a Dask cluster whose workers see all files under the same paths.
        progress: a callback that gets the number of bytes read and their total; True for a progress bar.

    Raises:
        ArgumentError, ArgumentTypeError, ShapeError, NameUnknownError: an argument does not fit, or the folder contains
            something else.
        FileFormatError: a file is damaged.
        FileWriteError, RunInUseError: the folder cannot be written, or another process writes there.
        MissingDependencyError: pyarrow, or distributed, is not installed.
        OSError: a file cannot be read.
    """
    optional_package("pyarrow.parquet", "corpus", "an index")
    reader = reader_of(model, corpus, labels=labels, tokens=tokens, head=head, names=names, softmax=softmax)
    chosen = _chosen_places(reader, places)
    above = _chosen_thresholds(chosen, THRESHOLDS if thresholds is None else thresholds)
    target = Path(folder)
    shards, files = _plan(reader, corpus, column)
    described = {
        "kind": KIND,
        **reader.fingerprint(),
        "sizes": asdict(reader.lstm.sizes),
        "places": list(chosen),
        "thresholds": above,
        "files": files,
    }
    task = IndexShards(reader, chosen, above)
    run(task, shards, target, described, workers=workers, client=client, progress=progress)
    _save_model(reader, target)
    return Index(target, reader, read_manifest(target), *_merge(target, shards, client))


def open_index(folder: str | os.PathLike[str]) -> Index:
    """Open an index that `index` created, with the model that was stored in it.

    Raises:
        FileFormatError: there is no index, it is not complete, or it is damaged.
        MissingDependencyError: pyarrow is not installed.
    """
    optional_package("pyarrow.parquet", "corpus", "an index")
    target = Path(folder)
    about = read_manifest(target)
    if about.get("kind") != KIND:
        cure = "; index the corpus again, into a new folder" if str(about.get("kind")).startswith("index/") else ""
        raise FileFormatError(f"{target} has {about.get('kind')!r}, expected {KIND!r}{cure}")
    if not (target / "statistics.npz").is_file():
        raise FileFormatError(f"the index in {target} is not complete: make it again with the same arguments to resume")
    merged = read_statistics(target / "statistics.npz")
    if len(merged.lengths) != len(about["shards"]):
        raise FileFormatError(f"{target / 'statistics.npz'} is damaged: it has statistics of other shards")
    return Index(target, load_reader(target / "model", about), about, *merged)


def _plan(reader: ModelReader, corpus: Any, column: str) -> tuple[list[Shard], list[dict[str, Any]]]:
    if isinstance(reader, LayerReader):
        return array_shards(reader), []
    files = expand(corpus)
    size = SHARD_BYTES if reader.kind == "tagger" else TEXT_SHARD_BYTES
    return plan(files, column=column, shard_bytes=size), describe_files(files)


def _chosen_places(reader: Reader, patterns: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the places that patterns match; by default every state."""
    every = [name for names in reader.lstm.sizes.places for name in names]
    chosen: list[str] = []
    if patterns is None:
        patterns = [f"*.{state}" for state in reader.lstm.sizes.kind.state_names]
    for pattern in patterns.split(",") if isinstance(patterns, str) else patterns:
        found = [name for name in every if fnmatchcase(name, pattern.strip())]
        if not found:
            parse_place(pattern.strip(), *reader.lstm.sizes.layers)
            raise NameUnknownError(f"no place matches {pattern!r}; the places are {' '.join(every)}")
        chosen += [name for name in found if name not in chosen]
    return tuple(name for name in every if name in chosen)


def _chosen_thresholds(places: Sequence[str], given: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for pattern, values in given.items():
        numbers = sorted({float(np.float32(value)) for value in values})
        if not all(map(np.isfinite, numbers)) or len(numbers) > 64:
            raise ArgumentError(f"thresholds must be finite numbers, at most 64 per place, got {list(values)[:5]}")
        for name in places:
            if fnmatchcase(name, pattern):
                found[name] = tuple(sorted({*found.get(name, ()), *numbers}))
    return found


def _save_model(reader: ModelReader, folder: Path) -> None:
    """Write the model into the index atomically."""
    target = folder / "model"
    if not target.exists():
        with folder_beside(target) as partial:
            reader.save(partial)
            put_folder(partial, target)


def _merge(folder: Path, shards: Sequence[Shard], client: Any = None) -> Merged:
    """Merge the statistics of all shards, and write them. With a cluster, its workers merge them in groups first."""
    path = folder / "statistics.npz"
    if path.is_file():
        return read_statistics(path)
    paths = [folder.absolute() / f"{shard.number:05}" / path.name for shard in shards]
    if client is not None:
        groups = [paths[k : k + MERGED_TOGETHER] for k in range(0, len(paths), MERGED_TOGETHER)]
        merged = _merged(future.result() for future in client.map(_merge_files, groups, pure=False))
    else:
        merged = _merge_files(paths)
    if not merged.lengths.any():
        raise FileFormatError("there is nothing to read in these files")
    arrays = {f"{name}/{key}": value for name, each in merged.places.items() for key, value in each.to_arrays().items()}
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez(file, random=merged.random, lengths=merged.lengths, **arrays)  # type: ignore[arg-type]
    return merged


def _merge_files(paths: Sequence[Path]) -> Merged:
    return _merged(map(read_statistics, paths))


def _merged(parts: Iterable[Merged]) -> Merged:
    """Merge the statistics of consecutive shards. The result does not depend on how the shards were grouped."""
    merged, keys, lengths = dict[str, Statistics](), np.empty(0, np.int64), list[NDArray[np.int64]]()
    for part in parts:
        merged = {name: merged[name].merge(each) if merged else each for name, each in part.places.items()}
        keys = np.concatenate([keys, part.random])
        keys = keys[np.argsort(scramble(keys), kind="stable")[:CONTEXTS]]
        lengths.append(part.lengths)
    return Merged(merged, keys, np.concatenate([np.empty(0, np.int64), *lengths]))


__all__ = ["Index", "index", "open_index"]
