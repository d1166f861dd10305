"""The content of a shard: sentences of words, or texts."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hiddenstate.base.reading import reading
from hiddenstate.corpus.shards.hashes import changed, group_ranges, hash_bytes, hash_ranges
from hiddenstate.corpus.shards.plan import Shard, open_parquet
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.conllu import PIECE, Sentence, Table, from_words
from hiddenstate.text.passages import IncrementalReader, Passage
from hiddenstate.text.source import read_chunks
from hiddenstate.text.tokenise import sentences, tokenise

ROWS_TOGETHER = 256  # rows of a Parquet file read at a time


def read_sentences(shard: Shard) -> Iterator[Sentence]:
    """Yield the sentences of a shard; errors are those of `read_parsed`."""
    for parsed in read_parsed(shard):
        yield from parsed.sentences() if isinstance(parsed, Table) else parsed


def read_parsed(shard: Shard) -> Iterator[Table | list[Sentence]]:
    """Yield groups of sentences of a shard, ordinary CoNLL-U as tables.

    Plain text has one sentence per line, or is split if it has a single line.

    Raises:
        FileFormatError: the file is not UTF-8 or not CoNLL-U, its column has neither texts nor lists of words, or it
            changed since it was cut into shards.
        OSError: it cannot be read.
    """
    if shard.kind == "parquet":
        for cell in _cells(shard):
            words = [tokenise(line) for line in sentences(cell)] if isinstance(cell, str) else [cell]
            yield from ([from_words(each)] for each in words if each)
        return
    reader = IncrementalReader(shard.kind, shard.name, has_lines=shard.is_part)
    for text in _chunks(shard):
        yield from map(Passage.parsed, reader.feed(text))
    yield from map(Passage.parsed, reader.end())


def read_texts(shard: Shard) -> Iterator[str]:
    """Yield the texts of a shard: its part of a text file, or each cell of a Parquet column.

    Raises:
        ArgumentError: it is CoNLL-U.
        FileFormatError: it is not UTF-8, its column has no texts, or it changed since it was cut into shards.
        OSError: it cannot be read.
    """
    if shard.kind == "conllu":
        raise ArgumentError(f"{shard.path} is CoNLL-U, but a language model reads text: give plain text or Parquet")
    if shard.kind == "parquet":
        for cell in _cells(shard):
            if not isinstance(cell, str):
                raise FileFormatError(f"{shard.path}: the column {shard.column!r} contains lists, expected text")
            yield cell
        return
    yield "".join(_chunks(shard))


def _chunks(shard: Shard) -> Iterator[str]:
    with Path(shard.path).open("rb") as file:
        file.seek(shard.start)
        content = file.read(shard.stop - shard.start)
    if hash_bytes([content]) != shard.blake2b:
        raise changed(shard.path)
    stream = io.BytesIO(content)
    stream.name = shard.name
    yield from read_chunks(stream, PIECE)  # tables of larger pieces do not fit in the caches


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
