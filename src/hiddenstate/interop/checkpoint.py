"""Reads tensors from torch's files and safetensors files, without running any code in them."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import check_safetensors, check_zip, reading
from hiddenstate.errors import FileFormatError
from hiddenstate.interop.pickles import check_torch_file

# How torch's error names a class that loading the file would have run.
_GLOBAL = re.compile(r"GLOBAL (\S+) was not an allowed global")


def read_checkpoint(path: str | Path) -> Mapping[Any, Any]:
    """Read a state dict, or a dict with state dicts inside, from a ``.safetensors`` file or a file of `torch.save`.

    Raises:
        FileFormatError: the file is damaged or of another kind, or contains pickled code, which is not run.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.
    """
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
        found = _GLOBAL.search(str(error))
        if found or "TorchScript" in str(error):
            holds = f"a pickled {found[1]}" if found else "a TorchScript program"
            raise FileFormatError(
                f"{path} holds {holds}, not just tensors; reading it would run code from the file. If you trust it, "
                "load it with torch, save its state_dict(), and read that"
            ) from error
        raise FileFormatError(f"{path} was not written by torch.save, or is damaged") from error
    return loaded
