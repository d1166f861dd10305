"""The lock of a run's folder: one run at a time, since two would mix their metrics and overwrite their checkpoints.

The system releases the lock when its process ends, for whatever reason, so a killed process never blocks others. A file
beside it names its holder, which the system does not report.
"""

import errno
import json
import os
import socket
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hiddenstate.base.files import drop_empty, replace_bytes
from hiddenstate.base.writing import writing
from hiddenstate.errors import ArgumentError, RunInUseError

# The lock file remains in the folder of a run: another process could be waiting for a deleted one.
LOCK_FILES = LOCK, HOLDER = "run.lock", "running.json"
# Seconds to wait: a killed process may need a moment to end, and a new holder to write who it is.
_PATIENCE = 0.5
# Error numbers of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class RunLock:
    """The lock of one folder, for one thread, which may acquire it repeatedly."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None
        self._holder, self._depth = (0, 0), 0
        self._made: list[Path] = []

    def acquire(self) -> None:
        """Acquire the lock; the folder is created if necessary.

        Raises:
            RunInUseError: another process has it.
            ArgumentError: the folder is a file.
            FileWriteError: the folder cannot be made, or written into; it is then unchanged.
        """
        me = (os.getpid(), threading.get_ident())
        if not (self._depth and self._holder == me):
            with writing(self._folder):
                self._acquire_anew()
            self._holder, self._depth = me, 0
        self._depth += 1

    def _acquire_anew(self) -> None:
        if self._folder.exists() and not self._folder.is_dir():
            raise ArgumentError(f"{self._folder} is a file; a run needs a folder for its checkpoints")
        missing = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        is_new, lock = not (self._folder / LOCK).exists(), FileLock(self._folder / LOCK)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take(lock)
            replace_bytes(self._folder / HOLDER, json.dumps(_myself()).encode())
        except BaseException:
            if is_new and lock.is_locked:  # otherwise another process may own it by now
                (self._folder / LOCK).unlink(missing_ok=True)
            lock.release()
            drop_empty(missing)
            raise
        self._lock, self._made = lock, missing

    def release(self, *, keep: bool) -> None:
        """Release the lock, if it was released as often as acquired; then ``keep`` the folder, or remove all traces."""
        self._depth -= 1
        if self._depth or self._lock is None:
            return
        with suppress(OSError):
            (self._folder / HOLDER).unlink()
            if not keep:
                (self._folder / LOCK).unlink()
        self._lock.release()
        self._lock = None
        if not keep:
            drop_empty(self._made)

    def _take(self, lock: FileLock) -> None:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise RunInUseError(
                f"{self._folder} is in use: {self._others()}. Wait until it ends, or stop it, which loses nothing, and "
                "continue with --resume; or choose a different folder"
            ) from None
        except (NotImplementedError, OSError) as error:  # older versions of filelock raise the former
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"the file system of {self._folder} has no locks; make sure yourself that no other process trains "
                "there meanwhile",
                stacklevel=2,
            )

    def _others(self) -> str:
        """Return a text about the lock's holder."""
        try:
            found = json.loads((self._folder / HOLDER).read_bytes())
            return f"process {found['pid']} on {found['host']} trains there since {found['since']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process trains there"


def _myself() -> dict[str, object]:
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
