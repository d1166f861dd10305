"""Reads model files: safetensors files whose metadata describe the tensors."""

import hashlib
import os
from pathlib import Path
from typing import Any

from hiddenstate_runtime._native import File, FileError
from hiddenstate_runtime.graph_model import GraphModel
from hiddenstate_runtime.language import LanguageModel
from hiddenstate_runtime.layer import Layer
from hiddenstate_runtime.series import SeriesModel
from hiddenstate_runtime.shared.errors import ArgumentTypeError, FileFormatError
from hiddenstate_runtime.tagger import Tagger

FORMAT = "hiddenstate.model/1"
LARGEST = 2**34  # maximum size of a file in bytes
KINDS = {
    "layer": Layer,
    "tagger": Tagger,
    "language-model": LanguageModel,
    "series-model": SeriesModel,
    "graph": GraphModel,
}


def load(model: str | os.PathLike[str] | bytes) -> Any:
    """Read a model.

    Args:
        model: a model file's path, or its bytes.

    Returns:
        A `Layer`, a `Tagger`, a `LanguageModel`, a `SeriesModel` or a `GraphModel`, depending on the file.

    Raises:
        FileFormatError: it is not a model file, is damaged, or has a model that this version cannot run.
        OSError: the file cannot be read.
    """
    data, name = (model, "the model") if isinstance(model, bytes) else (_read(model), os.fspath(model))
    try:
        file = File(data)
        metadata = file.metadata()
        kind = _kind(metadata)
        loaded = kind.from_file(file, metadata)
        file.finish()
        if isinstance(loaded, GraphModel):
            loaded.fingerprint = hashlib.blake2b(data, digest_size=16).hexdigest()
        return loaded
    except KeyError as error:
        raise FileFormatError(f"cannot load {name}: it is damaged: it lacks {error}") from error
    except (FileError, FileFormatError, LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(f"cannot load {name}: {error}") from error


def _read(path: str | os.PathLike[str]) -> bytes:
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(f"load takes a path or bytes, got {type(path).__name__}")
    with Path(path).open("rb") as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise FileFormatError(f"cannot load {path}: it is larger than a model file may be ({LARGEST:,} bytes)")
    return data


def _kind(metadata: dict[str, str]) -> Any:
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"its format is {metadata.get('format', '')[:40]!r}, and this version reads {FORMAT!r}")
    kind = metadata.get("kind", "")
    if kind not in KINDS:
        raise FileFormatError(f"it is of kind {kind[:20]!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind]
