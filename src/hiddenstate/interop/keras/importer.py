"""Imports LSTMs from Keras files and layers."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from hiddenstate.base.reading import reading
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    MissingDependencyError,
    NameUnknownError,
)
from hiddenstate.interop.arrays import to_tensor
from hiddenstate.interop.build import build_lstm
from hiddenstate.interop.found import Found
from hiddenstate.interop.keras.config import Entry, read_layer, recurrent_layers
from hiddenstate.interop.keras.file import StoredCell, read_keras
from hiddenstate.interop.layouts import KERAS, to_weights
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.names import GATES

# Versions of Keras, as in its files, whose default recurrent activation was or may have been a different one.
_HARD_SIGMOID = re.compile(r"1\.|2\.[0-2]\b")
_CELL = re.compile(r"cell|lstm_cell(_\d+)?")
_FORWARD, _BACKWARD = KERAS.directions or ("", "")

_MOST_ENTRIES = 2000

Arrays = Mapping[str, Tensor]


def from_keras(
    source: str | Path | Sequence[Any] | Any,
    name: str | None = None,
    *,
    recurrent_activation: str | None = None,
    flipped: bool = False,
) -> LSTM:
    """Make an LSTM from the weights of a Keras LSTM layer: from a file, a layer, or its arrays.

    Files are read without Keras, and no code in them is run. A layer, a Bidirectional around one, or each cell of an
    RNN of LSTMCells becomes a one-layer LSTM with ``batch_first=True``, since Keras's input is ``[N, T, C]``. Values
    are copied unchanged; Keras's only bias becomes our ``b_ih``, and ``b_hh`` is zero. Options that only affect
    training (``dropout``, ``recurrent_dropout``) are ignored.

    Args:
        source: the path of a ``.keras`` or ``.h5`` file, of a whole model or of its weights; or a layer; or the list
            of arrays that its ``get_weights()`` gives (kernel, recurrent kernel, maybe a bias; both directions').
        name: the layer, if there are several: its name, with the names of the models around it (``"encoder/lstm"``).
        recurrent_activation: ``"sigmoid"`` asserts that the layer uses it, for files with only weights. It is assumed
            by default, except for files of Keras before 2.3, whose default was ``hard_sigmoid``.
        flipped: also accept a layer with ``go_backwards=True``, as an LSTM that reads forward: give it the flipped
            sequence, ``x.flip(1)``.

    Raises:
        NameUnknownError: there is no LSTM, or none with this name, or its weights are missing.
        ArgumentError: there are several (the message lists them), or the layer has a setting that an `LSTM` lacks:
            other activations, another merge mode, or reading only in reverse.
        ShapeError, RankError, DtypeError: the layer's arrays do not match each other.
        FileFormatError: the file is damaged or of another kind.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.
        MissingDependencyError: the source is a file, and h5py is not installed.

    >>> import numpy as np
    >>> from_keras([np.zeros((4, 12)), np.zeros((3, 12)), np.zeros(12)])
    LSTM(4, 3, batch_first=True)
    """
    if isinstance(source, Sequence) and not isinstance(source, str):
        return _lstm(_split(source), batch_first=True)
    return in_keras(source, recurrent_activation=recurrent_activation, flipped=flipped).one(name)


def in_keras(source: str | Path | Any, *, recurrent_activation: str | None = None, flipped: bool = False) -> Found:
    """List the LSTMs in a Keras file or layer; see `from_keras`."""
    if recurrent_activation not in (None, "sigmoid"):
        raise ArgumentError(f"recurrent_activation={recurrent_activation!r}: an hs.LSTM always uses sigmoid")
    if isinstance(source, (str, Path)):
        return _in_file(source, recurrent_activation, flipped)
    if not hasattr(source, "get_weights") or not hasattr(source, "get_config"):
        raise ArgumentTypeError(
            f"expected the path of a file, a Keras layer or a list of its arrays, got {type(source).__name__}"
        )
    kind, where = type(source).__name__, f"this {type(source).__name__}"
    entry = read_layer(kind, source.get_config())
    if entry is None or not entry.is_lstm:
        return Found(where, {}, {getattr(source, "name", kind): f"it is a {entry.kind if entry else kind}"})
    return Found(where, {entry.name: lambda: _build(_Layer(entry.name, entry, _split(source.get_weights())), flipped)})


def _in_file(path: str | Path, recurrent_activation: str | None, flipped: bool) -> Found:
    if find_spec("h5py") is None:
        raise MissingDependencyError("Keras files need h5py: pip install 'hiddenstate[keras]'")
    file = read_keras(path)
    with reading(path):
        entries = _entries(path, file.config) if file.config is not None else []
        layers = [*_configured_layers(entries, file.cells), *_unsaid(entries, file.cells)]
    doubted = file.version if recurrent_activation is None and _HARD_SIGMOID.match(file.version) else ""
    builders = {layer.name: partial(_build, layer, flipped, doubted) for layer in layers}
    return Found(str(path), builders, {e.name: f"it is a {e.kind}" for e in entries if not e.is_lstm})


def _entries(path: str | Path, config: Mapping[str, Any]) -> list[Entry]:
    try:
        entries = recurrent_layers(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: its configuration was not written by Keras ({error!r})") from error
    if len(entries) > _MOST_ENTRIES:
        raise FileFormatError(
            f"{path}: it has {len(entries):,} recurrent layers, more than the limit of {_MOST_ENTRIES:,}"
        )
    return entries


@dataclass(frozen=True)
class _Layer:
    """A layer that was found: its settings, if known, and the arrays of its directions."""

    name: str
    entry: Entry | None
    cells: Sequence[Arrays]


def _configured_layers(entries: Iterable[Entry], cells: Sequence[StoredCell]) -> Iterator[_Layer]:
    """Yield the LSTMs of a configuration, with their arrays."""
    owners = [_find_layer(cell, entries) for cell in cells]
    for entry in entries:
        if entry.is_lstm:
            own = [cell for cell, owner in zip(cells, owners, strict=True) if owner is entry]
            found = sorted(own, key=lambda cell: any(p.startswith(_BACKWARD) for p in _beyond(cell, entry) or ()))
            yield _Layer(entry.name, entry, [cell.arrays for cell in found])


def _find_layer(cell: StoredCell, entries: Iterable[Entry]) -> Entry | None:
    """Return the layer to which a cell belongs, if a configuration has it: the innermost candidate."""
    around = [entry for entry in entries if _beyond(cell, entry) is not None]
    return max(around, key=lambda entry: len(entry.names), default=None)


def _beyond(cell: StoredCell, entry: Entry) -> tuple[str, ...] | None:
    """The groups between a layer and a cell, or None if the cell is not inside the layer."""
    path, wanted = (cell.places, entry.places) if cell.naming == "none" else (cell.names, entry.names)
    if cell.naming != "scoped":
        return cell.places[len(wanted) :] if path[: len(wanted)] == wanted else None
    end = 0  # the names are in order, but those of the models around a layer may come between them
    for name in wanted:
        if name not in path[end:] or (end == 0 and path[0] != name):
            return None
        end = path.index(name, end) + 1
    return path[end:]


def _unsaid(entries: Sequence[Entry], cells: Sequence[StoredCell]) -> Iterator[_Layer]:
    """Yield cells that no configuration names, but whose shapes are those of an LSTM."""
    left = [cell for cell in cells if _find_layer(cell, entries) is None and _looks_like_one(cell.arrays)]
    names = Counter(_without_cell(cell) for cell in left)
    for cell in left:
        pair = [other for other in left if _half(cell) is not None and _half(other) == _half(cell)]
        if len(pair) != 2:
            name = _without_cell(cell)
            yield _Layer("/".join(name if names[name] == 1 else cell.names), None, [cell.arrays])
        elif not _is_reverse(cell):
            yield _Layer("/".join(_half(cell) or ()), None, [t.arrays for t in sorted(pair, key=_is_reverse)])


def _is_reverse(cell: StoredCell) -> bool:
    """Whether a cell is the reverse one of a Bidirectional."""
    return any(place.startswith(_BACKWARD) for place in cell.places[1:])


def _half(cell: StoredCell) -> tuple[str, ...] | None:
    """The names of the Bidirectional of which a cell seems to be one half, or None."""
    halves = [k for k, place in enumerate(cell.places) if k > 0 and place.startswith((_FORWARD, _BACKWARD))]
    return cell.names[: halves[0]] if halves else None


def _without_cell(cell: StoredCell) -> tuple[str, ...]:
    is_cell = len(cell.names) > 1 and _CELL.fullmatch(cell.names[-1])
    return cell.names[:-1] if is_cell else cell.names


def _looks_like_one(arrays: Arrays) -> bool:
    rows, columns = arrays[KERAS.hh[0]].shape
    return columns == len(GATES) * rows == arrays[KERAS.ih[0]].shape[1]


def _split(arrays: Sequence[Any]) -> list[Arrays]:
    """Split the list from ``get_weights()`` into the arrays of each direction."""
    count = {2: 2, 3: 3, 4: 2, 6: 3}.get(len(arrays))
    if count is None:
        raise ArgumentError(f"expected 2 or 3 arrays of an LSTM layer, or 4 or 6 of a Bidirectional, got {len(arrays)}")
    tensors = [to_tensor(array, f"array {k}") for k, array in enumerate(arrays)]
    return [dict(zip(KERAS.names, tensors[k : k + count], strict=False)) for k in range(0, len(tensors), count)]


def _build(layer: _Layer, flipped: bool, doubted: str = "") -> LSTM:
    if layer.entry is not None:
        expected = 1 if layer.entry.backward is None else 2
        if len(layer.cells) != expected:
            raise NameUnknownError(
                f"there are weights for {len(layer.cells)} directions of the LSTM {layer.name!r}, expected "
                f"{expected}: was the model built?"
            )
        layer.entry.refuse(flipped=flipped)
    elif doubted:
        raise ArgumentError(
            f"Keras {doubted} wrote these weights of {layer.name!r}, and its default recurrent_activation was, or may "
            "have been, hard_sigmoid, which an hs.LSTM lacks. If it is sigmoid, pass recurrent_activation='sigmoid'"
        )
    return _lstm(layer.cells, batch_first=layer.entry is None or not layer.entry.time_first)


def _lstm(cells: Sequence[Arrays], *, batch_first: bool) -> LSTM:
    weights = [to_weights(arrays, KERAS) for arrays in cells]
    return build_lstm(weights, bidirectional=len(weights) == 2, batch_first=batch_first)
