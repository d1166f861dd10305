"""Cuts the files of a corpus into shards at sentence ends, and hashes the content of each shard."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import reading
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import optional_package
from hiddenstate.corpus.shards.hashes import changed, group_ranges, hash_bytes, hash_ranges
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError
from hiddenstate.text.conllu import looks_like_conllu
from hiddenstate.text.corpora import corpus_path

KINDS = {".conllu": "conllu", ".conll": "conllu", ".tokens": "tokens", ".tok": "tokens", ".parquet": "parquet"}
SHARD_BYTES = 1 << 20
LONGEST = 1 << 26  # maximum number of bytes without the end of a line or sentence
MOST_GROUP = 1 << 30  # maximum unpacked size of a Parquet file's row group, in bytes
MOST_SHARDS = 10_000_000

_HEAD = 1 << 16  # how many bytes are examined to decide whether a file is CoNLL-U
_BLANK = re.compile(rb"\n[ \t\r]*\n")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Shard:
    """A part of one file.

    Attributes:
        number: its place in the corpus, from 0.
        path: the file.
        kind: ``conllu``, ``tokens``, ``text`` or ``parquet``.
        start: the first byte, or the first row group of a Parquet file.
        stop: the byte, or row group, after the last.
        is_part: whether the file has other shards.
        column: the text column in a Parquet file.
    """

    number: int
    path: str
    kind: str
    start: int
    stop: int
    is_part: bool = False
    column: str = ""
    blake2b: str = ""

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
    """Return the files to which paths, globs and corpus names (such as ``wikitext-2:train``) refer, in order.

    Raises:
        ArgumentError: a pattern matches no file, or there are no files.
        ArgumentTypeError: something is not a path.
        FileNotFoundError, IsADirectoryError: a file does not exist, or is a folder.
    """
    found: list[Path] = []
    for each in [files] if isinstance(files, str | os.PathLike) else files:
        if not isinstance(each, str | os.PathLike):
            raise ArgumentTypeError(f"the files of a corpus must be paths, got {type(each).__name__}")
        text = os.fspath(each)
        if _MAGIC.search(text) and not Path(text).exists():
            matches = sorted(path for path in glob.glob(text, recursive=True) if Path(path).is_file())  # noqa: PTH207
            if not matches:
                raise ArgumentError(f"no file matches {text!r}")
            found += map(Path, matches)
        else:
            found.append(corpus_path(text))
    if not found:
        raise ArgumentError("a corpus needs at least one file")
    for path in found:
        check_is_file(path)
    return [path.resolve() for path in found]


def plan(
    files: Sequence[Path], *, shard_bytes: int = SHARD_BYTES, kind: str | None = None, column: str = "text"
) -> list[Shard]:
    """Cut files into shards, and hash their content. The cuts depend only on the files and ``shard_bytes``.

    Args:
        files: the files, as `expand` returns them.
        shard_bytes: the minimum size of each shard of text (the last shard of a file may be smaller). In Parquet files,
            each row group is a shard.
        kind: the kind of all files; by default it is inferred from their names or first lines.
        column: the text column in Parquet files.

    Raises:
        ArgumentError: ``shard_bytes`` is below 1, or there would be more than ten million shards.
        FileFormatError: a file has 64 MiB without the end of a line or sentence, is not a Parquet file with this
            column, or changes meanwhile; or there is nothing in the files.
        MissingDependencyError: there is a Parquet file, and pyarrow is not installed.
        OSError: a file cannot be read.
    """
    size = check_int("shard_bytes", shard_bytes)
    if size < 1:
        raise ArgumentError(f"shard_bytes must be at least 1, got {shard_bytes}")
    total = sum(path.stat().st_size for path in files)
    if total // size > MOST_SHARDS:
        raise ArgumentError(
            f"{total:,} bytes in shards of {size:,} would be more than {MOST_SHARDS:,} shards: raise shard_bytes"
        )
    shards: list[Shard] = []
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        for path in files:
            before = _stamp(path)
            of = kind or KINDS.get(path.suffix.lower()) or _detected(path)
            named = column if of == "parquet" else ""
            ranges = (
                _row_groups(path, column) if of == "parquet" else [[cut] for cut in pairwise(_cuts(path, of, size))]
            )
            for k, content in enumerate(pool.map(partial(hash_ranges, path), ranges)):
                start, stop = (k, k + 1) if of == "parquet" else ranges[k][0]
                shards.append(Shard(len(shards), str(path), of, start, stop, len(ranges) > 1, named, content))
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


def shards_to_data(shards: Sequence[Shard]) -> list[dict[str, Any]]:
    """Return shards as data for JSON."""
    return [asdict(shard) for shard in shards]


def open_parquet(path: str) -> Any:
    """Open a Parquet file whose metadata can't be trusted. Call it inside `reading`.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    parquet = optional_package("pyarrow.parquet", "corpus", "reading Parquet")
    return parquet.ParquetFile(path, thrift_string_size_limit=1 << 26, thrift_container_size_limit=1 << 20)


def _detected(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD).decode("utf-8", "replace")
    return "conllu" if looks_like_conllu(head.removeprefix("\ufeff").replace("\r\n", "\n")) else "text"


def _row_groups(path: Path, column: str) -> list[list[tuple[int, int]]]:
    """Return the parts of a Parquet file that each row group's column occupies."""
    with reading(path), open_parquet(str(path)) as file:
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
            found = read.find(b"\n", searched)
            if found >= 0:
                return start + found + 1
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
