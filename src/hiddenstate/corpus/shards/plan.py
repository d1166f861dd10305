"""Cuts the files of a corpus into shards at sentence ends, and hashes each to notice changes."""

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import reading
from hiddenstate.base.scalars import check_at_least
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError
from hiddenstate.text.conllu import looks_like_conllu
from hiddenstate.text.corpora import corpus_path

KINDS = {".conllu": "conllu", ".conll": "conllu", ".tokens": "tokens", ".tok": "tokens", ".parquet": "parquet"}
SHARD_BYTES = 1 << 20
LONGEST = 1 << 26  # maximum number of bytes without the end of a line or sentence
MOST_GROUP = 1 << 30  # maximum unpacked size of a Parquet file's row group, in bytes
MOST_SHARDS = 10_000_000

_HEAD = 1 << 16  # how many bytes are examined to decide whether a file is CoNLL-U
_BLOCK = 1 << 20  # how many bytes are hashed at a time
_BLANK = re.compile(rb"\n[ \t\r]*\n")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Shard:
    """A part of one file, or of a list of arrays."""

    number: int  # its place in the corpus, from 0
    path: str
    kind: str  # "conllu", "tokens", "text", "parquet" or "arrays"
    start: int  # the first byte, row group of a Parquet file, or array
    stop: int  # the one after the last
    is_part: bool = False  # whether the file has other shards
    column: str = ""  # the text column in a Parquet file
    blake2b: str = ""  # the hash of what it reads

    @property
    def name(self) -> str:
        """The shard's name for messages."""
        where = "row group" if self.kind == "parquet" else "byte"
        return f"{self.path} (from {where} {self.start:,})" if self.is_part else self.path

    @property
    def weight(self) -> int:
        """The share of the work, for progress: bytes, or row groups counted as `SHARD_BYTES` each."""
        return (self.stop - self.start) * (SHARD_BYTES if self.kind == "parquet" else 1)


def expand(files: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    """Return the files to which paths, globs and corpus names (such as ``wikitext-2:train``) refer, in order."""
    paths: list[Path] = []
    for file in [files] if isinstance(files, str | os.PathLike) else files:
        if not isinstance(file, str | os.PathLike):
            raise ArgumentTypeError(f"the files of a corpus must be paths, got {type(file).__name__}")
        text = os.fspath(file)
        if _MAGIC.search(text) and not Path(text).exists():
            matches = sorted(path for path in glob.glob(text, recursive=True) if Path(path).is_file())  # noqa: PTH207
            if not matches:
                raise ArgumentError(f"no file matches {text!r}")
            paths += map(Path, matches)
        else:
            paths.append(corpus_path(text))
    if not paths:
        raise ArgumentError("a corpus needs at least one file")
    for path in paths:
        check_is_file(path)
    return [path.resolve() for path in paths]


def plan(
    files: Sequence[Path], *, shard_bytes: int = SHARD_BYTES, kind: str | None = None, column: str = "text"
) -> list[Shard]:
    """Cut files into shards of at least ``shard_bytes``, or of Parquet row groups, and hash their content."""
    size = check_at_least("shard_bytes", shard_bytes, 1)
    total = sum(path.stat().st_size for path in files)
    if total // size > MOST_SHARDS:
        raise ArgumentError(
            f"{total:,} bytes in shards of {size:,} would be more than {MOST_SHARDS:,} shards: raise shard_bytes"
        )
    shards: list[Shard] = []
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        for path in files:
            before = _stamp(path)
            file_kind = kind or KINDS.get(path.suffix.lower()) or _detected(path)
            is_parquet = file_kind == "parquet"
            cuts = [] if is_parquet else list(pairwise(_cuts(path, file_kind, size)))
            ranges = _row_groups(path, column) if is_parquet else [[cut] for cut in cuts]
            for k, content in enumerate(pool.map(partial(hash_ranges, path), ranges)):
                start, stop = (k, k + 1) if is_parquet else cuts[k]
                is_part, name = len(ranges) > 1, column if is_parquet else ""
                shards.append(Shard(len(shards), str(path), file_kind, start, stop, is_part, name, content))
            if _stamp(path) != before:
                raise changed(path)
    if not shards:
        raise FileFormatError(f"there is nothing to read in {_names(files)}")
    return shards


def describe_files(files: Sequence[Path], shards: Sequence[Shard]) -> list[dict[str, Any]]:
    """Return the name, the size and a hash of each file of the shards."""
    hashes: dict[str, list[bytes]] = {str(path): [] for path in files}
    for shard in shards:
        hashes[shard.path].append(shard.blake2b.encode())
    return [
        {"file": str(path), "bytes": path.stat().st_size, "blake2b": hash_bytes(hashes[str(path)])} for path in files
    ]


def open_parquet(path: str | Path, **options: Any) -> Any:
    """Open a Parquet file whose metadata can't be trusted. Call it inside `reading`."""
    parquet = optional_package("pyarrow.parquet", "corpus", "reading Parquet")
    limits = {"thrift_string_size_limit": 1 << 26, "thrift_container_size_limit": 1 << 20}
    return parquet.ParquetFile(path, **limits, **options)


def _detected(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD).decode("utf-8", "replace")
    return "conllu" if looks_like_conllu(head.removeprefix("\ufeff").replace("\r\n", "\n")) else "text"


def _row_groups(path: Path, column: str) -> list[list[tuple[int, int]]]:
    """Return the parts of a Parquet file that each row group's column occupies."""
    with reading(path), open_parquet(path) as file:
        if column not in file.schema_arrow.names:
            raise FileFormatError(
                f"there is no column {column!r}; the columns are {', '.join(file.schema_arrow.names[:20])}"
            )
        for k in range(file.num_row_groups):
            if file.metadata.row_group(k).total_byte_size > MOST_GROUP:
                raise FileFormatError(f"row group {k} is larger than 1 GiB; write the file with smaller groups")
        groups = [group_ranges(file.metadata, k, column) for k in range(file.num_row_groups)]
        if sum(stop - start for group in groups for start, stop in group) > path.stat().st_size:
            raise FileFormatError("its row groups have more bytes than the file")
        return groups


def _cuts(path: Path, kind: str, size: int) -> Iterator[int]:
    """Yield 0, then the first sentence end after every ``size`` bytes, and finally the size of the file."""
    length, at = path.stat().st_size, 0
    yield 0
    with path.open("rb") as file:
        while at + size < length:
            at = _end_after(file, at + size - 1, kind, path)
            if at >= length:
                break
            yield at
    if length:
        yield length


def _end_after(file: BinaryIO, start: int, kind: str, path: Path) -> int:
    """Return the offset after the first sentence end at or after ``start``, or the end of the file if there is none."""
    file.seek(start)
    read = b""
    while len(read) < LONGEST:
        chunk = file.read(1 << 16)
        if not chunk:
            return start + len(read)
        searched = max(0, len(read) - 1024)
        read += chunk
        if kind != "conllu":
            at = read.find(b"\n", searched)
            if at >= 0:
                return start + at + 1
        elif (match := _BLANK.search(read, searched)) is not None:
            return start + match.end()
    raise FileFormatError(
        f"{path}: no {'sentence' if kind == 'conllu' else 'line'} ends within 64 MiB of byte {start:,}"
    )


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes if the file is written or replaced."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _names(files: Sequence[Path]) -> str:
    return f"{files[0]}" if len(files) == 1 else f"these {len(files):,} files"


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
    """Return the parts of a Parquet file that hold a column in one row group. Call it inside `reading`."""
    ranges, row_group = [], metadata.row_group(group)
    for k in range(row_group.num_columns):
        chunk = row_group.column(k)
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
