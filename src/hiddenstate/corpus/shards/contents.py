"""The content of a shard: sentences, texts, or pieces of texts that a language model reads; our own Parquet files."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiddenstate.base.reading import reading
from hiddenstate.base.validation import optional_package
from hiddenstate.corpus.shards.plan import Shard, changed, group_ranges, hash_bytes, hash_ranges, open_parquet
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.conllu import Sentence, from_words
from hiddenstate.text.passages import IncrementalReader, Passage
from hiddenstate.text.source import read_chunks
from hiddenstate.text.tokenise import sentences, tokenise
from hiddenstate.text.tokens import END_TOKEN, Ids, Tokens, split

ROWS_TOGETHER = 256  # rows of a Parquet file read at a time
LONGEST = 2048  # maximum number of tokens in a piece


def read_sentences(shard: Shard) -> Iterator[Sentence]:
    """Yield the sentences of a shard; plain text has one per line, or is split into sentences."""
    if shard.kind == "parquet":
        for cell in _cells(shard):
            words = [tokenise(line) for line in sentences(cell)] if isinstance(cell, str) else [cell]
            yield from (from_words(sentence) for sentence in words if sentence)
        return
    reader = IncrementalReader(shard.kind, shard.name, has_lines=shard.is_part)
    for text in _chunks(shard):
        yield from chain.from_iterable(map(Passage.sentences, reader.feed(text)))
    yield from chain.from_iterable(map(Passage.sentences, reader.end()))


def read_texts(shard: Shard) -> Iterator[str]:
    """Yield the texts of a shard: its part of a text file, or each cell of a Parquet column."""
    if shard.kind == "conllu":
        raise ArgumentError(f"{shard.path} is CoNLL-U, but a language model reads text: give plain text or Parquet")
    if shard.kind == "parquet":
        for cell in _cells(shard):
            if not isinstance(cell, str):
                raise FileFormatError(f"{shard.path}: the column {shard.column!r} contains lists, expected text")
            yield cell
        return
    yield "".join(_chunks(shard))


class Piece(NamedTuple):
    """A part of a text: its characters or words, and the ids that the model reads, which start with a newline."""

    tokens: tuple[str, ...]
    ids: Ids


def read_pieces(shard: Shard, tokens: Tokens) -> list[Piece]:
    """Return the pieces of a shard's texts."""
    return [piece for text in read_texts(shard) for piece in cut_text(tokens, text)]


def cut_text(tokens: Tokens, text: str) -> list[Piece]:
    """Cut a text into pieces of at most 2,048 tokens, at line ends if possible; each begins with a newline."""
    words: list[str] = []
    for part in split(tokens.level, [text], whole_lines=True):
        words += part
    ids = tokens.ids(words if tokens.level == "word" else "".join(words))
    end = "\n" if tokens.level == "char" else END_TOKEN
    ends = np.flatnonzero(np.fromiter((token == end for token in words), np.bool_, len(words))) + 1
    pieces, at = list[Piece](), 0
    while at < len(words):
        stop = min(at + LONGEST - 1, len(words))
        if stop < len(words):
            k = int(np.searchsorted(ends, stop, side="right")) - 1
            stop = int(ends[k]) if k >= 0 and ends[k] > at else stop
        piece_ids = np.concatenate([[tokens.start], ids[at:stop]]).astype(np.int32)
        pieces.append(Piece((tokens.tokens[tokens.start], *words[at:stop]), piece_ids))
        at = stop
    return pieces


def _chunks(shard: Shard) -> Iterator[str]:
    with Path(shard.path).open("rb") as file:
        file.seek(shard.start)
        content = file.read(shard.stop - shard.start)
    if hash_bytes([content]) != shard.blake2b:
        raise changed(shard.path)
    stream = io.BytesIO(content)
    stream.name = shard.name
    yield from read_chunks(stream)


def _cells(shard: Shard) -> Iterator[Any]:
    with reading(shard.path), open_parquet(shard.path) as file:
        _check_group(file, shard)
        groups = list(range(shard.start, shard.stop))
        batches = file.iter_batches(batch_size=ROWS_TOGETHER, row_groups=groups, columns=[shard.column])
        for batch in batches:
            for cell in batch.column(0):
                value = cell.as_py()
                if value is None:
                    continue
                if not isinstance(value, str) and not (
                    isinstance(value, list) and all(isinstance(word, str) for word in value)
                ):
                    what = "a list with a missing word" if isinstance(value, list) else f"a value of {type(value)}"
                    raise FileFormatError(f"the column {shard.column!r} has {what}; give texts or lists of words")
                yield value
        _check_group(file, shard)  # pyarrow has read the file itself, so what it read was the same before and after


def _check_group(file: Any, shard: Shard) -> None:
    if (
        shard.stop > file.metadata.num_row_groups
        or hash_ranges(shard.path, group_ranges(file.metadata, shard.start, shard.column)) != shard.blake2b
    ):
        raise changed(shard.path)


def write_table(path: Path, columns: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
    """Write columns (lists of texts, arrays, or `list_column`) to a Parquet file, and facts to its metadata as JSON."""
    pyarrow = optional_package("pyarrow", "corpus", "writing Parquet")
    parquet = optional_package("pyarrow.parquet", "corpus", "writing Parquet")
    table = pyarrow.table({name: _array(values) for name, values in columns.items()})
    if about is not None:
        table = table.replace_schema_metadata({"hiddenstate": json.dumps(about)})
    parquet.write_table(table, path, compression="zstd")


def list_column(
    values: Sequence[Any] | NDArray[Any], lengths: Sequence[int], names: Sequence[str] | None = None
) -> Any:
    """Return a column of lists, from the values of all lists one after another: texts, numbers, or indices of names."""
    pyarrow = optional_package("pyarrow", "corpus", "writing Parquet")
    flat = _array(values)
    if names is not None:
        flat = _array([*names]).take(flat)
    return pyarrow.ListArray.from_arrays(pyarrow.array([0, *accumulate(lengths)], pyarrow.int32()), flat)


def _array(values: Any) -> Any:
    """Return an Arrow array of texts (a list) or of numbers (an array)."""
    pyarrow = optional_package("pyarrow", "corpus", "writing Parquet")
    # With its type given, a shard's empty list has the type of other shards, so that all are read as one table.
    return pyarrow.array(values, pyarrow.string() if isinstance(values, list) else None)


def read_about(path: Path) -> Any:
    """Return the facts that `write_table` put into a file."""
    parquet = optional_package("pyarrow.parquet", "corpus", "reading Parquet")
    with reading(path):
        return json.loads(parquet.read_schema(path).metadata[b"hiddenstate"])
