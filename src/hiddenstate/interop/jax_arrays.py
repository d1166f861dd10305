"""Builds LSTMs from the arrays of Flax (linen and nnx) and Equinox cells."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal, overload

import numpy as np

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.interop.arrays import to_tensor
from hiddenstate.interop.build import build_cell, build_lstm, weights_by_direction
from hiddenstate.interop.found import Found
from hiddenstate.interop.layouts import EQUINOX, FLAX, NNX, NNX_STACKED, Layout, to_weights
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.names import GATES

Path = tuple[str, ...]
Leaves = Mapping[Path, Any]

# The array that identifies each kind of cell: the forget gate's, which a GRU lacks, or the stacked one.
_MARKS = {FLAX: ("if", "kernel"), NNX: ("if_", "kernel"), NNX_STACKED: ("dense_i", "kernel")}
_GRU_MARK = ("in", "kernel")


@overload
def from_flax(
    params: Mapping[str, Any],
    name: str | None = None,
    *,
    reverse: str | None = None,
    cell: Literal[False] = False,
    batch_first: bool = True,
) -> LSTM: ...


@overload
def from_flax(params: Mapping[str, Any], name: str | None = None, *, cell: Literal[True]) -> LSTMCell: ...


def from_flax(
    params: Mapping[str, Any],
    name: str | None = None,
    *,
    reverse: str | None = None,
    cell: bool = False,
    batch_first: bool = True,
) -> LSTM | LSTMCell:
    """Make an LSTM from the parameters of a Flax LSTM cell: ``LSTMCell`` or ``OptimizedLSTMCell``, of linen or nnx.

    Values are copied unchanged; Flax's only bias becomes our ``b_hh``, as in its equations, and ``b_ih`` is zero.
    Flax's carry is ``(c, h)``, our state ``(h, c)``. Parameters do not include activations; the defaults are assumed.

    Args:
        params: the variables or parameters of a model, in nested dicts: linen's, or ``nnx.state(model, nnx.Param)``.
        name: the cell, if there are several: the keys that lead to it, such as ``"encoder/cell"``. A Bidirectional is
            one LSTM, under its own name.
        reverse: the name of the cell that reads in reverse, if the two cells are separate, as in a compact module.
        cell: return an `LSTMCell`.
        batch_first: whether the LSTM's input is ``[N, T, C]``, as for Flax's ``RNN``.

    Raises:
        NameUnknownError: there is no LSTM cell, or none with this name, or some of its arrays are missing.
        ArgumentError: there are several (the message lists them), or the named cell is a GRU.
        ShapeError, RankError, DtypeError: the cell's arrays do not match each other.
        ArgumentTypeError: the argument is not nested dicts of arrays.
    """
    found = in_flax(params, batch_first=batch_first)
    lstm = found.one(name)
    if reverse is not None:
        lstm = _joined(lstm, found.one(reverse))
    return build_cell(lstm) if cell else lstm


def in_flax(params: Mapping[str, Any], *, batch_first: bool = True) -> Found:
    """List the LSTM cells among Flax parameters; see `from_flax`."""
    if not isinstance(params, Mapping):
        raise ArgumentTypeError(
            f"expected Flax parameters in nested dicts, got {type(params).__name__}; for an nnx module, "
            "pass nnx.state(module, nnx.Param)"
        )
    leaves = dict(_flattened(params))
    cells = {owner: layout for owner, layout in _cells(leaves) if not _is_gru(leaves, owner, layout)}
    grus = [owner for owner, layout in _cells(leaves) if owner not in cells]
    grus += [path[:-2] for path in leaves if path[-2:] == _GRU_MARK]
    builders = {
        "/".join(name): partial(_build, leaves, {owner: cells[owner] for owner in owners}, batch_first)
        for name, owners in _directions(cells)
    }
    return Found("this tree of parameters", builders, {"/".join(owner): "it is a GRU" for owner in grus})


@overload
def from_equinox(
    module: Any, reverse: Any = None, *, cell: Literal[False] = False, batch_first: bool = False
) -> LSTM: ...


@overload
def from_equinox(module: Any, *, cell: Literal[True]) -> LSTMCell: ...


def from_equinox(module: Any, reverse: Any = None, *, cell: bool = False, batch_first: bool = False) -> LSTM | LSTMCell:
    """Make an LSTM from an Equinox ``LSTMCell``.

    Values are copied unchanged; Equinox's only bias becomes our ``b_ih``, and ``b_hh`` is zero.

    Args:
        module: the cell, or a dict of its arrays: ``weight_ih``, ``weight_hh`` and optionally ``bias``.
        reverse: the cell that reads in reverse, for an LSTM with two directions.
        cell: return an `LSTMCell`.
        batch_first: the LSTM's option.

    Raises:
        ArgumentTypeError: the argument does not have these arrays.
        ShapeError, RankError, DtypeError: the arrays do not match each other.
    """
    weights = [to_weights(_equinox_arrays(part), EQUINOX) for part in (module, reverse) if part is not None]
    lstm = build_lstm(weights, bidirectional=reverse is not None, batch_first=batch_first)
    return build_cell(lstm) if cell else lstm


def _flattened(tree: Mapping[Any, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the leaves of nested dicts. Linen's top-level key is not part of a cell's name."""
    for key, value in tree.items():
        inner = path if (path, key) == ((), "params") else (*path, str(key))
        if isinstance(value, Mapping):
            yield from _flattened(value, inner)
        else:  # before flax 0.12, nnx's state wraps its arrays
            yield inner, value.value if type(value).__name__ == "VariableState" else value


def _cells(leaves: Leaves) -> Iterator[tuple[Path, Layout]]:
    for path in leaves:
        for layout, mark in _MARKS.items():
            if path[-2:] == mark:
                yield path[:-2], layout


def _is_gru(leaves: Leaves, owner: Path, layout: Layout) -> bool:
    """Whether there are three stacked gates, as in a GRU, whose arrays have the same names."""
    shape = np.shape(leaves.get((*owner, *layout.hh[0].split("/")), 0))
    return layout is NNX_STACKED and len(shape) == 2 and shape[1] == (len(GATES) - 1) * shape[0]


def _directions(cells: Mapping[Path, Layout]) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each cell with its name; both cells of a Bidirectional come together, with its name."""
    for owner in cells:
        pair = [(*owner[:-2], rnn, *owner[-1:]) for rnn in FLAX.directions or ()]
        if owner not in pair or not all(half in cells for half in pair):
            yield owner, [owner]
        elif owner == pair[0]:
            yield owner[:-2], pair


def _build(leaves: Leaves, cells: Mapping[Path, Layout], batch_first: bool) -> LSTM:
    weights = []
    for owner, layout in cells.items():
        paths = {name: (*owner, *name.split("/")) for name in layout.names}
        arrays = {name: to_tensor(leaves[path], "/".join(path)) for name, path in paths.items() if path in leaves}
        weights.append(to_weights(arrays, layout))
    return build_lstm(weights, bidirectional=len(weights) == 2, batch_first=batch_first)


def _joined(forward: LSTM, reverse: LSTM) -> LSTM:
    if forward.bidirectional or reverse.bidirectional:
        raise ArgumentError(
            "reverse= joins two cells, but one of these is a Bidirectional, which already has both directions"
        )
    weights = [direction for lstm in (forward, reverse) for layer in weights_by_direction(lstm) for direction in layer]
    return build_lstm(weights, bidirectional=True, batch_first=forward.batch_first)


def _equinox_arrays(module: Any) -> dict[str, Any]:
    found = module if isinstance(module, Mapping) else {name: getattr(module, name, None) for name in EQUINOX.names}
    weights = (*EQUINOX.ih, *EQUINOX.hh)
    if any(found.get(name) is None for name in weights) or getattr(module, "bias_n", None) is not None:
        raise ArgumentTypeError(
            f"expected an Equinox LSTMCell, or its arrays ({', '.join(EQUINOX.names)}), got {type(module).__name__}"
        )
    return {name: to_tensor(found[name], name) for name in EQUINOX.names if found.get(name) is not None}
