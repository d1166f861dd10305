"""Imports LSTMs, GRUs and plain RNNs from Keras files and layers."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from hiddenstate.interop.build import K, build_kind, build_layer, layer_class
from hiddenstate.interop.found import Found
from hiddenstate.interop.keras.file import StoredCell, read_keras
from hiddenstate.interop.layouts import (
    KERAS,
    KERAS_GRU,
    KERAS_GRU_RESET_FIRST,
    WeightLayout,
    layout_for,
    to_tensor,
    to_weights,
)
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import rnn_mode

Names = tuple[str, ...]

_RECURRENT = re.compile(r".*(LSTM|GRU|RNN).*")
_KINDS = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}
_NONLINEARITIES = ("tanh", "relu")
_DEFAULTS = {"activation": "tanh", "recurrent_activation": "sigmoid"}


@dataclass(frozen=True)
class Entry:
    """A recurrent layer (or a cell of one) in a model's configuration."""

    names: Names  # the layer's name, preceded by those of the enclosing layers
    places: Names  # the layer's path in a file's groups, which Keras names by class and number
    kind: str  # the layer's class
    config: Mapping[str, Any]
    wrapper: Mapping[str, Any]  # configuration of the Bidirectional or RNN around it
    backward: Mapping[str, Any] | None = None  # configuration of the layer that reads in reverse

    @property
    def name(self) -> str:
        """Its names, joined by slashes."""
        return "/".join(self.names)

    @property
    def cell(self) -> str:
        """The kind of cell: LSTM, GRU or RNN; empty for other recurrent layers."""
        return _KINDS.get(self.kind.removesuffix("Cell"), "")

    @property
    def what(self) -> str:
        """Describe its kind, for an error message."""
        return f"it is a {self.kind}" + (f". kind=hs.{self.cell} reads it" if self.cell else "")

    @property
    def nonlinearity(self) -> str:
        """The activation of a plain RNN."""
        return _function(self.config.get("activation", _DEFAULTS["activation"]))

    @property
    def resets_first(self) -> bool:
        """Whether a GRU without biases multiplies the state by the reset gate before the matrix product."""
        return not self.config.get("reset_after", False)

    @property
    def time_first(self) -> bool:
        """Whether its input is ``[T, N, C]``, which was an option in earlier versions of Keras."""
        return bool(self.config.get("time_major") or self.wrapper.get("time_major"))

    def refuse(self, *, flipped: bool) -> None:
        """Reject settings that would change the numbers of our layer."""
        ours = f"an hs.{self.cell}"
        activation = self.nonlinearity if self.cell == "RNN" and self.nonlinearity in _NONLINEARITIES else "tanh"
        wanted_of = {"activation": activation, "recurrent_activation": "sigmoid"}
        for config in (self.config, *([self.backward] if self.backward else [])):
            for option, wanted in wanted_of.items():
                got = _function(config.get(option, _DEFAULTS[option]))
                if got != wanted:
                    raise ArgumentError(f"the {self.cell} {self.name!r} has {option}={got!r}, but {ours} has {wanted}")
        merge = self.wrapper.get("merge_mode", "concat")
        if merge not in ("concat", None):
            raise ArgumentError(
                f"the {self.cell} {self.name!r} has merge_mode={merge!r}, but {ours} concatenates its directions: "
                "read the list that its get_weights() gives, and merge the halves of the output"
            )
        if self.config.get("go_backwards") or self.wrapper.get("go_backwards"):
            self._refuse_backwards(flipped)

    def _refuse_backwards(self, flipped: bool) -> None:
        what, ours = f"the {self.cell} {self.name!r} has go_backwards=True", f"an hs.{self.cell}"
        if self.backward is not None:
            raise ArgumentError(f"{what} in a Bidirectional, but the first direction of {ours} reads forward")
        if not flipped:
            raise ArgumentError(
                f"{what}, but {ours} reads forward or in both directions. With flipped=True you get one that reads "
                "forward: give it the flipped sequence, x.flip(1)"
            )


def recurrent_layers(model: Mapping[str, Any]) -> list[Entry]:
    """List the recurrent layers in a model's configuration (``class_name`` and ``config``)."""
    return list(_walk(model, (), ()))


def read_layer(class_name: str, config: Mapping[str, Any]) -> list[Entry]:
    """Parse one layer's configuration; return several for an RNN of several cells, none for other layers."""
    layer = {"class_name": class_name, "config": config}
    return [*_walk(layer, (str(config.get("name", class_name)),), ("",))]


def _walk(layer: Mapping[str, Any], names: Names, places: Names) -> Iterator[Entry]:
    kind, config = layer.get("class_name", ""), layer.get("config")
    if isinstance(config, list):  # a Sequential model saved by Keras before 2.3
        config = {"layers": config}
    if not isinstance(config, Mapping):
        return
    if "layers" in config:
        yield from _children(config["layers"], names, places)
    elif kind == "Bidirectional":
        inner = config["layer"]
        backward = config.get("backward_layer", {"config": {}})["config"]
        yield Entry(names, places, inner["class_name"], inner["config"], config, backward)
    elif kind == "RNN":
        yield from _cells(config, names, places)
    elif isinstance(config.get("layer"), Mapping):  # such as TimeDistributed
        inner = config["layer"]
        yield from _walk(inner, (*names, _name(inner)), (*places, "layer"))
    elif _RECURRENT.fullmatch(kind):
        yield Entry(names, places, kind, config, {})


def _children(layers: list[Mapping[str, Any]], names: Names, places: Names) -> Iterator[Entry]:
    used: dict[str, int] = {}
    for layer in layers:
        place = _snake_case(layer["class_name"])
        count = used[place] = used.get(place, -1) + 1
        yield from _walk(layer, (*names, _name(layer)), (*places, f"{place}_{count}" if count else place))


def _cells(rnn: Mapping[str, Any], names: Names, places: Names) -> Iterator[Entry]:
    cell = rnn["cell"]
    cells = cell["config"].get("cells")
    if cells is None:
        yield Entry(names, places, cell["class_name"], cell["config"], rnn)
        return
    for entry in _children(cells, (*names, _name(cell)), (*places, "cell")):
        yield Entry(entry.names, entry.places, entry.kind, entry.config, rnn)


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name", layer.get("name", layer["class_name"])))


def _snake_case(name: str) -> str:
    """Convert a class name as Keras does for the groups of a file."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _function(value: Any) -> str:
    """The name of a function, in the format of any version of Keras."""
    if isinstance(value, Mapping):
        inner = value.get("config")
        return inner if isinstance(inner, str) else str(value.get("registered_name") or value.get("class_name"))
    return "linear" if value is None else str(value)


# Versions of Keras, as stored in files, whose default recurrent activation differed or may have differed.
_HARD_SIGMOID = re.compile(r"1\.|2\.[0-2]\b")
_CELL = re.compile(r"cell|(lstm|gru|simple_rnn)_cell(_\d+)?")
_FORWARD, _BACKWARD = KERAS.directions or ("", "")

_MOST_ENTRIES = 2000

Arrays = Mapping[str, Tensor]


def from_keras(
    source: str | Path | Sequence[Any] | Any,
    name: str | None = None,
    *,
    kind: type[K] = LSTM,  # type: ignore[assignment]
    recurrent_activation: str | None = None,
    flipped: bool = False,
    nonlinearity: str = "tanh",
) -> K:
    """Make an LSTM from the weights of a Keras LSTM layer: from a file, a layer, or its arrays.

    With ``kind``, it makes a GRU from a ``GRU``, or a plain RNN from a ``SimpleRNN``. A GRU must have
    ``reset_after=True``, the default since TensorFlow 2: with ``reset_after=False`` it is a different cell, which is
    rejected.

    Files are read without Keras, and no code in them is run. A layer, a Bidirectional around one, or each cell of an
    RNN of LSTMCells becomes a one-layer LSTM with ``batch_first=True``, since Keras's input is ``[N, T, C]``. Values
    are copied unchanged; Keras's only bias becomes our ``b_ih``, and ``b_hh`` is zero (a GRU has both biases). Options
    that only affect training (``dropout``, ``recurrent_dropout``) are ignored.

    Args:
        source: the path of a ``.keras`` or ``.h5`` file, of a whole model or of its weights; or a model; or a layer, or
            the arrays that its ``get_weights()`` gives (kernel, recurrent kernel, maybe a bias; both directions').
        name: the layer, if there are several: its name, with the names of the models around it (``"encoder/lstm"``).
        kind: the class to make: `LSTM`, `GRU`, `RNN`, or a cell of these.
        recurrent_activation: ``"sigmoid"`` asserts that the layer uses it, for files with only weights. It is assumed
            by default, except for files of Keras before 2.3, whose default was ``hard_sigmoid``.
        flipped: also accept a layer with ``go_backwards=True``, as an LSTM that reads forward: give it the flipped
            sequence, ``x.flip(1)``.
        nonlinearity: the activation of an `RNN`, for files with only weights and lists of arrays.

    Raises:
        NameUnknownError: there is no layer of this kind, or none with this name, or its weights are missing.
        ArgumentError: there are several (the message lists them), or the layer has a setting that ours lacks: other
            activations, a different merge mode, ``reset_after=False``, or reading only in reverse; or the nonlinearity
            is unknown.
        ShapeError, RankError, DtypeError: the layer's arrays do not match each other.
        FileFormatError: the file is damaged or of another kind.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.
        MissingDependencyError: the source is a file, and h5py is not installed.

    >>> import numpy as np
    >>> from_keras([np.zeros((4, 12)), np.zeros((3, 12)), np.zeros(12)])
    LSTM(4, 3, batch_first=True)
    """
    rnn_mode(nonlinearity)
    layer = layer_class(kind)
    if isinstance(source, Sequence) and not isinstance(source, str):
        built = _build(_KerasLayer("", None, _split(source)), _KerasOptions(layer, nonlinearity=nonlinearity))
    else:
        options: Any = {"recurrent_activation": recurrent_activation, "flipped": flipped, "nonlinearity": nonlinearity}
        built = in_keras(source, kind=layer, **options).one(name)
    return build_kind(built, kind)


@dataclass(frozen=True)
class _KerasOptions:
    """What to build: the class, whether a layer may read only in reverse, and settings that a file may lack."""

    kind: type[Any]
    flipped: bool = False
    nonlinearity: str = "tanh"
    doubted: str = ""  # the Keras version, if it may have used a different recurrent activation


def in_keras(
    source: str | Path | Any,
    *,
    kind: type[Any] = LSTM,
    recurrent_activation: str | None = None,
    flipped: bool = False,
    nonlinearity: str = "tanh",
) -> Found[Any]:
    """List the layers of a kind in a Keras file or layer; see `from_keras`."""
    if recurrent_activation not in (None, "sigmoid"):
        raise ArgumentError(f"recurrent_activation={recurrent_activation!r}: an hs.{kind.__name__} always uses sigmoid")
    options = _KerasOptions(kind, flipped, nonlinearity)
    if isinstance(source, (str, Path)):
        return _in_file(source, recurrent_activation, options)
    if not hasattr(source, "get_weights") or not hasattr(source, "get_config"):
        raise ArgumentTypeError(
            f"expected the path of a file, a Keras layer or a list of its arrays, got {type(source).__name__}"
        )
    builders: dict[str, Any] = {}
    others: dict[str, str] = {}
    for path, layer in _layers_of(source, ""):
        called = type(layer).__name__
        try:
            entries = read_layer(called, layer.get_config())
        except NotImplementedError:  # a layer of the user's
            entries = []
        cells = {cell.name: cell for cell in getattr(getattr(layer, "cell", None), "cells", ())}
        for entry in entries:
            if entry.cell == kind.__name__:
                part = cells.get(entry.names[-1], layer)
                builders[path + entry.name] = partial(_build_layer, part, entry, options)
            else:
                others[path + entry.name] = entry.what
        if not entries and layer is source:
            others[getattr(source, "name", called)] = f"it is a {called}"
    return Found(f"this {type(source).__name__}", builders, others, kind=kind)


def _layers_of(source: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield a layer, or the layers of a model of Keras, with the path of the model in which it is."""
    if not hasattr(source, "get_layer"):
        yield path, source
        return
    for layer in source.layers:
        yield from _layers_of(layer, f"{path}{layer.name}/" if hasattr(layer, "get_layer") else path)


def _build_layer(layer: Any, entry: Entry, options: _KerasOptions) -> Any:
    arrays = layer.get_weights()
    if not arrays:
        raise ArgumentError(f"the layer {entry.name!r} has no weights yet: call it, or its model, once")
    return _build(_KerasLayer(entry.name, entry, _split(arrays)), options)


def _in_file(path: str | Path, recurrent_activation: str | None, options: _KerasOptions) -> Found[Any]:
    if find_spec("h5py") is None:
        raise MissingDependencyError("Keras files need h5py: pip install 'hiddenstate[keras]'")
    file = read_keras(path)
    with reading(path):
        entries = _entries(path, file.config) if file.config is not None else []
        cell = options.kind.__name__
        layers = [*_configured_layers(entries, file.cells, cell), *_unsaid(entries, file.cells, cell)]
    if recurrent_activation is None and cell != "RNN" and _HARD_SIGMOID.match(file.version):
        options = replace(options, doubted=file.version)
    builders = {layer.name: partial(_build, layer, options) for layer in layers}
    others = {entry.name: entry.what for entry in entries if entry.cell != cell}
    return Found(str(path), builders, others, kind=options.kind)


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
class _KerasLayer:
    """A layer that was found: its settings, if known, and the arrays of its directions."""

    name: str
    entry: Entry | None
    cells: Sequence[Arrays]


def _configured_layers(entries: Iterable[Entry], cells: Sequence[StoredCell], kind: str) -> Iterator[_KerasLayer]:
    """Yield the layers of a kind in a configuration, with their arrays."""
    owners = [_find_layer(cell, entries) for cell in cells]
    for entry in entries:
        if entry.cell == kind:
            own = [cell for cell, owner in zip(cells, owners, strict=True) if owner is entry]
            forward_first = sorted(
                own, key=lambda cell: any(p.startswith(_BACKWARD) for p in _beyond(cell, entry) or ())
            )
            yield _KerasLayer(entry.name, entry, [cell.arrays for cell in forward_first])


def _find_layer(cell: StoredCell, entries: Iterable[Entry]) -> Entry | None:
    """Return the layer to which a cell belongs, which is the innermost candidate, if a configuration has it."""
    around = [entry for entry in entries if _beyond(cell, entry) is not None]
    return max(around, key=lambda entry: len(entry.names), default=None)


def _beyond(cell: StoredCell, entry: Entry) -> tuple[str, ...] | None:
    """Return the groups between a layer and a cell, or None if the cell is not inside the layer."""
    path, wanted = (cell.places, entry.places) if cell.naming == "none" else (cell.names, entry.names)
    if cell.naming != "scoped":
        return cell.places[len(wanted) :] if path[: len(wanted)] == wanted else None
    end = 0  # the names are in order, but names of enclosing models may come between them
    for name in wanted:
        if name not in path[end:] or (end == 0 and path[0] != name):
            return None
        end = path.index(name, end) + 1
    return path[end:]


def _unsaid(entries: Sequence[Entry], cells: Sequence[StoredCell], kind: str) -> Iterator[_KerasLayer]:
    """Yield cells that are in no configuration, but have the shapes of a kind of layer."""
    left = [cell for cell in cells if _find_layer(cell, entries) is None and _looks_like_one(cell.arrays, kind)]
    names = Counter(_without_cell(cell) for cell in left)
    for cell in left:
        pair = [other for other in left if _half(cell) is not None and _half(other) == _half(cell)]
        if len(pair) != 2:
            name = _without_cell(cell)
            yield _KerasLayer("/".join(name if names[name] == 1 else cell.names), None, [cell.arrays])
        elif not _is_reverse(cell):
            yield _KerasLayer("/".join(_half(cell) or ()), None, [t.arrays for t in sorted(pair, key=_is_reverse)])


def _is_reverse(cell: StoredCell) -> bool:
    """Whether a cell is the reverse one of a Bidirectional."""
    return any(place.startswith(_BACKWARD) for place in cell.places[1:])


def _half(cell: StoredCell) -> tuple[str, ...] | None:
    """Return the names of the Bidirectional of which a cell seems to be one half, or None."""
    halves = [k for k, place in enumerate(cell.places) if k > 0 and place.startswith((_FORWARD, _BACKWARD))]
    return cell.names[: halves[0]] if halves else None


def _without_cell(cell: StoredCell) -> tuple[str, ...]:
    is_cell = len(cell.names) > 1 and _CELL.fullmatch(cell.names[-1])
    return cell.names[:-1] if is_cell else cell.names


def _looks_like_one(arrays: Arrays, kind: str) -> bool:
    rows, columns = arrays[KERAS.hh[0]].shape
    return columns == len(layout_for(KERAS, kind).gates) * rows == arrays[KERAS.ih[0]].shape[1]


def _split(arrays: Sequence[Any]) -> list[Arrays]:
    """Split the list from ``get_weights()`` into the arrays of each direction."""
    count = {2: 2, 3: 3, 4: 2, 6: 3}.get(len(arrays))
    if count is None:
        raise ArgumentError(
            f"expected 2 or 3 arrays of a recurrent layer, or 4 or 6 of a Bidirectional, got {len(arrays)}"
        )
    tensors = [to_tensor(array, f"array {k}") for k, array in enumerate(arrays)]
    return [dict(zip(KERAS.names, tensors[k : k + count], strict=False)) for k in range(0, len(tensors), count)]


def _build(layer: _KerasLayer, options: _KerasOptions) -> Any:
    cell = options.kind.__name__
    if layer.entry is not None:
        expected = 1 if layer.entry.backward is None else 2
        if len(layer.cells) != expected:
            raise NameUnknownError(
                f"there are weights for {len(layer.cells)} directions of the {cell} {layer.name!r}, expected "
                f"{expected}: was the model built?"
            )
        layer.entry.refuse(flipped=options.flipped)
        options = replace(options, nonlinearity=layer.entry.nonlinearity)
    elif options.doubted:
        raise ArgumentError(
            f"Keras {options.doubted} wrote these weights of {layer.name!r}, and its default recurrent_activation was, "
            f"or may have been, hard_sigmoid, which an hs.{cell} lacks. If it is sigmoid, pass "
            "recurrent_activation='sigmoid'"
        )
    weights = [to_weights(arrays, _layout(arrays, layer.entry, cell)) for arrays in layer.cells]
    return build_layer(
        weights,
        options.kind,
        bidirectional=len(weights) == 2,
        batch_first=layer.entry is None or not layer.entry.time_first,
        nonlinearity=options.nonlinearity,
    )


def _layout(arrays: Arrays, entry: Entry | None, kind: str) -> WeightLayout:
    """The layout of a cell's arrays. A GRU's bias ``[3H]``, not ``[2, 3H]``, shows that it resets the state first."""
    bias = arrays.get(KERAS.biases[0])
    if kind == KERAS_GRU.cell:
        resets_first = bias.dim() == 1 if bias is not None else entry is not None and entry.resets_first
        return KERAS_GRU_RESET_FIRST if resets_first else KERAS_GRU
    return layout_for(KERAS, kind)
