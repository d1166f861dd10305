"""Text from a file or stream, with an error that says which file and what to do."""

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

    A byte-order mark is left out, and every line end (``\r\n`` and ``\r`` too) is ``\n``.

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
    r"""Yield the text of a UTF-8 file, or of an open stream, piece by piece, as it comes.

    A byte-order mark is left out, and every line end (``\r\n`` and ``\r`` too) is ``\n``.

    Args:
        source: a path, or an open stream of text or bytes.
        size: the most bytes (of a stream of text: characters) read at a time.

    Raises:
        FileFormatError: it is not UTF-8; what came before was given.
        OSError: the file cannot be read.
    """
    newlines, first = io.IncrementalNewlineDecoder(None, translate=True), True
    for chunk in _decoded(source, size):
        # The decoder's hints say that it takes bytes; without a decoder of its own it takes text.
        text = newlines.decode(chunk.removeprefix("\ufeff") if first else chunk)
        first = first and not chunk
        if text:
            yield text
    yield from filter(None, [newlines.decode("", final=True)])


def describe_source(source: Source) -> str:
    """Return what to call the source in a message."""
    return str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "<stream>"))


def _decoded(source: Source, size: int) -> Iterator[str]:
    decoder, consumed = codecs.getincrementaldecoder("utf-8")(), 0
    with Path(source).open("rb") if isinstance(source, str | os.PathLike) else nullcontext(source) as file:
        read = getattr(file, "read1", file.read)  # of a pipe, what is there already
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
