"""Weights and configuration in Keras's files, read without Keras: ``.keras``, and both kinds of ``.h5``."""

import json
import mmap
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.files import check_is_file
from hiddenstate.base.reading import check_zip, reading, unpacked_limit
from hiddenstate.errors import ArgumentTypeError, FileFormatError
from hiddenstate.interop.keras.hdf5 import Hdf5, Hdf5Item, check_texts, find_hdf5_start, opened
from hiddenstate.interop.layouts import KERAS, to_tensor

# Groups that contain only other groups.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "cells")
# Maximum size of a configuration in bytes; once parsed, it takes twenty times as much.
_LARGEST_CONFIG = 1 << 24
# Attributes that Keras writes to groups and arrays.
_TEXTS = ("name", "dtype", "layer_names", "layer_names0", "model_config", "keras_version")


@dataclass(frozen=True)
class StoredCell:
    """Arrays that may belong to one direction of a recurrent layer."""

    names: tuple[str, ...]  # the names of the enclosing layers, or of their groups if the file does not name the layers
    places: tuple[str, ...]  # the names of its groups
    naming: str  # "exact" for the layers' own names, "scoped" if mixed with other models' names, "none" for group names
    arrays: Mapping[str, Tensor]  # keyed by the names in `layouts.KERAS`


class _ListedCell(NamedTuple):
    """A `StoredCell` whose arrays have not been read."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    naming: str
    arrays: Mapping[str, Hdf5Item]


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
        if _check_hdf5(Path(path)):
            limit = unpacked_limit(path)
            with opened(Path(path), None, limit) as file:
                return _read_h5(file, limit)
        raise FileFormatError(f"{path} is neither a .keras file (a zip) nor an HDF5 file, or was cut short")


def _check_hdf5(path: Path) -> bool:
    """Return whether a file is HDF5; raises the errors of `check_texts`."""
    if not path.stat().st_size:
        return False  # an empty file can't be mapped
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        check_texts(content)
        return find_hdf5_start(content) is not None


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
        weights = archive.read("model.weights.h5")
    check_texts(weights)
    with opened(path, weights, limit) as file:
        return KerasFile(_within(limit, _modern_cells(_items(file)), file), config, "")


def _read_h5(file: Hdf5, limit: int) -> KerasFile:
    items = _items(file)
    older = _items(file, "model_weights") if "model_weights" in items else items
    root = older[""]
    if "layer_names" not in root.texts and "layer_names0" not in root.texts:
        return KerasFile(_within(limit, _modern_cells(items), file), None, "")
    config = _object(items[""].texts["model_config"]) if "model_config" in items[""].texts else None
    return KerasFile(_within(limit, _older_cells(older), file), config, root.texts.get("keras_version", ""))


def _items(file: Hdf5, group: str = "/") -> dict[str, Hdf5Item]:
    return file.list(group, _TEXTS, _LARGEST_CONFIG)


def _check_config(size: int) -> None:
    if size > _LARGEST_CONFIG:
        raise FileFormatError(f"its configuration has {size:,} bytes, expected at most {_LARGEST_CONFIG:,}")


def _object(text: str | bytes) -> dict[str, Any]:
    _check_config(len(text))
    config = json.loads(text)
    if not isinstance(config, dict):
        raise FileFormatError("config.json does not contain the configuration of a model")
    return config


def _within(limit: int, listed: Iterator[_ListedCell], file: Hdf5) -> list[StoredCell]:
    """Read the arrays of all cells, after checking that they fit in memory."""
    cells = list(listed)
    arrays = [array for cell in cells for array in cell.arrays.values()]
    size = sum(array.nbytes for array in arrays)
    if size > limit:
        most = max(arrays, key=lambda array: array.nbytes)
        raise FileFormatError(
            f"{most.name} claims shape {list(most.shape or ())}, and all weights together {size:,} bytes, more than "
            f"this file can hold (at most {limit:,})"
        )
    return [
        StoredCell(
            cell.names, cell.places, cell.naming, {role: _read(file, array) for role, array in cell.arrays.items()}
        )
        for cell in cells
    ]


def _modern_cells(items: Mapping[str, Hdf5Item]) -> Iterator[_ListedCell]:
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


def _older_cells(items: Mapping[str, Hdf5Item]) -> Iterator[_ListedCell]:
    """Yield the cells of a file of Keras 1 or 2, which Keras 3 writes too: ``lstm/lstm/lstm_cell/kernel:0``."""
    for owner, arrays in _arrays(items).items():
        layer, *weight = owner.split("/")
        # A weight's name usually contains its layer's name, after the model's name if the model built the layer.
        names = (*weight[weight.index(layer) :],) if layer in weight else (layer, *weight)
        yield from _cell(names, names, "scoped", {name.partition(":")[0]: array for name, array in arrays.items()})


def _cell(
    names: tuple[str, ...], places: tuple[str, ...], naming: str, arrays: Mapping[str, Hdf5Item]
) -> Iterator[_ListedCell]:
    """Yield a cell with a group's arrays, if their names and axes are exactly those of a recurrent layer."""
    matrices = all(role in arrays and len(arrays[role].shape or ()) == 2 for role in (*KERAS.ih, *KERAS.hh))
    if matrices and set(arrays) <= set(KERAS.names):
        yield _ListedCell(names, places, naming, {role: arrays[role] for role in KERAS.names if role in arrays})


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


def _read(file: Hdf5, item: Hdf5Item) -> Tensor:
    if item.elsewhere:
        raise FileFormatError(f"{item.name} is in another file, which is not read")
    if item.dtype.hasobject:
        raise ArgumentTypeError(f"{item.name} must be an array of numbers")
    array = file.read(item)
    if item.texts.get("dtype") == "bfloat16":  # stored as an opaque two-byte type
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return to_tensor(array, item.name)
