"""Reads HDF5 in this process, a hundred times as fast as in a separate one; crashes here must be tried again there."""

import io
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from hiddenstate.errors import FileFormatError
from hiddenstate.interop.keras import file as hdf5
from hiddenstate.interop.keras.file import Hdf5
from hiddenstate.interop.keras.hdf5_process import answer

FORMATS = ("model.keras", "model.h5", "old.h5")
SECONDS = 2  # of CPU time, for files of a few kilobytes; users' may take more


def hurry() -> None:
    """End separate processes that a file keeps busy sooner than users' are."""
    hdf5._SECONDS = SECONDS


@contextmanager
def read_here() -> Iterator[None]:
    """Return a block in which HDF5 is read in this process, which a file that keeps it busy ends."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with mock.patch.object(hdf5, "ask", _ask):
        yield


def _ask(file: Hdf5, order: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
    head, arrays = answer(str(file.path) if file.content is None else io.BytesIO(file.content), dict(order))
    if "error" in head:
        raise FileFormatError(f"{file.path} {head['error']}")
    return head, b"".join(array.tobytes() for array in arrays)
