"""The lock of a run's folder, which ends with its process; a file beside it names its holder."""

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

# The lock file stays in the folder of a run, because another process could be waiting for it.
LOCK_FILES = LOCK, HOLDER = "run.lock", "running.json"
# Seconds to wait, because a killed process may need a moment to end, and a new holder a moment to write its identity.
_PATIENCE = 0.5
# Error numbers of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class RunLock:
    """The lock of one folder, held by one thread at a time; that thread may take it again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holder: tuple[int, int] | None = None


class Holding:
    """A block in which a thread of this process holds a lock; a nested block changes nothing."""

    def __init__(self, lock: RunLock) -> None:
        self._run_lock, self._folder, self._me = lock, lock.folder, (os.getpid(), threading.get_ident())
        self._is_inner = lock.holder == self._me
        self._lock = FileLock(self._folder / LOCK)
        self._missing = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        self._is_new, self._is_mine = not (self._folder / LOCK).exists(), False

    def acquire(self) -> None:
        """Take the lock; create the folder if it is missing."""
        if self._is_inner:
            return
        with writing(self._folder):
            if self._folder.exists() and not self._folder.is_dir():
                raise ArgumentError(f"{self._folder} is a file; a run needs a folder for its checkpoints")
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take(self._lock)
            since = time.strftime("%Y-%m-%d %H:%M:%S %z")
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            replace_bytes(self._folder / HOLDER, json.dumps(holder).encode())
        self._is_mine, self._run_lock.holder = True, self._me

    def release(self, *, keep: bool) -> None:
        """Release the lock; safe to repeat, or after an interrupted `acquire`. Without `keep`, restore the folder."""
        if self._is_inner:
            return
        if self._run_lock.holder == self._me:
            self._run_lock.holder = None
        if self._is_mine or self._lock.is_locked:  # otherwise the files belong to another process
            with suppress(OSError):
                (self._folder / HOLDER).unlink(missing_ok=True)
                if not keep or (self._is_new and not self._is_mine):
                    (self._folder / LOCK).unlink(missing_ok=True)
            self._lock.release()
        if not keep:
            drop_empty(self._missing)

    def _take(self, lock: FileLock) -> None:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise RunInUseError(
                f"{self._folder} is in use: {self._others()}. Wait until it ends, or stop it, which loses nothing, and "
                "continue with --resume; or choose a different folder"
            ) from None
        except (NotImplementedError, OSError) as error:  # older versions of filelock raise NotImplementedError
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"the file system of {self._folder} has no locks; make sure yourself that no other process trains "
                "there in the meantime",
                stacklevel=2,
            )

    def _others(self) -> str:
        """Describe the lock's holder."""
        try:
            holder = json.loads((self._folder / HOLDER).read_bytes())
            return f"process {holder['pid']} on {holder['host']} trains there since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process trains there"
