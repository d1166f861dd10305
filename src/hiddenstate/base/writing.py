"""The door that every file goes out by: what the system won't write is one of our errors, with the file's name.

A writer puts all that it does on the disk into one block of `writing`.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hiddenstate.errors import FileWriteError, HiddenStateError

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says against writing a file or a folder inside into an error of ours with its name.

    Raises:
        FileWriteError: the system refused it.
        OSError: what was raised is not about this file, but about one that is read, say; or nobody reads the pipe.
    """
    try:
        yield
    except (HiddenStateError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno is None or not _is_about(error, Path(os.path.realpath(path))):
            raise
        raise refusal(path, error.errno) from error


def refusal(path: str | os.PathLike[str], number: int) -> FileWriteError:
    """Return the error that says why a file can't be written, by the system's number of it."""
    what_to_do = ""
    if number in _FORBIDDEN:
        what_to_do = "; give another place, or the right to write there"
    elif number in _FULL:
        what_to_do = "; make room, or give another place"
    error = FileWriteError(f"cannot write {path}: {os.strerror(number)}{what_to_do}")
    error.errno = number
    return error


def check_writable(path: Path) -> None:
    """Refuse to replace a file, a folder or what is in it where it is marked as read-only, though renaming would do.

    Raises:
        PermissionError: it is.
    """
    held = [path, *(path.iterdir() if path.is_dir() else ())]
    for each in held:
        if each.exists() and not os.access(each, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(each))


def _is_about(error: OSError, target: Path) -> bool:
    """Whether it is about the target, a file or folder written beside it, a file in one of them, or a folder around."""
    names = [name for name in (error.filename, error.filename2) if name is not None]  # a copy's source comes first
    return not names or any(_is_near(Path(os.path.realpath(os.fsdecode(name))), target) for name in names)


def _is_near(path: Path, target: Path) -> bool:
    inside = (path, *path.parents)
    is_beside = any(each.parent == target.parent and target.name in each.name for each in inside)
    return is_beside or target in inside or path in target.parents
