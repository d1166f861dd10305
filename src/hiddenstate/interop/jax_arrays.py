"""Builds layers from the arrays of Flax (linen and nnx) and Equinox cells."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from hiddenstate.base.messages import with_article
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.interop.build import K, build_kind, build_layer, layer_class, weights_by_direction
from hiddenstate.interop.found import Found
from hiddenstate.interop.layouts import (
    EQUINOX,
    EQUINOX_GRU,
    FLAX,
    FLAX_GRU,
    FLAX_RNN,
    NNX,
    NNX_GRU,
    NNX_RNN,
    NNX_STACKED,
    WeightLayout,
    layout_for,
    to_tensor,
    to_weights,
)
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import rnn_mode

Path = tuple[str, ...]
Leaves = Mapping[Path, Any]

# For each kind of cell that has one array per gate, the array by which it is recognised.
_MARKS = {FLAX: "if/kernel", NNX: "if_/kernel", FLAX_GRU: "in/kernel", FLAX_RNN: "i/kernel"}
# The layouts with one stacked array, by their number of gates.
_STACKED = {len(layout.gates): layout for layout in (NNX_STACKED, NNX_GRU, NNX_RNN)}


def from_flax(
    params: Mapping[str, Any],
    name: str | None = None,
    *,
    kind: type[K] = LSTM,  # type: ignore[assignment]
    reverse: str | None = None,
    batch_first: bool = True,
    nonlinearity: str = "tanh",
) -> K:
    """Make an LSTM from the parameters of a Flax LSTM cell: ``LSTMCell`` or ``OptimizedLSTMCell``, of linen or nnx.

    With ``kind``, it makes a GRU from a ``GRUCell``, or a plain RNN from a ``SimpleCell``.

    Values are copied unchanged. In an LSTM, Flax's only bias becomes our ``b_hh``, as in its equations, and ``b_ih`` is
    zero. In the other cells it becomes ``b_ih``, and a GRU's ``hn/bias`` becomes our ``b_hn``. Flax's carry is ``(c,
    h)``, our state ``(h, c)``. Parameters do not include activations; the defaults are assumed.

    Args:
        params: the variables or parameters of a model, in nested dicts: linen's, or ``nnx.state(model, nnx.Param)``.
        name: the cell, if there are several: the keys that lead to it, such as ``"encoder/cell"``. A Bidirectional is
            one LSTM, under its own name.
        kind: the class to make: `LSTM`, `GRU`, `RNN`, or a cell of these.
        reverse: the name of the cell that reads in reverse, if the two cells are separate, as in a compact module.
        batch_first: whether the layer's input is ``[N, T, C]``, as for Flax's ``RNN``.
        nonlinearity: for an `RNN`: ``"tanh"``, Flax's default, or ``"relu"``.

    Raises:
        NameUnknownError: there is no cell of this kind, or none with this name, or some of its arrays are missing.
        ArgumentError: there are several (the message lists them), the named cell is of another kind, or the
            nonlinearity is unknown.
        ShapeError, RankError, DtypeError: the cell's arrays do not match each other.
        ArgumentTypeError: the argument is not nested dicts of arrays, or ``kind`` is not such a class.
    """
    rnn_mode(nonlinearity)
    cells = in_flax(params, kind=layer_class(kind), batch_first=batch_first, nonlinearity=nonlinearity)
    layer = cells.one(name)
    if reverse is not None:
        layer = _joined(layer, cells.one(reverse), nonlinearity)
    return build_kind(layer, kind)


def in_flax(
    params: Mapping[str, Any], *, kind: type[Any] = LSTM, batch_first: bool = True, nonlinearity: str = "tanh"
) -> Found[Any]:
    """List the cells of a kind among Flax parameters; see `from_flax`."""
    if not isinstance(params, Mapping):
        raise ArgumentTypeError(
            f"expected Flax parameters in nested dicts, got {type(params).__name__}; for an nnx module, "
            "pass nnx.state(module, nnx.Param)"
        )
    leaves = dict(_flattened(params))
    every = dict(_cells(leaves))
    cells = {owner: layout for owner, layout in every.items() if layout.cell == kind.__name__}
    others = {
        "/".join(owner): f"it is {with_article(layout.cell)}. kind=hs.{layout.cell} reads it"
        for owner, layout in every.items()
        if owner not in cells
    }
    options = {"batch_first": batch_first, "nonlinearity": nonlinearity}
    builders = {
        "/".join(name): partial(_build, leaves, {owner: cells[owner] for owner in owners}, kind, options)
        for name, owners in _directions(cells)
    }
    return Found("this tree of parameters", builders, others, kind=kind)


def from_equinox(
    module: Any,
    reverse: Any = None,
    *,
    kind: type[K] = LSTM,  # type: ignore[assignment]
    batch_first: bool = False,
) -> K:
    """Make an LSTM from an Equinox ``LSTMCell``, or with ``kind`` a GRU from a ``GRUCell``.

    Values are copied unchanged; Equinox's ``bias`` becomes our ``b_ih``, and ``b_hh`` is zero, except for a GRU's
    ``bias_n``, which is our ``b_hn``.

    Args:
        module: the cell, or a dict of its arrays: ``weight_ih``, ``weight_hh`` and optionally ``bias`` (and for a GRU
            ``bias_n``).
        reverse: the cell that reads in reverse, for a layer with two directions.
        kind: the class to make: `LSTM`, `GRU`, or a cell of these.
        batch_first: the layer's option.

    Raises:
        ArgumentError: ``kind`` is a plain RNN, which Equinox does not have.
        ArgumentTypeError: the argument does not have these arrays, or ``kind`` is not such a class.
        ShapeError, RankError, DtypeError: the arrays do not match each other.
    """
    layer = layer_class(kind)
    layout = layout_for(EQUINOX, layer.__name__)
    weights = [to_weights(_equinox_arrays(part, layout), layout) for part in (module, reverse) if part is not None]
    built = build_layer(weights, layer, bidirectional=reverse is not None, batch_first=batch_first)
    return build_kind(built, kind)


def _flattened(tree: Mapping[Any, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the leaves of nested dicts. Linen's top-level key is not part of a cell's name."""
    for key, value in tree.items():
        inner = path if (path, key) == ((), "params") else (*path, str(key))
        if isinstance(value, Mapping):
            yield from _flattened(value, inner)
        else:  # before flax 0.12, nnx's state wraps its arrays
            yield inner, value.value if type(value).__name__ == "VariableState" else value


def _cells(leaves: Leaves) -> Iterator[tuple[Path, WeightLayout]]:
    """Yield each cell of any kind, and its layout."""
    for path in leaves:
        owner, last = path[:-2], "/".join(path[-2:])
        for layout, mark in _MARKS.items():
            # By itself, the array that marks a SimpleCell could belong to any layer named "i".
            if last == mark and (layout is not FLAX_RNN or (*owner, *FLAX_RNN.hh[0].split("/")) in leaves):
                yield owner, layout
        if last == NNX_STACKED.ih[0]:
            shape = np.shape(leaves.get((*owner, *NNX_STACKED.hh[0].split("/")), 0))
            gates = shape[1] // shape[0] if len(shape) == 2 and shape[0] and shape[1] % shape[0] == 0 else 0
            yield owner, _STACKED.get(gates, NNX_STACKED)


def _directions(cells: Mapping[Path, WeightLayout]) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each cell with its name; both cells of a Bidirectional come together, with its name."""
    for owner in cells:
        pair = [(*owner[:-2], rnn, *owner[-1:]) for rnn in FLAX.directions or ()]
        if owner not in pair or not all(half in cells for half in pair):
            yield owner, [owner]
        elif owner == pair[0]:
            yield owner[:-2], pair


def _build(leaves: Leaves, cells: Mapping[Path, WeightLayout], kind: type[Any], options: Mapping[str, Any]) -> Any:
    weights = []
    for owner, layout in cells.items():
        paths = {name: (*owner, *name.split("/")) for name in layout.names}
        arrays = {name: to_tensor(leaves[path], "/".join(path)) for name, path in paths.items() if path in leaves}
        weights.append(to_weights(arrays, layout))
    return build_layer(weights, kind, bidirectional=len(weights) == 2, **options)


def _joined(forward: Any, reverse: Any, nonlinearity: str) -> Any:
    if forward.bidirectional or reverse.bidirectional:
        raise ArgumentError(
            "reverse= joins two cells, but one of these is a Bidirectional, which already has both directions"
        )
    weights = [direction for lstm in (forward, reverse) for layer in weights_by_direction(lstm) for direction in layer]
    options = {"batch_first": forward.batch_first, "nonlinearity": nonlinearity}
    return build_layer(weights, type(forward), bidirectional=True, **options)


def _equinox_arrays(module: Any, layout: WeightLayout) -> dict[str, Any]:
    arrays = module if isinstance(module, Mapping) else {name: getattr(module, name, None) for name in layout.names}
    weights = (*layout.ih, *layout.hh)
    is_gru = layout is not EQUINOX_GRU and getattr(module, EQUINOX_GRU.b_hh[0], None) is not None
    if is_gru or any(arrays.get(name) is None for name in weights):
        raise ArgumentTypeError(
            f"expected an Equinox {layout.cell}Cell, or its arrays ({', '.join(layout.names)}), got "
            f"{type(module).__name__}"
        )
    return {name: to_tensor(arrays[name], name) for name in layout.names if arrays.get(name) is not None}
