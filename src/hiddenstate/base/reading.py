"""All files are read inside a `reading` block, which turns every problem into our errors, with the file's name."""

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiddenstate.errors import FileFormatError, HiddenStateError, MissingDependencyError

# Limits for a file's unpacked size: an absolute one, and a multiple of its packed size. Weights compress to a tenth at
# best; all zeros compress to a thousandth, but are then small.
_UNPACKED, _EXPANSION = 1 << 28, 100
# Limits for the header of a safetensors file: its length, as in safetensors itself, and its commas.
LARGEST_HEADER, _HEADER_PARTS = 100_000_000, 1 << 19
_LONGEST = 500  # maximum length of another library's message, as some quote the unreadable content
# Error numbers that damaged content can cause. Any other system error can also happen with an intact file.
_DAMAGE = (None, errno.EINVAL, errno.EOVERFLOW, errno.ERANGE)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn errors while reading a file into FileFormatError; our own, and refusals of access, pass."""
    try:
        yield
    except HiddenStateError as error:
        if str(path) not in str(error) and not isinstance(error, MissingDependencyError):
            error.args = (f"{path}: {error}", *error.args[1:])
        raise
    except MemoryError as error:
        raise FileFormatError(f"{path} takes more memory than this machine has, or is damaged") from error
    except Exception as error:
        if isinstance(error, OSError) and _is_of_the_system(error, path):
            raise
        message = str(error) if len(str(error)) <= _LONGEST else f"{str(error)[:_LONGEST]} ..."
        raise FileFormatError(f"{path} is damaged: {message} ({type(error).__name__})") from error


def unpacked_limit(path: str | os.PathLike[str]) -> int:
    """Return the maximum total unpacked size of a file in bytes."""
    return max(_UNPACKED, _EXPANSION * Path(path).stat().st_size)


def check_safetensors(path: str | os.PathLike[str]) -> None:
    """Check the header of a safetensors file before it is parsed, which can take thirty times its size."""
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, LARGEST_HEADER))
    room = max(0, Path(path).stat().st_size - 8 - length)
    if (parts := header.count(b",")) > _HEADER_PARTS + room:
        raise FileFormatError(f"{path} is damaged: its header has {parts:,} parts, for {room:,} bytes of tensors")


def check_zip(path: str | os.PathLike[str]) -> int:
    """Return the unpacked size of a zip file in bytes, without unpacking it."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    size, limit = sum(member.file_size for member in members), unpacked_limit(path)
    if size > limit:
        raise FileFormatError(
            f"{path} declares {size:,} bytes unpacked, more than this file can contain (at most {limit:,})"
        )
    # Other methods unpack everything at once, whatever the declared size.
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise FileFormatError(f"{path} uses an unsupported compression method: only deflate is supported")
    return size


def _is_of_the_system(error: OSError, path: str | os.PathLike[str]) -> bool:
    """Whether the error is about access to the file rather than its content."""
    plain = isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError))
    return (plain or error.errno not in _DAMAGE) and error.filename in (None, str(path), os.fspath(path))
