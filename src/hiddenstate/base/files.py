"""Writes files and folders atomically: under a temporary name, forced to disk, then renamed. Stores tensors."""

import errno
import glob
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hiddenstate.base.reading import check_safetensors, reading
from hiddenstate.base.scoped import lasting, to_the_end
from hiddenstate.errors import ArgumentError, FileFormatError, FileWriteError, HiddenStateError

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


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file that replaces ``path``, or a link's target, at the end; devices are written directly."""
    path = Path(path)
    check_place(path)
    with writing(path):
        target = None if _is_special(path) else path.resolve()
        folder = Path(tempfile.gettempdir()) if target is None else target.parent
        beside = folder / f"{path.name}.{secrets.token_hex(8)}.part"
        with lasting(partial(beside.touch, 0o600, exist_ok=False), partial(beside.unlink, missing_ok=True)):
            yield beside
            if target is None:
                with beside.open("rb") as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                beside.chmod(0o666 & ~_umask())
                sync(beside)
                beside.replace(target)
                sync(target.parent)


def check_place(path: str | Path) -> None:
    """Reject a path that cannot be written to, before anything is computed."""
    path = Path(path)
    if "\0" in str(path):
        raise ArgumentError(f"cannot write {str(path)!r}: a name can't contain the null character")
    try:
        path.resolve()
    except RuntimeError as error:  # raised by Python 3.12 and older for circular links
        raise refusal(path, errno.ELOOP) from error
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(f"cannot write {path}: it is a folder, expected a file")
        for folder in (path.parent, path.resolve().parent):  # they differ if the path is a link
            if not folder.is_dir():
                raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")
        check_writable(path)
        _check_right(path if _is_special(path) else path.resolve().parent)


def check_folder_place(target: Path, *, is_replaced: bool) -> None:
    """Reject a place where no folder can be written (or replaced), before anything is computed."""
    with writing(target):
        if is_replaced:
            check_writable(target)
        places = target.absolute().parents if is_replaced else (target, *target.absolute().parents)
        around = next(folder for folder in places if folder.exists())
        if not around.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(around))
        _check_right(around)


def write_tensors(path: str | Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors with the file's kind (such as ``"hiddenstate.trace/1"``) and metadata."""
    # safetensors rejects views that share memory, hence a copy of each.
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with written_beside(path) as beside:
        try:
            save_file(copies, beside, metadata={**metadata, "format": kind})
        except SafetensorError as error:  # not an OSError, even if the disk is full
            number = int(match[1]) if (match := re.search(r"os error (\d+)", str(error))) else errno.EIO
            raise OSError(number, os.strerror(number)) from error


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a file that `write_tensors` wrote as this kind."""
    with _opened(path, kind) as (file, metadata):
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (not a mapping)


def read_metadata(path: str | Path, kind: str) -> dict[str, str]:
    """Read the metadata of a file that `write_tensors` wrote as this kind; raises the same errors as `read_tensors`."""
    with _opened(path, kind) as (_, metadata):
        return metadata


@contextmanager
def _opened(path: str | Path, kind: str) -> Iterator[tuple[Any, dict[str, str]]]:
    check_is_file(path)
    with reading(path):
        check_safetensors(path)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                if metadata.get("format") != kind:
                    raise FileFormatError(f"{path} contains {metadata.get('format', 'no format')!r}, expected {kind!r}")
                yield file, metadata
        except SafetensorError as error:
            raise FileFormatError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a new file and force it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_bytes(path: Path, content: bytes, *, obsolete: Sequence[Path] = ()) -> None:
    """Replace a file, always complete, by a rename; ``obsolete`` files go with the old content, or stay with it."""
    beside = free_name(path, "part")
    kept = [(old, free_name(old, "part")) for old in obsolete]
    with writing(path):
        check_writable(path)
        with lasting(partial(write_bytes, beside, content), partial(beside.unlink, missing_ok=True)):
            outcomes: list[OSError | None] = []
            to_the_end(lambda: outcomes.append(_swap(beside, path, kept)))
            if outcomes[-1] is not None:
                raise outcomes[-1]


def _swap(beside: Path, path: Path, kept: Sequence[tuple[Path, Path]]) -> OSError | None:
    """Rename a file and delete the obsolete ones, repeatably; on failure, undo everything and return the error."""
    try:
        for old, aside in kept:
            if old.exists():
                old.rename(aside)
        if beside.exists():
            beside.replace(path)
    except OSError as error:
        for old, aside in kept:
            if aside.exists():
                aside.rename(old)
        return error
    for _, aside in kept:
        aside.unlink(missing_ok=True)
    return None


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, in full or not at all; the file is created if necessary."""
    refuse_link(path)
    content = (line + "\n").encode()
    with writing(path), path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            while content:
                content = content[file.write(content) :]  # on a nearly full disk, only part of it may be written
        except BaseException:  # including KeyboardInterrupt
            os.truncate(file.fileno(), before)
            raise


def refuse_link(path: Path) -> None:
    """Raise FileWriteError for a link in one of our folders, even a dangling one, because its target is not ours."""
    if path.is_symlink():
        error = FileWriteError(
            f"cannot write {path}: it is a link to {path.readlink()}, which would be changed instead; delete the link"
        )
        error.errno = errno.ELOOP
        raise error


def copy_new(source: Path, target: Path) -> None:
    """Copy a file, in full or not at all, to an unused name (a dangling link counts as used)."""
    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            shutil.copyfileobj(reader, writer)
            writer.flush()
        except BaseException:
            target.unlink()
            raise


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield an unused name in the target's folder (which is created); leftovers are deleted."""
    path, missing = free_name(target, "partial"), [parent for parent in target.parents if not parent.exists()]
    with writing(target):
        check_writable(target)
        begin = partial(target.parent.mkdir, parents=True, exist_ok=True)
        with lasting(begin, partial(_drop, path, missing)):
            yield path


def _drop(path: Path, folders: Iterable[Path]) -> None:
    shutil.rmtree(path, ignore_errors=True)
    drop_empty(folders)


def drop_empty(folders: Iterable[Path]) -> None:
    """Delete those folders that exist and are empty; inner folders must come first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def put_folder(finished: Path, target: Path) -> None:
    """Rename a finished folder to its place; an earlier one is deleted, or stays if the rename fails."""
    if not target.exists():
        finished.rename(target)
        return
    # Swapping two folders is not portable, so there are two renames, and the first is undone if the second fails.
    previous = free_name(target, "previous")
    with lasting(partial(target.rename, previous), partial(_settle, previous, target)):
        finished.rename(target)


def _settle(previous: Path, target: Path) -> None:
    """Delete the previous folder if the new one is in place; otherwise restore it."""
    if previous.exists():
        if target.exists():
            shutil.rmtree(previous, ignore_errors=True)
        else:
            previous.rename(target)


def mend_folder(target: Path) -> None:
    """Clean up after a process that was killed while it replaced a folder: restore the old folder, or delete it."""
    previous = left_beside(target, "previous")
    if previous and not target.exists():
        with writing(target):
            previous.pop().rename(target)
    for path in [*previous, *left_beside(target, "partial")]:
        shutil.rmtree(path, ignore_errors=True)


def left_beside(target: Path, purpose: str) -> list[Path]:
    """Return the paths that `free_name` chose for a purpose and that still exist."""
    return sorted(target.parent.glob(f".{glob.escape(target.name)}.*.{purpose}"))


def free_name(target: Path, purpose: str) -> Path:
    """Return an unused name beside the target."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{purpose}")


def sync(path: Path) -> None:
    """Force a file, or a folder's entries, to disk, if the system allows it."""
    if os.name == "posix":
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def check_is_file(path: str | Path) -> None:
    """Raise FileNotFoundError or IsADirectoryError if a path is not a file."""
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected a file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")


def _is_special(path: Path) -> bool:
    """Whether this is a device or a pipe, such as ``/dev/stdout``, which no file may replace."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _check_right(place: Path) -> None:
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def _umask() -> int:
    # The umask can only be read by setting it; mkstemp's 0600 would create files that only their owner can read.
    mask = os.umask(0)
    os.umask(mask)
    return mask
