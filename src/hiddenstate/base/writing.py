"""All files are written inside a `writing` block, which turns system errors into ours, with the file's name."""

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
    """Turn system errors about this file or folder into FileWriteError; those about other files or pipes pass."""
    try:
        yield
    except (HiddenStateError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno is None or not _is_about(error, Path(os.path.realpath(path))):
            raise
        raise refusal(path, error.errno) from error


def refusal(path: str | os.PathLike[str], number: int) -> FileWriteError:
    """Return the error for a file that can't be written, by the system's error number."""
    what_to_do = ""
    if number in _FORBIDDEN:
        what_to_do = "; choose a different place, or allow writing there"
    elif number in _FULL:
        what_to_do = "; make room, or choose a different place"
    error = FileWriteError(f"cannot write {path}: {os.strerror(number)}{what_to_do}")
    error.errno = number
    return error


def check_writable(path: Path) -> None:
    """Refuse to replace a read-only file or folder, or one with read-only content, even if renaming would succeed."""
    held = [path, *(path.iterdir() if path.is_dir() else ())]
    for place in held:
        if place.exists() and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def _is_about(error: OSError, target: Path) -> bool:
    """Whether an error is about the target, a temporary one beside it, a file in one of them, or a parent folder."""
    names = [
        name for name in (error.filename, error.filename2) if name is not None
    ]  # the source of a copy is the first argument
    return not names or any(_is_near(Path(os.path.realpath(os.fsdecode(name))), target) for name in names)


def _is_near(path: Path, target: Path) -> bool:
    inside = (path, *path.parents)
    is_beside = any(part.parent == target.parent and target.name in part.name for part in inside)
    return is_beside or target in inside or path in target.parents
