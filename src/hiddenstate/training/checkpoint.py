"""A run's folder: its settings, its last checkpoint and its metrics.

The checkpoint is one file that is replaced atomically, so whenever the process is killed, either the earlier or the new
checkpoint is complete. Each progress report is a line in ``metrics.jsonl``; a resumed run deletes the lines after its
checkpoint, because they will be written again. Only one process at a time trains in the folder.
"""

import errno
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from filelock import FileLock, Timeout
from torch import Tensor

from hiddenstate.base.files import (
    append_line,
    drop_empty,
    read_metadata,
    read_tensors,
    refuse_link,
    replace_bytes,
    sync,
    write_tensors,
    writing,
)
from hiddenstate.base.messages import plain, shorten
from hiddenstate.base.reading import reading
from hiddenstate.base.scoped import Block, lasting
from hiddenstate.errors import ArgumentError, FileFormatError, RunInUseError
from hiddenstate.training.settings import MAY_CHANGE
from hiddenstate.training.task import Epoch, Score, Step

SETTINGS, CHECKPOINT, METRICS = "run.toml", "checkpoint.safetensors", "metrics.jsonl"
# The lock ends with its process; its file stays in a run's folder, because another process could be waiting for it.
LOCK_FILES = LOCK, HOLDER = "run.lock", "running.json"
_KIND = "hiddenstate.checkpoint/1"
# Seconds to wait, because a killed process may need a moment to end, and a new holder a moment to write its identity.
_PATIENCE = 0.5
# Error numbers of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

P = TypeVar("P")


def default_run(out: Path) -> Path:
    """Return the folder for a model's checkpoints, which is beside the model."""
    if not out.name:
        raise ArgumentError(f"{out} cannot be a model's folder, since it has no name; give a folder inside it")
    return out.with_name(f"{out.name}.run")


@dataclass
class Position:
    """The progress of a run; the loss and rate are those of the last batch."""

    epoch: int = 1  # the current or next one
    batch: int = 0  # finished batches of the epoch
    step: int = 0  # finished batches of the run
    units: int = 0  # units of the epoch seen so far
    loss_sum: float = 0.0  # over these units
    seconds: float = 0.0  # spent on them
    loss: float = 0.0
    rate: float = 0.0
    history: list[Epoch] = field(default_factory=list)  # the finished epochs

    def next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch += 1
        self.batch, self.units, self.loss_sum, self.seconds = 0, 0, 0.0, 0.0


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run needs to resume: position, identity, tensors, and settings that must be the same (if stored)."""

    position: Position
    fingerprint: str
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``name`` and a dot, with that prefix removed."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._holder: tuple[int, int] | None = None  # the process and thread that trains there

    def held(self) -> Block:
        """Return a context manager that prevents anyone else from training in this folder.

        Blocks may be nested. If no run has begun in the folder by the end, the folder is left unchanged.

        Raises:
            RunInUseError: someone else is training in it.
            ArgumentError: it is a file.
            FileWriteError: the folder can't be created or written to, or a file in it is a link, whose target would be
                written instead.
        """
        me = os.getpid(), threading.get_ident()
        if self._holder == me:
            return Block()
        lock, is_new = FileLock(self.path / LOCK), not (self.path / LOCK).exists()
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]

        def begin() -> None:
            for name in (CHECKPOINT, METRICS, *LOCK_FILES):
                refuse_link(self.path / name)
            with writing(self.path):
                if self.path.exists() and not self.path.is_dir():
                    raise ArgumentError(f"{self.path} is a file; a run needs a folder for its checkpoints")
                self.path.mkdir(parents=True, exist_ok=True)
                self._take(lock)
                since = time.strftime("%Y-%m-%d %H:%M:%S %z")
                holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
                replace_bytes(self.path / HOLDER, json.dumps(holder).encode())
            self._holder = me

        def end() -> None:
            keep, is_mine = (self.path / SETTINGS).is_file(), self._holder == me
            if is_mine:
                self._holder = None
            if is_mine or lock.is_locked:  # otherwise the files belong to another process
                with suppress(OSError):
                    (self.path / HOLDER).unlink(missing_ok=True)
                    if not keep or (is_new and not is_mine):
                        (self.path / LOCK).unlink(missing_ok=True)
                lock.release()
            if not keep:
                drop_empty(missing)

        return lasting(begin, end)

    def _take(self, lock: FileLock) -> None:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise RunInUseError(
                f"{self.path} is in use: {self._others()}. Wait until it ends, or stop it, which loses nothing, and "
                "continue with --resume; or choose a different folder"
            ) from None
        except (NotImplementedError, OSError) as error:  # older versions of filelock raise NotImplementedError
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"the file system of {self.path} has no locks; make sure yourself that no other process trains "
                "there in the meantime",
                stacklevel=2,
            )

    def _others(self) -> str:
        """Describe the lock's holder."""
        try:
            holder = json.loads((self.path / HOLDER).read_bytes())
            return f"process {holder['pid']} on {holder['host']} trains there since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process trains there"

    def begin(self, settings: str) -> None:
        """Create the folder for a new run, replacing a finished one.

        Raises:
            RunInUseError: someone else is training in it.
            ArgumentError: there is something that a new run would destroy.
            FileWriteError: the folder can't be created or written to; a finished run in it is left unchanged.
        """
        with self.held():
            self._refuse_to_destroy()
            obsolete = [self.path / CHECKPOINT, self.path / METRICS]
            with writing(self.path):
                replace_bytes(self.path / SETTINGS, settings.encode(), obsolete=obsolete)

    def _refuse_to_destroy(self) -> None:
        # A run that was killed at its start leaves at most a partial file.
        held = any(path.suffix != ".part" and path.name not in LOCK_FILES for path in self.path.iterdir())
        if held and not (self.path / SETTINGS).is_file():
            raise ArgumentError(f"{self.path} is not the folder of a run: {SETTINGS} is missing; choose another folder")
        if (self.path / CHECKPOINT).is_file() and not self._state().get("finished"):
            raise ArgumentError(
                f"{self.path} holds an unfinished run; resume it (--resume {self.path}), or delete the folder"
            )

    def check(self) -> Path:
        """Return the file that `begin` wrote; raise FileFormatError if there is no run."""
        if not (self.path / SETTINGS).is_file():
            raise FileFormatError(f"no run at {self.path}: {SETTINGS} is missing; give the folder of a run")
        return self.path / SETTINGS

    def write(self, checkpoint: Checkpoint, *, finished: bool) -> None:
        """Replace the checkpoint; if that fails, the earlier one is unchanged."""
        metrics = self.path / METRICS
        if metrics.exists():
            with writing(metrics):
                sync(metrics)  # the checkpoint records its length
        state = {
            "position": asdict(checkpoint.position),
            "fingerprint": checkpoint.fingerprint,
            "settings": dict(checkpoint.settings),
            "metrics_bytes": metrics.stat().st_size if metrics.exists() else 0,
            "finished": finished,
        }
        write_tensors(self.path / CHECKPOINT, _KIND, checkpoint.tensors, {"state": json.dumps(state)})

    def read(self, fingerprint: str, settings: Mapping[str, Any] | None = None) -> Checkpoint | None:
        """Return the last checkpoint, if any; refuse a damaged one, and one for different data or settings."""
        if not (self.path / CHECKPOINT).exists():
            return None
        tensors, _ = read_tensors(self.path / CHECKPOINT, _KIND)
        state = self._state()
        with reading(self.path / CHECKPOINT):
            began_with = state.get("settings", {})
            if not isinstance(began_with, dict):
                raise FileFormatError(f"settings must be an object, got {type(began_with).__name__}")
            position = _position(state["position"])
            checkpoint = Checkpoint(position, state["fingerprint"], tensors, began_with)
        if checkpoint.fingerprint != fingerprint:
            raise ArgumentError(
                f"the data of the run in {self.path} has changed since it began; restore the data, or start a new run"
            )
        self._check_settings(checkpoint.settings, settings or {})
        return checkpoint

    def mend(self) -> None:
        """Delete what a killed process left: a partial checkpoint, and metrics later than the last complete one."""
        metrics, checkpoint = self.path / METRICS, self.path / CHECKPOINT
        with writing(self.path):
            for left in self.path.glob("*.part"):
                left.unlink()
            refuse_link(metrics)
            if metrics.exists():
                length = self._state().get("metrics_bytes", 0) if checkpoint.exists() else 0
                if type(length) is not int or length < 0:
                    raise FileFormatError(f"{checkpoint} is damaged: metrics_bytes is not a non-negative number")
                os.truncate(metrics, min(length, metrics.stat().st_size))

    def _check_settings(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        current = json.loads(json.dumps(now))  # converts tuples to lists, as in the file
        changed = [name for name in before if name in current and before[name] != current[name]]
        if changed:
            changes = ", ".join(
                f"{name} was {shorten(before[name])} and is now {shorten(current[name])}" for name in changed
            )
            raise ArgumentError(
                f"the checkpoint in {self.path} does not fit the settings; undo the changes made to {SETTINGS} since "
                f"the run began: {changes}. Only {', '.join(MAY_CHANGE)} may change"
            )

    def _state(self) -> dict[str, Any]:
        metadata = read_metadata(self.path / CHECKPOINT, _KIND)
        with reading(self.path / CHECKPOINT):
            state = json.loads(metadata["state"])
            return state if isinstance(state, dict) else {}

    def log(self, event: str, data: Mapping[str, Any]) -> None:
        """Add a line of JSON to the metrics, with null for numbers that are not finite."""
        line = json.dumps({"event": event, **plain(data)}, ensure_ascii=False, allow_nan=False)
        append_line(self.path / METRICS, line)


def _position(data: Any) -> Position:
    history = [
        Epoch(_checked(Step, epoch["last"]), _checked(Score, epoch["score"]), epoch["is_best"] is True)
        for epoch in data["history"]
    ]
    return _checked(Position, {**data, "history": history})


def _checked(kind: type[P], data: Mapping[str, Any]) -> P:
    """Make an object from the fields of a file, checking that each has its type and that counts are not negative."""
    types = get_type_hints(kind)
    for name, value in data.items():
        wanted = types[name]
        if wanted is int and not (type(value) is int and 0 <= value < 2**63):
            raise FileFormatError(f"{name} must be a non-negative integer, got {value!r:.50}")
        if wanted in (float, str) and not isinstance(value, str if wanted is str else (int, float)):
            raise FileFormatError(f"{name} must be of type {wanted.__name__}, got {value!r:.50}")
        if wanted not in (int, float, str) and not isinstance(value, (list, dict)):
            raise FileFormatError(f"{name} must be a list of values, got {value!r:.50}")
    return kind(**data)
