"""Inspects the pickles in torch's files before torch reads them: torch takes hours to reject some of them.

torch's error message quotes in full whatever a pickle named or called, and searching it takes quadratic time: a name of
one megabyte keeps torch busy for hours, and a tuple of tuples that keeps doubling never ends. Everything rejected here
is also rejected by torch. Nothing in a pickle is run.
"""

import pickletools
import tarfile
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch

from hiddenstate.errors import FileFormatError

_LONGEST = 500  # maximum number of characters in a class name
_ZIP = b"PK\x03\x04"
# Pickles at the start of a file in the old format: three for the format, one for the tensors, one for their keys.
_OLD = 5

# The kinds of values on the stack: a named class or function, an integer, the string "storage", a tuple that starts
# with it (which identifies a storage), or anything else.
_GLOBAL, _NUMBER, _STORAGE_TEXT, _STORAGE, _ELSE = range(5)
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING", "STRING"}


def check_torch_file(path: str | Path) -> None:
    """Reject a file whose contents torch would refuse with a message that quotes them.

    Raises:
        FileFormatError: the file is one of these, or its pickles are damaged.
    """
    with Path(path).open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            check_pickle(BytesIO(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")))
            return
        file.seek(0)
        if _is_tar(file):
            raise FileFormatError(f"{path} was written by torch before 0.1.10, whose files are not supported")
        file.seek(0)
        for _ in range(_OLD):
            check_pickle(file)


def check_pickle(stream: IO[bytes]) -> None:
    """Simulate one pickle on the kinds of values on its stack.

    Raises:
        FileFormatError: the pickle has a very long class name, calls something that is not a named class or function,
            or loads something other than a tensor.
        ValueError, IndexError, KeyError: the pickle is damaged.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL" and isinstance(argument, str) and len(argument) > _LONGEST:
            raise FileFormatError(f"it has a class name of {len(argument):,} characters")
        if opcode.name in ("REDUCE", "NEWOBJ") and machine.stack[-2] != _GLOBAL:
            raise FileFormatError("it calls an object created in it; reading it would run code from the file")
        if opcode.name == "BINPERSID" and machine.stack[-1] not in (_STORAGE, _NUMBER):
            raise FileFormatError("it loads something other than a tensor")
        machine.follow(opcode, argument)


class _Machine:
    """A pickle machine that works on the kinds of values instead of the values."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self._marks: list[int] = []  # stack heights at the marks
        self._memo: dict[int, int] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Apply an opcode to the stack."""
        if opcode.name == "MARK":
            self._marks.append(len(self.stack))
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = self.stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[argument])
        else:
            kind = _kind(opcode, argument, self._take(opcode.stack_before))
            self.stack += [kind] * len(opcode.stack_after)

    def _take(self, kinds: list[pickletools.StackObject]) -> list[int]:
        """Pop an opcode's operands and return them; for a list up to a mark, only the list."""
        is_marked = pickletools.markobject in kinds
        at = self._marks.pop() if is_marked else len(self.stack)
        first = at - (kinds.index(pickletools.markobject) if is_marked else len(kinds))
        if first < 0:
            raise IndexError("an empty stack")
        taken = self.stack[at if is_marked else first :]
        del self.stack[first:]
        return taken


def _kind(opcode: pickletools.OpcodeInfo, argument: Any, taken: list[int]) -> int:
    """The kind of value that an opcode pushes."""
    if opcode.name == "GLOBAL":
        return _GLOBAL
    if opcode.name in _TEXTS:
        return _STORAGE_TEXT if argument == "storage" else _ELSE
    if opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        return _STORAGE if taken[:1] == [_STORAGE_TEXT] else _ELSE
    return _NUMBER if isinstance(argument, int) and opcode.stack_after == [pickletools.pyint] else _ELSE


def _is_tar(file: IO[bytes]) -> bool:
    try:
        tarfile.open(fileobj=file, mode="r:").close()
    except (tarfile.TarError, ValueError, EOFError, OSError):
        return False
    return True
