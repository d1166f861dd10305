"""Text from a file or stream, with an error that says which file and what to do."""

import os
from pathlib import Path
from typing import IO, Any

from hiddenstate.errors import FileFormatError

Source = str | os.PathLike[str] | IO[Any]


def read_text(source: Source) -> str:
    """Return all text of a UTF-8 file, or of an open stream of text or bytes, without a byte-order mark.

    Raises:
        FileFormatError: it is not UTF-8.
        OSError: the file cannot be read.
    """
    try:
        data = Path(source).read_bytes() if isinstance(source, str | os.PathLike) else source.read()
        text = data if isinstance(data, str) else str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{name_of(source)}: not UTF-8 text ({error.reason} at byte {error.start}); convert it to UTF-8"
        ) from error
    return text.removeprefix("\ufeff")


def name_of(source: Source) -> str:
    """Return what to call the source in a message."""
    return str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "<stream>"))
