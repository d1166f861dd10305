"""Checks an HDF5 file's strings before the HDF5 library reads them: it loops forever on some and crashes on others.

The format: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html, "Global Heap", "The Datatype Message".
"""

import re
from collections.abc import Iterator
from mmap import mmap

from hiddenstate.errors import FileFormatError

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
