"""The steps at which units exceed a threshold, as bits: a row of bits for each unit."""

import os
import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError

Bytes = NDArray[np.uint8]

ABOVE, EQUAL = "above.npy", "equal.npy"  # a shard's files: rows of bits, and `is_equal`, for all places and thresholds

_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '\|u1', 'fortran_order': False, "
    rb"'shape': \((?P<rows>[0-9]{1,12}),(?: (?P<columns>[0-9]{1,12}))?\), \} *\n",
    re.DOTALL,
)


def to_float32(number: float) -> np.float32:
    """Return a number as float32: infinite, without a warning, if it is beyond the range."""
    with np.errstate(over="ignore"):
        return np.float32(number)


class BitCollector:
    """Collects the bits of one place and threshold over the chunks of a shard, in any order.

    Args:
        steps: M, the number of steps of the shard.
        units: U.
        threshold: a bit is set if a value is above it, compared as float32.

    Attributes:
        is_equal: ``[U]``, 1 for units whose value is exactly the threshold at some step. For all others, the bits
            of ``>`` are those of ``>=``.
    """

    def __init__(self, steps: int, units: int, threshold: float) -> None:
        self._by_step = np.zeros((steps, -(-units // 8)), np.uint8)
        self._units, self._threshold = units, threshold
        self.is_equal = np.zeros(units, np.uint8)

    def add(self, flat: Tensor, steps: NDArray[np.int64]) -> None:
        """Take the values ``[m, U]`` of some steps of the shard."""
        above = torch.gt(flat, self._threshold).numpy()
        self.is_equal |= (flat == self._threshold).any(0).numpy()
        self._by_step[steps] = np.packbits(above, axis=-1)

    def finish(self) -> Bytes:
        """Return the bits by unit, ``[U, ceil(M / 8)]``."""
        found = np.empty((self._by_step.shape[1] * 8, -(-len(self._by_step) // 8)), np.uint8)
        for k in range(self._by_step.shape[1]):
            eight = np.unpackbits(self._by_step[:, k : k + 1], axis=1)
            found[8 * k : 8 * k + 8] = np.packbits(np.ascontiguousarray(eight.T), axis=1)
        return found[: self._units]


def read_row(path: Path, row: int) -> bytes:
    """Return one row of an array file of bytes, or one element of a file ``[M]``.

    There are thousands of such files, so only what is needed is read: mapping a file takes ten times as long.

    Raises:
        FileFormatError: the file is damaged, or has no such row.
    """
    with reading(path), path.open("rb", buffering=0) as file:
        head = _HEAD.match(file.read(192))
        if head is None:
            raise FileFormatError("it is not an array of bytes")
        rows, start = int(head["rows"]), 10 + int.from_bytes(head["length"], "little")
        width = int(head["columns"] or 1)
        if start + rows * width != os.fstat(file.fileno()).st_size or not 0 <= row < rows:
            raise FileFormatError(f"its length does not fit its header, or it has no row {row}")
        file.seek(start + row * width)
        return file.read(width)
