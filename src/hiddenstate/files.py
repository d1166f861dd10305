"""Files that are whole or not there, as they are written beside and renamed; tensors in files (safetensors)."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hiddenstate.errors import FileFormatError


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Give a new file beside ``path`` to write into; it is renamed to it after the block, or gone if the block fails.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    handle, name = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_tensors(path: str | Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors with what the file is (``kind``, such as ``"hiddenstate.trace/1"``) and its metadata."""
    # safetensors refuses views that share memory, hence a copy of each.
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with written_beside(path) as beside:
        save_file(copies, beside, metadata={**metadata, "format": kind})


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a file that `write_tensors` wrote as this kind.

    Raises:
        FileFormatError: it is no safetensors file, or of another kind or version.
        FileNotFoundError, IsADirectoryError: there is no such file, or it is a folder.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected a file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise FileFormatError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    if metadata.get("format") != kind:
        raise FileFormatError(f"{path} holds {metadata.get('format', 'no format')!r}, expected {kind!r}")
    return tensors, metadata


def _umask() -> int:
    # There is no way to read it but to set it; mkstemp's 0600 would make files that only their writer can read.
    mask = os.umask(0)
    os.umask(mask)
    return mask
