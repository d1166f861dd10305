"""Makes each disk operation of a piece of work fail in turn, as on a full or broken disk."""

import builtins
import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import filelock
import safetensors.torch
from safetensors import SafetensorError

from hiddenstate.base import files
from hiddenstate.errors import HiddenStateError


class Disk:
    """A disk on which operation k below a folder fails; all others succeed.

    Operations: making or renaming a file or folder, each write, each fsync and each lock.
    """

    def __init__(self, folder: Path, k: int, number: int) -> None:
        self._folder, self._left, self._number = folder.resolve(), k, number
        self.failed: str | None = None

    def operation(self, name: str, *paths: Any) -> None:
        """Count an operation, and raise if it is the one that fails."""
        if self.failed is None:
            self._left -= 1
            if self._left < 0:
                self.failed = " ".join([name, *(Path(path).name for path in paths)])
                raise OSError(self._number, os.strerror(self._number), *(str(path) for path in paths[:1]))

    def is_here(self, path: Any) -> bool:
        """Whether a path, not a file descriptor, is below the folder."""
        return isinstance(path, str | os.PathLike) and self._folder in Path(path).resolve().parents

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the functions that write to disk inside a block."""
        with ExitStack() as stack:
            for owner, name in [(Path, "rename"), (Path, "replace"), (Path, "mkdir"), (Path, "touch")]:
                stack.enter_context(mock.patch.object(owner, name, self._before(name, getattr(owner, name))))
            stack.enter_context(mock.patch.object(os, "fsync", self._always("fsync", os.fsync)))
            lock = filelock.FileLock
            stack.enter_context(mock.patch.object(lock, "acquire", self._always("lock", lock.acquire)))
            stack.enter_context(mock.patch.object(Path, "open", self._opening(Path.open)))
            stack.enter_context(mock.patch.object(builtins, "open", self._opening(builtins.open)))
            stack.enter_context(mock.patch.object(files, "save_file", self._save_file))
            yield

    def _before(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def operation(path: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_here(path):
                self.operation(name, path)
            return do(path, *args, **kwargs)

        return operation

    def _always(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            self.operation(name)
            return do(*args, **kwargs)

        return operation

    def _opening(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not re.search("[wax+]", mode) or not self.is_here(path):
                return do(path, mode, *args, **kwargs)
            self.operation("open", path)
            return _File(do(path, mode, *args, **kwargs), self)

        return opened

    def _save_file(self, tensors: Any, path: Path, metadata: Any) -> None:
        # Safetensors writes in Rust, and reports the system's error only as text.
        safetensors.torch.save_file(tensors, path, metadata=metadata)
        try:
            self.operation("write", path)
        except OSError as error:
            os.truncate(path, path.stat().st_size // 2)
            raise SafetensorError(f"I/O error: {error.strerror} (os error {error.errno})") from None


class _File:
    """A file whose 1st, 2nd, 4th, 8th... write counts as an operation; the one that fails writes half."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk, self._writes = file, disk, 0

    def write(self, content: Any) -> Any:
        self._writes += bool(content)  # matplotlib probes with empty writes
        try:
            if content and self._writes.bit_count() == 1:
                self._disk.operation("write")
        except OSError:
            self._file.write(content[: len(content) // 2])
            raise
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def failed_everywhere(work: Callable[[], Any], folder: Path, check: Callable[[str], None], least: int) -> None:
    """Repeat the work while each disk operation fails in turn, and check the result each time.

    Args:
        work: the writing function; its error must be one of ours. folder: operations below it fail. check: called with
        the failed operation. least: the minimum number of operations, so that a test in which nothing fails does not
        pass.
    """
    for k in range(10_000):
        disk = Disk(folder, k, (errno.ENOSPC, errno.EIO)[k % 2])
        try:
            with disk.installed():
                work()
        except HiddenStateError:
            assert disk.failed is not None
        else:
            assert disk.failed is None, f"{disk.failed} failed, and nothing was said"
            assert k >= least, f"only {k} operations failed"
            return
        check(disk.failed)
    raise AssertionError("the work has no end")
