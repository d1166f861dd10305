"""Reads tensors from torch's files and safetensors files, without running any code in them.

The pickles in torch's files are inspected before torch reads them: its error message quotes in full whatever a
pickle named or called, and searching it takes quadratic time. A name of one megabyte keeps torch busy for hours, and a
tuple of tuples that keeps doubling never ends. Everything rejected here is also rejected by torch.
"""

import pickletools
import re
import tarfile
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import check_safetensors, check_zip, reading
from hiddenstate.errors import FileFormatError

# How torch's error names a class that loading the file would have run.
_REFUSED_CLASS = re.compile(r"GLOBAL (\S+) was not an allowed global")
_LONGEST = 500  # maximum number of characters in a class name
_ZIP = b"PK\x03\x04"
# Pickles at the start of a file in the old format: three for the format, one for the tensors, one for their keys.
_OLD = 5
# The kinds of values on the stack: a named class or function, an integer, the string "storage", a tuple that starts
# with it (which identifies a storage), or anything else.
_GLOBAL, _NUMBER, _STORAGE_TEXT, _STORAGE, _ELSE = range(5)
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING", "STRING"}


def read_checkpoint(path: str | Path) -> Mapping[Any, Any]:
    """Read a state dict, or a dict with state dicts inside, from a ``.safetensors`` file or a file of `torch.save`."""
    check_is_file(path)
    with reading(path):
        loaded = _tensors(path) if Path(path).suffix == ".safetensors" else _load(path)
        if not isinstance(loaded, Mapping):
            raise FileFormatError(f"{path} contains a {type(loaded).__name__}, expected a state dict")
    return loaded


def _tensors(path: str | Path) -> object:
    check_safetensors(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise FileFormatError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def _load(path: str | Path) -> object:
    try:
        if zipfile.is_zipfile(path):
            check_zip(path)
        check_torch_file(path)
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileFormatError:
        raise
    except Exception as error:  # torch may raise almost anything for a file that is not a checkpoint
        refused = _REFUSED_CLASS.search(str(error))
        if refused or "TorchScript" in str(error):
            holds = f"a pickled {refused[1]}" if refused else "a TorchScript program"
            raise FileFormatError(
                f"{path} holds {holds}, not just tensors; reading it would run code from the file. If you trust it, "
                "load it with torch, save its state_dict(), and read that"
            ) from error
        raise FileFormatError(f"{path} was not written by torch.save, or is damaged") from error
    return loaded


def check_torch_file(path: str | Path) -> None:
    """Reject a file whose contents torch would refuse with a message that quotes them."""
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
    """Simulate one pickle on the kinds of values on its stack."""
    machine = _PickleMachine()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL" and isinstance(argument, str) and len(argument) > _LONGEST:
            raise FileFormatError(f"it has a class name of {len(argument):,} characters")
        if opcode.name in ("REDUCE", "NEWOBJ") and machine.stack[-2] != _GLOBAL:
            raise FileFormatError("it calls an object created in it; reading it would run code from the file")
        if opcode.name == "BINPERSID" and machine.stack[-1] not in (_STORAGE, _NUMBER):
            raise FileFormatError("it loads something other than a tensor")
        machine.follow(opcode, argument)


class _PickleMachine:
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
