"""`index` indexes a corpus, and `open_index` reopens an index; both return an `Index`."""

import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hiddenstate.base.files import folder_beside, put_folder, written_beside
from hiddenstate.base.modes import types_of_the_weights
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import optional_package
from hiddenstate.corpus.index.build import IndexShards, to_float32
from hiddenstate.corpus.index.folder import (
    MOST_THRESHOLDS,
    STATISTICS,
    IndexFolder,
    Merged,
    check_manifest,
    read_statistics,
    read_text,
)
from hiddenstate.corpus.index.lagged import LAGGED, merged_sums, read_sums
from hiddenstate.corpus.index.readers import array_shards, load_reader, make_reader
from hiddenstate.corpus.index.sequences import CorpusReader, scramble
from hiddenstate.corpus.index.statistics import CONTEXTS, Statistics
from hiddenstate.corpus.search.find import like, search
from hiddenstate.corpus.search.result import Matches, Nearest
from hiddenstate.corpus.shards.plan import SHARD_BYTES, Shard, describe_files, expand, plan
from hiddenstate.corpus.shards.run import MANIFEST, check_workers, claimed, discard, drop, map_shards, read_manifest
from hiddenstate.corpus.units.card import UnitCard, unit_card
from hiddenstate.corpus.units.covariates import UnitCovariates, follows
from hiddenstate.corpus.units.table import Units, units
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.structure.names import parse_place

TEXT_SHARD_BYTES = 1 << 18
MERGED_TOGETHER = 32  # shards that are merged at a time, on a cluster by a worker
KIND = "index/3"
THRESHOLDS: Mapping[str, Sequence[float]] = {"*.h": (-0.5, 0.5)}


class Index(IndexFolder):
    """The index of a corpus, as `hiddenstate.index` returns it."""

    def search(self, query: str, *, limit: int = 10, progress: Progress | bool | None = None) -> Matches:
        """Find the spans of the corpus that match a query.

        An example is ``"l1.c[125] > .5 for 3.., l0.i[7] < .1 before"``. The search is exact. If the bits of a threshold
        are not stored, the corpus is rerun to compute and store them (up to 1 GiB; the oldest are deleted), unless the
        index is read-only. Needs lark.

        Args:
            query: conditions separated by commas, all of which must hold. ``UNIT > NUMBER`` (or ``>= < <=``), ``token =
                X`` and ``label != X``, joined with ``and``, ``or``, ``not`` and brackets, hold at every step of a span.
                After the first condition, ``for 3``, ``for 3..``, ``for ..5`` or ``for 3..5`` sets the number of steps
                in a span. After the others, ``before`` or ``after`` means the adjacent step on that side; ``before
                2..4``, any of the steps 2 to 4 before it.
            limit: how many matches to return; all are counted.
            progress: a callback that gets the number of shards rerun and their total; True for a progress bar.

        Raises:
            ArgumentError: the query does not follow the grammar, or ``limit`` is out of range.
            NameUnknownError: there is no such place or unit.
            FileFormatError: the index is damaged.
            FileWriteError: the bits cannot be stored.
            MissingDependencyError: lark is not installed.
        """
        return search(self, query, limit=limit, progress=progress)

    @types_of_the_weights()
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
        return like(self, self.reader.item(x), t, list(names), k, progress)

    def units(self) -> Units:
        """Return the table of all units: distribution, saturation, time constant and most correlated label."""
        return units(self)

    def follows(self, covariate: str | None = None, *, unit: str | None = None, zeroed: int = 8) -> UnitCovariates:
        """Return which units of a series follow which covariates, at which lag, and whether the forecasts use them.

        Everything but the effect of zeroing comes from the index, without running the model. If correlations on shifted
        years are as large, the unit follows the season.

        Args:
            covariate: a column, or ``hour``, ``weekday`` or ``day_of_year``; all if None.
            unit: a unit, such as ``"l0.c[7]"``; all if None.
            zeroed: how many units to zero, those with the largest held-out correlations first, to see what that does to
                the error of the forecasts. Needs the columns of the targets.

        Raises:
            NameUnknownError: there is no such covariate or unit, or its place is not indexed.
            ArgumentError: the indexed model is not a series model.
            FileFormatError: the index is damaged.
        """
        return follows(self, covariate, unit, zeroed)

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


@types_of_the_weights()
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
    covariates: Sequence[str] = (),
    lags: Sequence[int] | None = None,
    workers: int = 1,
    client: Any = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Index:
    """Index a corpus: record the behaviour of every unit of a model over it.

    Needs pyarrow (``pip install 'hiddenstate[corpus]'``). The index stores statistics, contexts, thresholds as bits,
    and a few states from which to resume, but not all states. It also stores the model, and answers for that copy even
    if you train the original further. To resume an interrupted call, repeat it.

    Args:
        model: a tagger, a language model, a series model of the simple shape (`SeriesModel.understood`), or a
            `hiddenstate.LSTM`, `GRU` or `RNN`, which reads arrays.
        corpus: files (CoNLL-U, plain text, Parquet): a path, a glob, the name of a corpus, or a list of these. For a
            series model, a frame, as for `SeriesModel.prepare`. For a layer, a list of arrays or tensors ``[T, C]``.
        folder: where to write the index.
        places: patterns of places, such as ``"l1.*"``, separated by commas; by default all states: h, and c of an LSTM.
        thresholds: maps patterns of places to thresholds whose crossings are stored as bits, one bit per step, unit and
            threshold; by default -0.5 and 0.5 for every indexed ``h``. A search with other thresholds reruns the
            corpus.
        labels: a label for each step. For a tagger, a column of CoNLL-U (by default the one that it predicts); for a
            language model of characters, ``"character"``, the kind of each character (the default); for both, a
            function of a sequence's tokens; for a layer, a list of labels for each array. A label is the name of a
            class, or None. Integers are names too, and their order does not count; other numbers are refused: sort them
            into classes first. A shard may have at most 128 distinct labels. The labels that a function returned in an
            earlier call or in another process are compared with those that it returns now, which means reading the
            corpus again.
        tokens: for a layer: a word for each step of each array.
        head: for a layer: the linear layer that reads its outputs.
        names: for a layer: the names of the head's outputs.
        softmax: for a layer: whether the head's outputs are the scores of a softmax over its names. Cards then show
            what an edit costs the correct label, in nats; otherwise, how far it moves the outputs.
        column: the text column in Parquet files.
        covariates: for a series model: columns of the frame that units are compared with, in addition to those of the
            model and the calendar; missing values are left out. `Index.follows` has the result.
        lags: for a series model: how many steps before a unit's step the columns are compared; by default 0 to 7,
            and some up to 168, less than a quarter of the series. Negative ones are later steps.
        workers: the number of processes, one thread each. The result does not depend on it.
        client: a `distributed.Client`, to run on a Dask cluster whose workers see all files under the same paths.
        progress: a callback that gets the number of bytes read and their total; True for a progress bar.
        options: for a series model, the options of `SeriesModel.prepare`: ``dates``, ``rows``, ``gaps``, ``missing``.

    Raises:
        ArgumentError, ArgumentTypeError, ShapeError, NameUnknownError: an argument does not fit, or the folder contains
            something else.
        FileFormatError: a file is damaged or changes while it is read, or there is nothing to read.
        FileWriteError, RunInUseError: the folder cannot be written, or another process writes there.
        MissingDependencyError: pyarrow, or distributed, is not installed.
        OSError: a file cannot be read.
    """
    optional_package("pyarrow.parquet", "corpus", "an index")
    workers = check_workers(workers, client)
    series: dict[str, Any] = {"covariates": covariates, "lags": lags, "options": options}
    reader = make_reader(model, corpus, labels=labels, tokens=tokens, head=head, names=names, softmax=softmax, **series)
    if workers > 1 and callable(labels):
        _check_pickled(labels)
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
    with claimed(target, shards, described):
        # The stored copy does all the work, so the index belongs to it, whatever becomes of the original.
        copy = _stored(reader, target / "model", described)
        task = IndexShards(copy, chosen, above)
        exists = [(target / task.name(shard)).exists() for shard in shards]
        _check_labels(copy, [*compress(shards, exists)], target, "were stored there")
        map_shards(task, shards, target, workers=workers, client=client, progress=progress)
        if workers > 1 or client is not None:
            added = [shard for shard, existed in zip(shards, exists, strict=True) if not existed]
            try:
                _check_labels(copy, added, target, "worker processes computed")
            except ArgumentError:
                for shard in added:
                    drop(target / task.name(shard))
                raise
        if not _merge(target, shards, client):
            discard(target, [*map(task.name, shards), "model"])
            raise FileFormatError("there is nothing to read in these files")
    return open_index(target)


@types_of_the_weights()
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
        raise FileFormatError(f"{target} has {about.get('kind')!r:.100}, expected {KIND!r}{cure}")
    if not (target / STATISTICS).is_file():
        raise FileFormatError(
            f"the index in {target} is not complete: repeat the call with the same arguments to resume"
        )
    merged = read_statistics(target / STATISTICS)
    reader = load_reader(target / "model", about)
    with reading(target / MANIFEST):
        check_manifest(about, reader, merged)
    return Index(target, reader, about, *merged)


def _plan(reader: CorpusReader, corpus: Any, column: str) -> tuple[list[Shard], list[dict[str, Any]]]:
    if reader.arrays:
        return array_shards(reader), []
    files = expand(corpus)
    shards = plan(files, column=column, shard_bytes=SHARD_BYTES if reader.kind == "tagger" else TEXT_SHARD_BYTES)
    return shards, describe_files(files, shards)


def _stored(reader: CorpusReader, folder: Path, about: Mapping[str, Any]) -> CorpusReader:
    """Store the model in the index, unless it is there, and return the reader with the stored model."""
    if not folder.exists():
        with folder_beside(folder) as partial:
            reader.save(partial)
            put_folder(partial, folder)
    loaded = load_reader(folder, about)
    return replace(loaded, labels=reader.labels, arrays=reader.arrays, covariates=reader.covariates)


def _check_pickled(labels: Any) -> None:
    try:
        pickle.dumps(labels)
    except Exception as error:
        raise ArgumentTypeError(
            f"labels= must be a function that worker processes can import, but pickle can't store it ({error}): define "
            "it at the top level of a module, or use workers=1"
        ) from error


def _check_labels(reader: CorpusReader, shards: Sequence[Shard], folder: Path, whose: str) -> None:
    """Check that a label function, whose dependencies can't be known, returns the labels of existing results."""
    if not callable(reader.labels):
        return
    for shard in shards:
        text = read_text(folder / f"{shard.number:05}")
        labels = [label for item in reader.items(shard) for label in item.labels]
        if labels != [text.label_names[code] for code in text.label_codes]:
            raise ArgumentError(
                f"labels= returns different labels for {shard.name} than {whose}. A function must return the same "
                f"labels each time and in every process; for the labels of another function, choose a different "
                f"folder, or delete {folder}"
            )


def _chosen_places(reader: CorpusReader, patterns: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the places that patterns match; by default every state."""
    places = [name for names in reader.lstm.sizes.places for name in names]
    chosen: set[str] = set()
    if patterns is None:
        patterns = [f"*.{state}" for state in reader.lstm.sizes.kind.state_names]
    for pattern in patterns.split(",") if isinstance(patterns, str) else patterns:
        matching = [name for name in places if fnmatchcase(name, pattern.strip())]
        if not matching:
            parse_place(pattern.strip(), *reader.lstm.sizes.layers)
            raise NameUnknownError(f"no place matches {pattern!r}; the places are {' '.join(places)}")
        chosen.update(matching)
    return tuple(name for name in places if name in chosen)


def _chosen_thresholds(
    places: Sequence[str], thresholds: Mapping[str, Sequence[float]]
) -> dict[str, tuple[float, ...]]:
    chosen: dict[str, tuple[float, ...]] = {}
    for pattern, values in thresholds.items():
        numbers = sorted({float(to_float32(value)) for value in values})
        if not all(map(np.isfinite, numbers)) or len(numbers) > MOST_THRESHOLDS:
            raise ArgumentError(
                f"thresholds must be finite numbers, at most {MOST_THRESHOLDS} per place, got {list(values)[:5]}"
            )
        for name in places:
            if fnmatchcase(name, pattern):
                chosen[name] = tuple(sorted({*chosen.get(name, ()), *numbers}))
    return chosen


def _merge(folder: Path, shards: Sequence[Shard], client: Any = None) -> bool:
    """Merge and write all shards' statistics, in groups; return False and write nothing if there are no steps."""
    path = folder / STATISTICS
    if path.is_file():
        return True
    paths = [folder.absolute() / f"{shard.number:05}" / path.name for shard in shards]
    groups = [paths[k : k + MERGED_TOGETHER] for k in range(0, len(paths), MERGED_TOGETHER)]
    if client is None:
        merged = _merged(map(_merge_files, groups))
    else:
        merged = _merged(future.result() for future in client.map(_merge_files, groups, pure=False))
    if not merged.lengths.any():
        return False
    by_place = {name: statistics.to_arrays() for name, statistics in merged.places.items()}
    arrays = {f"{name}/{key}": value for name, values in by_place.items() for key, value in values.items()}
    if paths[0].with_name(LAGGED).is_file():
        sums = merged_sums(read_sums(path.with_name(LAGGED)) for path in paths)
        with written_beside(folder / LAGGED) as beside, beside.open("wb") as file:
            np.savez(file, **sums)  # type: ignore[arg-type]
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez(file, random=merged.random, lengths=merged.lengths, **arrays)  # type: ignore[arg-type]
    return True


def _merge_files(paths: Sequence[Path]) -> Merged:
    return _merged(map(read_statistics, paths))


def _merged(parts: Iterable[Merged]) -> Merged:
    """Merge the statistics of consecutive shards."""
    merged, keys, lengths = dict[str, Statistics](), np.empty(0, np.int64), list[NDArray[np.int64]]()
    for part in parts:
        merged = {name: merged[name].merge(ours) if merged else ours for name, ours in part.places.items()}
        keys = np.concatenate([keys, part.random])
        keys = keys[np.argsort(scramble(keys), kind="stable")[:CONTEXTS]]
        lengths.append(part.lengths)
    return Merged(merged, keys, np.concatenate([np.empty(0, np.int64), *lengths]))


__all__ = ["Index", "index", "open_index"]
