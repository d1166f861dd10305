"""The pickles in torch's files, looked at before torch reads them: of some that it refuses it takes hours to say why.

torch puts into its message what a pickle named or called, in full, and searches that in time that grows with its
square: a name of a megabyte keeps it busy for hours, and a tuple of tuples that doubles for ever. What is refused here
is refused by torch too. Nothing in a pickle is run.
"""

import pickletools
import tarfile
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch

from hiddenstate.errors import FileFormatError

_LONGEST = 500  # characters of the name of a class
_ZIP = b"PK\x03\x04"
# Pickles at the beginning of a file of the old kind: three of how it is written, one of tensors, one of their keys.
_OLD = 5

# What is known of a value on the stack: a class or function by its name, a whole number, the text "storage", a tuple
# that begins with it, by which a storage is told, or anything else.
_GLOBAL, _NUMBER, _STORAGE_TEXT, _STORAGE, _ELSE = range(5)
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING", "STRING"}


def check_torch_file(path: str | Path) -> None:
    """Refuse a file that torch would refuse in a message of what is in it.

    Raises:
        FileFormatError: it is such a file, or its pickles are damaged.
    """
    with Path(path).open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            check_pickle(BytesIO(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")))
            return
        file.seek(0)
        if _is_tar(file):
            raise FileFormatError(f"{path} is of a torch before 0.1.10, whose files are not read")
        file.seek(0)
        for _ in range(_OLD):
            check_pickle(file)


def check_pickle(stream: IO[bytes]) -> None:
    """Follow one pickle, by what kinds of values it has on its stack.

    Raises:
        FileFormatError: it names a class by a long name, or calls or loads what is none.
        ValueError, IndexError, KeyError: it is damaged.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL" and argument is not None and len(argument) > _LONGEST:
            raise FileFormatError(f"it names a class by {len(argument):,} characters")
        if opcode.name in ("REDUCE", "NEWOBJ") and machine.stack[-2] != _GLOBAL:
            raise FileFormatError("it calls what is made in it; reading it would run code out of the file")
        if opcode.name == "BINPERSID" and machine.stack[-1] not in (_STORAGE, _NUMBER):
            raise FileFormatError("it loads something else than a tensor")
        machine.follow(opcode, argument)


class _Machine:
    """The machine that runs a pickle, on kinds of values in place of values."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, int] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do to the stack what an opcode does."""
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
        """Take off the stack what an opcode takes, and return it; of a list up to a mark that alone."""
        is_marked = pickletools.markobject in kinds
        at = self._marks.pop() if is_marked else len(self.stack)
        first = at - (kinds.index(pickletools.markobject) if is_marked else len(kinds))
        if first < 0:
            raise IndexError("an empty stack")
        taken = self.stack[at if is_marked else first :]
        del self.stack[first:]
        return taken


def _kind(opcode: pickletools.OpcodeInfo, argument: Any, taken: list[int]) -> int:
    """The kind of value that an opcode puts onto the stack."""
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
