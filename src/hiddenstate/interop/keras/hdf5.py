"""Reads HDF5 files in a separate process, so that a file that crashes the HDF5 library is rejected as damaged.

The file's strings are checked before: the library loops forever on some and crashes on others. The format:
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html, "Global Heap", "The Datatype Message".
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from mmap import mmap
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import numpy as np

from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError, MissingDependencyError

_SIGNATURE, _HEAP = b"\x89HDF\r\n\x1a\n", b"GCOL\x01"
_HEADER, _OBJECT = 16, 16  # bytes
_LENGTH = 8  # size of a length field in bytes, always 8 in Keras files


# The header of the type of variable-length strings: version and class 9; the kind, which must be 0 or 1; two more
# bytes; the size, 16; and the element type, single bytes.
_UNKNOWN_TYPE = re.compile(
    b"[\x19\x29\x39\x49]["
    + re.escape(bytes(byte for byte in range(256) if byte % 16 > 1))
    + b"]..\x10\x00\x00\x00[\x10-\x4f]...\x01\x00\x00\x00",
    re.DOTALL,
)
PROGRAM = Path(__file__).with_name("hdf5_process.py")
_LONGEST_ANSWER = 1 << 26  # maximum size of a file's listing in bytes
_MEMORY = 1 << 28  # memory limit in bytes, in addition to the arrays
# Seconds of CPU time, one more for this many bytes of the file, and wall-clock time as a multiple of CPU time.
_SECONDS, _BYTES_A_SECOND, _PATIENCE = 10, 1 << 20, 30
_DTYPE = re.compile(r"[<>|=][biufcVO][0-9]*")
Array = np.ndarray[Any, np.dtype[Any]]
Ask = Callable[[Mapping[str, Any], memoryview | None], Mapping[str, Any]]


def find_hdf5_start(content: bytes | mmap) -> int | None:
    """Return the offset of HDF5 in a file; None for other files."""
    return next((at for at in _places(len(content)) if content[at : at + 8] == _SIGNATURE), None)


def check_texts(content: bytes | mmap) -> None:
    """Raise FileFormatError if a file has string heaps without an end, or invalid string types."""
    if _UNKNOWN_TYPE.search(content):
        raise FileFormatError("is damaged: the type of a string is invalid")
    start = find_hdf5_start(content)
    if start is None:
        return  # the library itself reports this error
    version = content[start + 8 : start + 9]
    place = start + (14 if version < b"\x02" else 10)
    if content[place : place + 1] != bytes([_LENGTH]):
        raise FileFormatError(f"its lengths are not stored in {_LENGTH} bytes, as Keras files require")
    left = len(content) // _OBJECT
    at = content.find(_HEAP, 0)
    while at >= 0:
        left -= _objects(content, at)
        if left < 0:
            raise FileFormatError("is damaged: its string heaps overlap")
        at = content.find(_HEAP, at + 1)


def _places(size: int) -> Iterator[int]:
    """Yield the offsets at which HDF5 may start in a file: 0, 512, 1024, 2048, and so on."""
    place = 0
    while place < size:
        yield place
        place = max(512, 2 * place)


def _objects(content: bytes | mmap, at: int) -> int:
    """Count the objects in a heap."""
    end, count = at + int.from_bytes(content[at + 8 : at + 16], "little"), 0
    at += _HEADER
    while at + _OBJECT <= min(end, len(content)):
        number = int.from_bytes(content[at : at + 2], "little")
        size = int.from_bytes(content[at + 8 : at + 16], "little")
        if number == 0 and size < _OBJECT:  # free space, which includes its own header
            raise FileFormatError("is damaged: free space in its string heap has no size")
        at += size if number == 0 else _OBJECT + -(-size // 8) * 8
        if at > end:  # such sizes overflow in the library, which then reads the same object again and again
            raise FileFormatError("is damaged: a string in its string heap is longer than the heap")
        count += 1
    return count


@dataclass(frozen=True)
class Hdf5Item:
    """A group or a dataset.

    Attributes:
        name: its path in the file.
        texts: its string attributes among those requested; "" for attributes of another type.
        shape: a dataset's shape; None for groups and null datasets.
        dtype: a dataset's type.
        elsewhere: whether a dataset is stored in another file.
    """

    name: str
    texts: Mapping[str, str]
    shape: tuple[int, ...] | None = None
    dtype: "np.dtype[Any]" = np.dtype("V0")  # noqa: RUF009 (a constant)
    elsewhere: bool = False

    @property
    def nbytes(self) -> int:
        """The size in bytes that a dataset claims."""
        return prod(self.shape or (0,)) * self.dtype.itemsize


class Hdf5:
    """An open HDF5 file: ``ask`` sends a request to the process that reads it, with a buffer for the payload."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def list(self, group: str, texts: Sequence[str], longest: int) -> dict[str, Hdf5Item]:
        """Return a group's contents by path (itself as ""), with their attributes. External links are ignored."""
        answer = self._ask({"list": group, "texts": texts, "longest": longest}, None)
        return {str(path): _item(described) for path, described in answer["items"].items()}

    def read(self, item: Hdf5Item) -> Array:
        """Return the array of a dataset."""
        array: Array = np.empty(item.shape or (), item.dtype)
        self._ask({"read": item.name}, array.reshape(-1).view(np.uint8).data)
        return array


def _item(described: Mapping[str, Any]) -> Hdf5Item:
    texts = {str(name): str(text) for name, text in described["texts"].items()}
    if "shape" not in described:
        return Hdf5Item(described["name"], texts)
    dtype = np.dtype(described["dtype"] if _DTYPE.fullmatch(described["dtype"]) else "O")
    return Hdf5Item(described["name"], texts, tuple(map(int, described["shape"])), dtype, bool(described["elsewhere"]))


@contextmanager
def opened(path: Path, content: bytes | None, limit: int) -> Iterator[Hdf5]:
    """Open a file, or unpacked content, in a process that ends after the block."""
    with reading(path):
        process = _Process(path, path.stat().st_size if content is None else len(content))
        try:
            process.begin(content, limit)
            yield Hdf5(process.ask)
        finally:
            process.end()


def _scratch() -> IO[bytes]:
    """Return a file for a process's error output, which may be long and is not read while the process runs."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # files should still be readable on a read-only system
        return Path(os.devnull).open("r+b")


class _Process:
    """The process that reads the file."""

    def __init__(self, path: Path, size: int) -> None:
        if getattr(sys, "frozen", False) or not sys.executable:
            raise MissingDependencyError(
                f"{path}: HDF5 is read in a separate process, but there is no Python interpreter to run it"
            )
        self.path, self.seconds = path, _SECONDS + size // _BYTES_A_SECOND
        self._errors = _scratch()
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each additional thread would take more memory
            )
        except OSError as error:
            self._errors.close()
            raise MissingDependencyError(f"{path}: {sys.executable} can't be run to read it: {error}") from error
        self._orders = cast(io.BufferedWriter, self._child.stdin)
        self._answers = cast(io.BufferedReader, self._child.stdout)
        self._is_late, self._is_ready = False, False
        self._clock = threading.Timer(_PATIENCE * self.seconds, self._stop)
        self._clock.daemon = True
        self._clock.start()

    def begin(self, content: bytes | None, limit: int) -> None:
        size = None if content is None else len(content)
        memory = _MEMORY + limit + 2 * (size or 0)
        begin = {"path": os.fspath(self.path), "size": size, "sys_path": list(map(str, sys.path)), "memory": memory}
        self.ask({**begin, "seconds": self.seconds}, None)
        self._is_ready = True
        if content is not None:
            self._send(content)

    def ask(self, order: Mapping[str, Any], room: memoryview | None) -> Mapping[str, Any]:
        """Send a request, and return the answer; its payload fills ``room``."""
        self._send(json.dumps(order).encode() + b"\n")
        line = self._answers.readline(_LONGEST_ANSWER)
        if not line.endswith(b"\n"):
            self._refuse(too_long=len(line) == _LONGEST_ANSWER)
        answer: Mapping[str, Any] = json.loads(line)
        if "error" in answer:
            raise FileFormatError(f"{self.path} is damaged: {answer['error']:.500}")
        if room is not None and (answer["nbytes"] != room.nbytes or self._answers.readinto(room) != room.nbytes):
            self._refuse(too_long=False)
        return answer

    def _send(self, content: bytes) -> None:
        with suppress(OSError):  # the process has ended, which the missing answer will reveal
            self._orders.write(content)
            self._orders.flush()

    def _stop(self) -> None:
        self._is_late = True
        self._child.kill()

    def _refuse(self, *, too_long: bool) -> NoReturn:
        """Raise the error that explains the missing answer."""
        if too_long:
            raise FileFormatError(f"{self.path} has more groups and datasets than Keras files have")
        self._close()
        try:
            code = self._child.wait(timeout=_SECONDS)
        except subprocess.TimeoutExpired:  # the process is still running, but did not answer properly
            raise FileFormatError(
                f"{self.path} could not be read: the process that reads HDF5 did not answer"
            ) from None
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
        if self._is_late or name == "SIGXCPU":
            raise FileFormatError(f"{self.path} takes more than {self.seconds} seconds to read, or is damaged")
        if not self._is_ready:
            self._errors.seek(0)
            last_line = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise MissingDependencyError(f"{self.path}: the process that reads HDF5 did not start: {last_line or name}")
        raise FileFormatError(f"{self.path} is damaged: it crashed the HDF5 library ({name})")

    def end(self) -> None:
        self._clock.cancel()
        self._child.kill()
        self._close()
        self._child.wait()
        self._errors.close()

    def _close(self) -> None:
        for stream in (self._orders, self._answers):
            with suppress(OSError):  # unsent data
                stream.close()
