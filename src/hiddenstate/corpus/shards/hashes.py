"""Hashes of what each shard reads, so that a corpus that changes during a run, or before it is resumed, is noticed."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hiddenstate.errors import FileFormatError

_BLOCK = 1 << 20


def hash_bytes(parts: Iterable[Any]) -> str:
    """Return the hash of bytes, given in parts."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def hash_ranges(path: str | Path, ranges: Iterable[tuple[int, int]]) -> str:
    """Return the hash of some parts of a file, each given by its first byte and the byte after the last."""
    return hash_bytes(_blocks(path, ranges))


def _blocks(path: str | Path, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        for start, stop in ranges:
            file.seek(start)
            left = stop - start
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block


def group_ranges(metadata: Any, group: int, column: str) -> list[tuple[int, int]]:
    """Return the parts of a Parquet file that hold a column in one row group. Call it inside `reading`.

    Raises:
        FileFormatError: they are impossible.
    """
    ranges = []
    of_group = metadata.row_group(group)
    for k in range(of_group.num_columns):
        chunk = of_group.column(k)
        if chunk.path_in_schema == column or chunk.path_in_schema.startswith(f"{column}."):
            # The dictionary, if there is one, precedes the data; some writers give its offset as 0 if there is none.
            start = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
            if start < 0 or chunk.total_compressed_size < 0:
                raise FileFormatError(f"row group {group} has a negative offset or size")
            ranges.append((start, start + chunk.total_compressed_size))
    return ranges


def changed(path: str | Path) -> FileFormatError:
    """Return the error for a file whose content is not what it was when the run began."""
    return FileFormatError(
        f"{path} changed while it was being read, so the results are not complete: restore the content that it had, "
        "and run this again to continue, or write the results of its new content to another folder"
    )
