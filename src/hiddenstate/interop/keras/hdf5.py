"""Reads HDF5 files in separate processes, so that one that crashes the HDF5 library or keeps it busy is rejected."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate.errors import FileFormatError, MissingDependencyError

PROGRAM = Path(__file__).with_name("hdf5_process.py")
_LONGEST_ANSWER = 1 << 26  # maximum size of a file's listing in bytes
_MEMORY = 1 << 28  # memory limit in bytes, in addition to the arrays
# Seconds of CPU time, one more for this many bytes of the file, and wall-clock time as a multiple of CPU time.
_SECONDS, _BYTES_A_SECOND, _PATIENCE = 5, 1 << 20, 30
_DTYPE = re.compile(r"[<>|=][biufcVO][0-9]*")
Array = np.ndarray[Any, np.dtype[Any]]


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
        return 0 if self.shape is None else prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Hdf5:
    """An HDF5 file, or the unpacked ``content`` of one, whose arrays have at most ``limit`` bytes."""

    path: Path
    content: bytes | None
    limit: int

    def list(self, texts: Sequence[str], longest: int) -> dict[str, Hdf5Item]:
        """Return the contents by path (the root as ""), with these attributes. External links are ignored."""
        order = {"texts": texts, "longest": longest, "longest_answer": _LONGEST_ANSWER}
        answer, _ = ask(self, order)
        return {str(path): _item(described) for path, described in answer["items"].items()}

    def read(self, items: Sequence[Hdf5Item]) -> Sequence[Array]:
        """Return the arrays of datasets."""
        answer, payload = ask(self, {"read": [item.name for item in items]})
        sizes = [item.nbytes for item in items]
        if answer["nbytes"] != sizes or len(payload) != sum(sizes):
            raise FileFormatError(f"{self.path} is damaged: its arrays are not of the sizes that it declares")
        ends = accumulate(sizes)
        return [
            np.frombuffer(payload[end - item.nbytes : end], item.dtype).reshape(item.shape or ())
            for item, end in zip(items, ends, strict=True)
        ]


def _item(described: Mapping[str, Any]) -> Hdf5Item:
    texts = {str(name): str(text) for name, text in described["texts"].items()}
    if "shape" not in described:
        return Hdf5Item(described["name"], texts)
    dtype = np.dtype(described["dtype"] if _DTYPE.fullmatch(described["dtype"]) else "O")
    return Hdf5Item(described["name"], texts, tuple(map(int, described["shape"])), dtype, bool(described["elsewhere"]))


def ask(file: Hdf5, order: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
    """Have a process serve an order, and return its answer and the bytes of the arrays."""
    path, size = file.path, None if file.content is None else len(file.content)
    if getattr(sys, "frozen", False) or not sys.executable:
        raise MissingDependencyError(
            f"{path}: HDF5 is read in a separate process, but there is no Python interpreter to run it"
        )
    seconds = _SECONDS + (path.stat().st_size if size is None else size) // _BYTES_A_SECOND
    memory = _MEMORY + file.limit + 2 * (size or 0)
    limits = {"memory": memory, "seconds": seconds, "sys_path": list(map(str, sys.path))}
    too_long = FileFormatError(f"{path} takes more than {seconds} seconds to read, or is damaged")
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(PROGRAM)],
            input=json.dumps({**order, **limits, "path": os.fspath(path), "size": size}).encode()
            + b"\n"
            + (file.content or b""),
            capture_output=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each additional thread would take more memory
            timeout=_PATIENCE * seconds,
            check=False,
        )
    except OSError as error:
        raise MissingDependencyError(f"{path}: {sys.executable} can't be run to read it: {error}") from error
    except subprocess.TimeoutExpired:
        raise too_long from None
    begun, _, output = process.stdout.partition(b"\n")
    if process.returncode:
        name = f"exit code {process.returncode}"
        if -process.returncode in set(signal.Signals):
            name = signal.Signals(-process.returncode).name
        if name == "SIGXCPU":
            raise too_long
        if not begun:
            last_line = process.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise MissingDependencyError(f"{path}: the process that reads HDF5 did not start: {last_line or name}")
        raise FileFormatError(f"{path} is damaged: it crashed the HDF5 library ({name})")
    head, _, payload = output.partition(b"\n")
    answer: Mapping[str, Any] = json.loads(head)
    if "error" in answer:
        raise FileFormatError(f"{path} {answer['error']:.500}")
    return answer, payload
