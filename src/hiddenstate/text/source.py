"""Reads text from a file or stream, with errors that name the file and the remedy."""

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

from hiddenstate.errors import FileFormatError

Source = str | os.PathLike[str] | IO[Any]

CHUNK = 2**20  # bytes


def read_text(source: Source) -> str:
    r"""Return all text of a UTF-8 file, or of an open stream of text or bytes.

    A byte-order mark is removed, and every line end (``\r\n`` and ``\r`` too) becomes ``\n``.

    Raises:
        FileFormatError: it is not UTF-8.
        OSError: the file cannot be read.
    """
    try:
        data = Path(source).read_bytes() if isinstance(source, str | os.PathLike) else source.read()
        text = data if isinstance(data, str) else str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error, error.start) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_chunks(source: Source, size: int = CHUNK) -> Iterator[str]:
    r"""Yield the text of a UTF-8 file or an open stream in pieces, as it arrives.

    A byte-order mark is removed, and every line end (``\r\n`` and ``\r`` too) becomes ``\n``.
    """
    newlines, first = io.IncrementalNewlineDecoder(None, translate=True), True
    for chunk in _decoded(source, size):
        # According to its type hints, the decoder takes bytes, but without an inner decoder it takes text.
        text = newlines.decode(chunk.removeprefix("\ufeff") if first else chunk)
        first = first and not chunk
        if text:
            yield text
    yield from filter(None, [newlines.decode("", final=True)])


def describe_source(source: Source) -> str:
    """Return the name of the source for a message."""
    return str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "<stream>"))


def _decoded(source: Source, size: int) -> Iterator[str]:
    decoder, consumed = codecs.getincrementaldecoder("utf-8")(), 0
    with Path(source).open("rb") if isinstance(source, str | os.PathLike) else nullcontext(source) as file:
        read = getattr(file, "read1", file.read)  # for a pipe, read1 returns what has already arrived
        while True:
            pending = len(decoder.getstate()[0])
            try:
                data = read(size)
                yield data if isinstance(data, str) else decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise _not_utf8(source, error, consumed - pending + error.start) from error
            consumed += len(data)
            if not data:
                return


def _not_utf8(source: Source, error: UnicodeDecodeError, position: int) -> FileFormatError:
    return FileFormatError(
        f"{describe_source(source)}: not UTF-8 text ({error.reason} at byte {position}); convert it to UTF-8"
    )
