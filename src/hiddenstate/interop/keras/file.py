"""Weights and configuration in Keras's files, read without Keras: ``.keras``, and both kinds of ``.h5``.

HDF5 is read in separate processes, so that a file that crashes its library or keeps it busy is rejected.
"""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import check_zip, reading, unpacked_limit
from hiddenstate.errors import ArgumentTypeError, FileFormatError, MissingDependencyError
from hiddenstate.interop.layouts import KERAS, to_tensor

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


# Groups that contain only other groups.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "cells")
# Maximum size of a configuration in bytes; once parsed, it takes twenty times as much.
_LARGEST_CONFIG = 1 << 24
# Attributes that Keras writes to groups and arrays.
_TEXTS = ("name", "dtype", "layer_names", "layer_names0", "model_config", "keras_version")


class StoredCell(NamedTuple):
    """Arrays that may belong to one direction of a recurrent layer."""

    names: tuple[str, ...]  # the names of the enclosing layers, or of their groups if the file does not name the layers
    places: tuple[str, ...]  # the names of its groups
    naming: str  # "exact" for the layers' own names, "scoped" if mixed with other models' names, "none" for group names
    arrays: Mapping[str, Any]  # keyed by the names in `layouts.KERAS`: tensors, or items of which they will be read


@dataclass(frozen=True)
class KerasFile:
    """The recurrent layers in a Keras file."""

    cells: list[StoredCell]
    config: Mapping[str, Any] | None  # the model's configuration; None if the file has only weights
    version: str  # the version of Keras that wrote it, or ""


def read_keras(path: str | Path) -> KerasFile:
    """Read a ``.keras`` or ``.h5`` file: a whole model or only its weights. No code in it is run."""
    check_is_file(path)
    with reading(path):
        if zipfile.is_zipfile(path):
            return _read_archive(Path(path))
        return _read_h5(Hdf5(Path(path), None, unpacked_limit(path)))


def _read_archive(path: Path) -> KerasFile:
    limit = unpacked_limit(path) - check_zip(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in ("config.json", "model.weights.h5"):
            if name not in names:
                raise FileFormatError(
                    f"this zip is not a .keras file: {name} is missing; it has {', '.join(names) or 'nothing'}"
                )
        _check_config(archive.getinfo("config.json").file_size)
        config = _object(archive.read("config.json"))
        file = Hdf5(path, archive.read("model.weights.h5"), limit)
    return KerasFile(_within(file, _modern_cells(file.list(_TEXTS, _LARGEST_CONFIG))), config, "")


def _read_h5(file: Hdf5) -> KerasFile:
    items = file.list(_TEXTS, _LARGEST_CONFIG)
    top, older = "model_weights", items
    if top in items:
        below = {path.removeprefix(f"{top}/"): item for path, item in items.items() if path.startswith(f"{top}/")}
        older = {"": items[top], **below}
    root = older[""]
    if "layer_names" not in root.texts and "layer_names0" not in root.texts:
        return KerasFile(_within(file, _modern_cells(items)), None, "")
    config = _object(items[""].texts["model_config"]) if "model_config" in items[""].texts else None
    return KerasFile(_within(file, _older_cells(older)), config, root.texts.get("keras_version", ""))


def _check_config(size: int) -> None:
    if size > _LARGEST_CONFIG:
        raise FileFormatError(f"its configuration has {size:,} bytes, expected at most {_LARGEST_CONFIG:,}")


def _object(text: str | bytes) -> dict[str, Any]:
    _check_config(len(text))
    config = json.loads(text)
    if not isinstance(config, dict):
        raise FileFormatError("config.json does not contain the configuration of a model")
    return config


def _within(file: Hdf5, listed: Iterator[StoredCell]) -> list[StoredCell]:
    """Read the arrays of all cells, after checking that they fit in memory."""
    cells = list(listed)
    items = [item for cell in cells for item in cell.arrays.values()]
    size = sum(item.nbytes for item in items)
    if size > file.limit:
        most = max(items, key=lambda item: item.nbytes)
        raise FileFormatError(
            f"{most.name} claims shape {list(most.shape or ())}, and all weights together {size:,} bytes, more than "
            f"this file can hold (at most {file.limit:,})"
        )
    for item in items:
        if item.elsewhere:
            raise FileFormatError(f"{item.name} is in another file, which is not read")
        if item.dtype.hasobject:
            raise ArgumentTypeError(f"{item.name} must be an array of numbers")
    left = map(_tensor, items, file.read(items) if items else ())
    return [cell._replace(arrays={role: next(left) for role in cell.arrays}) for cell in cells]


def _tensor(item: Hdf5Item, array: Array) -> Tensor:
    if item.texts.get("dtype") == "bfloat16":  # stored as an opaque two-byte type
        return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
    return to_tensor(array, item.name)


def _modern_cells(items: Mapping[str, Hdf5Item]) -> Iterator[StoredCell]:
    """Yield the cells of a file of Keras 3: ``layers/lstm/cell/vars/0`` and so on, in the order of Keras's weights."""
    roles = {str(k): role for k, role in enumerate(KERAS.names)}
    for owner, arrays in _arrays(items).items():
        *groups, last = owner.split("/")
        if last == "vars" and groups:
            paths = {k: "/".join(groups[: k + 1]) for k, group in enumerate(groups) if group not in _CONTAINERS}
            own_names = [_said_name(items, path) for path in paths.values()]
            places = tuple(groups[k] for k in paths)
            names = tuple(name or place for name, place in zip(own_names, places, strict=True))
            yield from _cell(
                names,
                places,
                "exact" if any(own_names) else "none",
                {roles.get(k, k): array for k, array in arrays.items()},
            )


def _older_cells(items: Mapping[str, Hdf5Item]) -> Iterator[StoredCell]:
    """Yield the cells of a file of Keras 1 or 2, which Keras 3 writes too: ``lstm/lstm/lstm_cell/kernel:0``."""
    for owner, arrays in _arrays(items).items():
        layer, *weight = owner.split("/")
        # A weight's name usually contains its layer's name, after the model's name if the model built the layer.
        names = (*weight[weight.index(layer) :],) if layer in weight else (layer, *weight)
        yield from _cell(names, names, "scoped", {name.partition(":")[0]: array for name, array in arrays.items()})


def _cell(
    names: tuple[str, ...], places: tuple[str, ...], naming: str, arrays: Mapping[str, Hdf5Item]
) -> Iterator[StoredCell]:
    """Yield a cell with a group's arrays, if their names and axes are exactly those of a recurrent layer."""
    matrices = all(role in arrays and len(arrays[role].shape or ()) == 2 for role in (*KERAS.ih, *KERAS.hh))
    if matrices and set(arrays) <= set(KERAS.names):
        yield StoredCell(names, places, naming, {role: arrays[role] for role in KERAS.names if role in arrays})


def _arrays(items: Mapping[str, Hdf5Item]) -> dict[str, dict[str, Hdf5Item]]:
    """Return the datasets of each group, by name."""
    by_group: dict[str, dict[str, Hdf5Item]] = {}
    for path, item in items.items():
        if item.shape is not None:
            owner, _, name = path.rpartition("/")
            by_group.setdefault(owner, {})[name] = item
    return by_group


def _said_name(items: Mapping[str, Hdf5Item], path: str) -> str:
    """Return the name of the layer that owns a group's variables, if this version of Keras wrote it."""
    variables = items.get(f"{path}/vars")
    return "" if variables is None else variables.texts.get("name", "")
