"""The door that every file comes in by: what is wrong with a file is one of our errors, with the file's name.

A reader puts all that it does with a file into one block of `reading`. Inside, parsers may raise what they like.
"""

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiddenstate.errors import FileFormatError, HiddenStateError, MissingDependencyError

# What a file may hold, unpacked: so many bytes, or so many times its own. Weights are packed to a tenth at the best;
# those that are all zeros to a thousandth, and are then small.
_UNPACKED, _EXPANSION = 1 << 28, 100
_LONGEST = 500  # characters of a foreign message; some quote what they could not read
# What the system says of a file that is whole: EINVAL and the like are said to those who look where nothing is.
_DAMAGE = (None, errno.EINVAL, errno.EOVERFLOW, errno.ERANGE)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever reading a file raises inside into an error of ours with the file's name.

    Raises:
        FileFormatError: anything but the two below was raised, or memory ran out.
        HiddenStateError: one was raised; the file's name is put before its message where it is missing.
        OSError: the system refused the file itself.
    """
    try:
        yield
    except HiddenStateError as error:
        if str(path) not in str(error) and not isinstance(error, MissingDependencyError):
            error.args = (f"{path}: {error}", *error.args[1:])
        raise
    except MemoryError as error:
        raise FileFormatError(f"{path} takes more memory than there is, or is damaged") from error
    except Exception as error:
        if isinstance(error, OSError) and _is_of_the_system(error, path):
            raise
        told = str(error) if len(str(error)) <= _LONGEST else f"{str(error)[:_LONGEST]} ..."
        raise FileFormatError(f"{path} is damaged: {told} ({type(error).__name__})") from error


def unpacked_limit(path: str | os.PathLike[str]) -> int:
    """The most bytes that all that lies packed in a file may have."""
    return max(_UNPACKED, _EXPANSION * Path(path).stat().st_size)


def check_zip(path: str | os.PathLike[str]) -> int:
    """Return how many bytes a zip has, unpacked, before anything in it is.

    Raises:
        FileFormatError: they are more than can be in such a file.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size, limit = sum(member.file_size for member in members), unpacked_limit(path)
    if size > limit:
        raise FileFormatError(
            f"{path} says that it has {size:,} bytes unpacked, which can't be in this file (at most {limit:,})"
        )
    # Others are unpacked at once, whatever size is said.
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise FileFormatError(f"{path} is packed in a way that is not read: only deflated zips are")
    return size


def _is_of_the_system(error: OSError, path: str | os.PathLike[str]) -> bool:
    """Whether the file can't be read, rather than what is in it."""
    plain = isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError))
    return (plain or error.errno not in _DAMAGE) and error.filename in (None, str(path), os.fspath(path))
