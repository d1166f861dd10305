"""How each framework stores the weights of an LSTM, a GRU or a plain RNN: one table and one converter that uses it.

The table uses our gate names; our own order is in `cells`. The converter takes the arrays of one layer and direction to
our stacked `Weights` and back. To support another framework, add a `WeightLayout` for each kind of cell
that it has. Any framework's arrays become tensors first: NumPy's, JAX's, ml_dtypes' bfloat16.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import with_article
from hiddenstate.base.validation import check_memory
from hiddenstate.cells.cell import Cell, Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DtypeError,
    MissingDependencyError,
    NameUnknownError,
    RankError,
    ShapeError,
)

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

# torch's gate order is ours.
_LSTM: Any = {"gates": CELLS["LSTM"].gate_names}
_GRU: Any = {"cell": "GRU", "gates": CELLS["GRU"].gate_names}
_RNN: Any = {"cell": "RNN", "gates": CELLS["RNN_TANH"].gate_names}
_ZRN: Any = {"cell": "GRU", "gates": ("z", "r", "n")}
_FLAX: Any = {"transposed": True, "needs_bias": True, "directions": ("forward_rnn", "backward_rnn")}
_HIDDEN = "hi/kernel hf/kernel hg/kernel ho/kernel"
_BIASES = "hi/bias hf/bias hg/bias ho/bias"


def to_tensor(value: object, name: str) -> Tensor:
    """Return an array of any package as a tensor of the same type; tensors are returned unchanged."""
    if isinstance(value, Tensor):
        check_memory(value, name)
        return value.detach()
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":  # ml_dtypes' type, which torch cannot read
        return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"{name} must be an array of numbers, got {type(value).__name__} of type {array.dtype}")
    # A copy: torch accepts neither read-only arrays nor foreign byte orders.
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True))


def to_array(tensor: Tensor) -> "Array":
    """Copy a tensor to a NumPy array of the same type."""
    check_memory(tensor, "a weight")
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is not torch.bfloat16:
        return np.array(tensor.numpy())
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingDependencyError("NumPy has no bfloat16 without ml_dtypes: pip install ml_dtypes") from error
    return np.array(tensor.view(torch.uint16).numpy()).view(ml_dtypes.bfloat16)


@dataclass(frozen=True)
class WeightLayout:
    """How a framework lays out arrays; a group has one name if stacked, one for each gate, or none if absent."""

    framework: str
    gates: tuple[str, ...]  # the gate order, in our letters
    ih: tuple[str, ...]  # the input's weights
    hh: tuple[str, ...]  # the hidden state's weights
    b_ih: tuple[str, ...] = ()
    b_hh: tuple[str, ...] = ()
    hr: str | None = None  # the projection, if the framework has one
    transposed: bool = False  # weights are [C, 4H] and [H, 4H], not [4H, C] and [4H, H]
    joined_bias: str | None = None  # one array [2GH] for G gates: the input biases, then the hidden biases
    joined_rows: bool = False  # that array is [2, GH]
    hidden_biased: tuple[str, ...] | None = None  # the gates that have a b_hh, if not all of them; all have a b_ih
    needs_bias: bool = False  # the framework has no such layer without a bias
    peepholes: str | None = None  # the framework's names of the peephole weights, which our LSTM does not have
    directions: tuple[str, str] | None = None  # the parts of names or options that distinguish forward and reverse
    cell: str = "LSTM"  # the kind of cell without its nonlinearity: LSTM, GRU or RNN
    resets_first: bool = False  # a GRU whose reset gate multiplies the state before the matrix product, not after it

    @property
    def kind(self) -> Cell:
        """The kind of cell; for plain RNNs, one of the two."""
        return CELLS.get(self.cell, CELLS["RNN_TANH"])

    @property
    def biases(self) -> tuple[str, ...]:
        """Names of the arrays that hold biases."""
        return (self.joined_bias,) if self.joined_bias else (*self.b_ih, *self.b_hh)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays in the framework's own order, without peepholes and projection."""
        return (*self.ih, *self.hh, *self.biases)


def _names(ih: str, hh: str, b_ih: str = "", b_hh: str = "") -> Any:
    """A layout's groups of names, each in one text."""
    return {"ih": (*ih.split(),), "hh": (*hh.split(),), "b_ih": (*b_ih.split(),), "b_hh": (*b_hh.split(),)}


TORCH = WeightLayout(
    "torch",
    **_LSTM,
    **_names("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
    hr="weight_hr",
    directions=("", "_reverse"),
)
TORCH_GRU = replace(TORCH, **_GRU, hr=None)
TORCH_RNN = replace(TORCH, **_RNN, hr=None)

ONNX = WeightLayout(  # each array has an additional first axis for the direction; P is [3H]: i o f
    "ONNX", ("i", "o", "f", "g"), **_names("W", "R"), joined_bias="B", peepholes="P", directions=("forward", "reverse")
)
ONNX_GRU = replace(ONNX, **_ZRN, peepholes=None)  # linear_before_reset=1
ONNX_GRU_RESET_FIRST = replace(ONNX_GRU, framework="ONNX (linear_before_reset=0)", resets_first=True)
ONNX_RNN = replace(ONNX, **_RNN, peepholes=None)

KERAS = WeightLayout(
    "Keras",
    **_LSTM,
    **_names("kernel", "recurrent_kernel", "bias"),
    transposed=True,
    directions=("forward_", "backward_"),
)
KERAS_GRU = replace(KERAS, **_ZRN, b_ih=(), joined_bias="bias", joined_rows=True)
KERAS_GRU_RESET_FIRST = replace(KERAS, framework="Keras (reset_after=False)", **_ZRN, resets_first=True)
KERAS_RNN = replace(KERAS, **_RNN)  # SimpleRNN

FLAX = WeightLayout(  # linen's LSTMCell and OptimizedLSTMCell
    "flax.linen", **_LSTM, **_names("ii/kernel if/kernel ig/kernel io/kernel", _HIDDEN, b_hh=_BIASES), **_FLAX
)
FLAX_GRU = replace(
    FLAX,
    **_GRU,
    **_names("ir/kernel iz/kernel in/kernel", "hr/kernel hz/kernel hn/kernel", "ir/bias iz/bias in/bias", "hn/bias"),
    hidden_biased=("n",),
)
FLAX_RNN = replace(FLAX, **_RNN, **_names("i/kernel", "h/kernel", "i/bias"))  # SimpleCell
NNX = WeightLayout(  # nnx's LSTMCell, in which "if" would be a Python keyword
    "flax.nnx", **_LSTM, **_names("ii/kernel if_/kernel ig/kernel io/kernel", _HIDDEN, b_hh=_BIASES), **_FLAX
)
_STACKED_NAMES = _names("dense_i/kernel", "dense_h/kernel", b_hh="dense_h/bias")
NNX_STACKED = WeightLayout("flax.nnx (OptimizedLSTMCell)", **_LSTM, **_STACKED_NAMES, **_FLAX)
NNX_GRU = replace(NNX_STACKED, framework="flax.nnx", **_GRU, b_ih=("dense_i/bias",), b_hh=(), hidden_biased=())
NNX_RNN = replace(NNX_GRU, **_RNN, hidden_biased=None)  # SimpleCell

EQUINOX = WeightLayout("Equinox", **_LSTM, **_names("weight_ih", "weight_hh", "bias"))
EQUINOX_GRU = replace(EQUINOX, **_GRU, b_hh=("bias_n",), hidden_biased=("n",))

LAYOUTS = (
    *(TORCH, TORCH_GRU, TORCH_RNN),
    *(ONNX, ONNX_GRU, ONNX_GRU_RESET_FIRST, ONNX_RNN),
    *(KERAS, KERAS_GRU, KERAS_GRU_RESET_FIRST, KERAS_RNN),
    *(FLAX, FLAX_GRU, FLAX_RNN, NNX, NNX_STACKED, NNX_GRU, NNX_RNN),
    *(EQUINOX, EQUINOX_GRU),
)


def layout_for(layout: WeightLayout, cell: str) -> WeightLayout:
    """Return the same framework's layout for a different kind of cell; raise ArgumentError if it has none."""
    for candidate in LAYOUTS:
        if candidate.framework == layout.framework and candidate.cell == cell:
            return candidate
    raise ArgumentError(f"{layout.framework} has no {cell}")


def to_weights(arrays: Mapping[str, Tensor], layout: WeightLayout) -> Weights:
    """Convert arrays of a layer and direction, bit for bit; a single bias becomes one of two, the other is zero."""
    if layout.resets_first:
        raise ArgumentError(
            f"this GRU of {layout.framework} multiplies the state by the reset gate before the matrix product, which "
            "is a different cell: an hs.GRU, like torch's, multiplies afterwards. Retrain it with the other setting"
        )
    _check(arrays, layout)
    ih, hh = (_stack(arrays, names, layout) for names in (layout.ih, layout.hh))
    b_ih, b_hh = _biases(arrays, layout, ih)
    hr = arrays[layout.hr].detach().clone() if layout.hr is not None and layout.hr in arrays else None
    return Weights(ih, hh, b_ih, b_hh, hr)


def from_weights(weights: Weights, layout: WeightLayout) -> dict[str, Tensor]:
    """Invert `to_weights`; one bias is the sum of two, and zeros if it is needed but absent."""
    if weights.hr is not None and layout.hr is None:
        raise ArgumentError(
            f"{layout.framework} has no projection of the hidden state, but this LSTM has one (proj_size="
            f"{len(weights.hr)}): a layer without it would give different numbers"
        )
    arrays = _unstack(weights.ih, layout.ih, layout) | _unstack(weights.hh, layout.hh, layout)
    arrays |= _framework_biases(weights, layout)
    if weights.hr is not None and layout.hr is not None:
        arrays[layout.hr] = weights.hr.detach().clone()
    return arrays


def _biases(arrays: Mapping[str, Tensor], layout: WeightLayout, ih: Tensor) -> tuple[Tensor | None, Tensor | None]:
    if not any(name in arrays for name in layout.biases):
        return None, None
    ours = layout.kind.gate_names
    if layout.joined_bias:
        b_ih, b_hh = arrays[layout.joined_bias].flatten().chunk(2)
        return _reorder(b_ih, layout.gates, ours), _reorder(b_hh, layout.gates, ours)
    b_ih, b_hh = (ih.new_zeros(len(ih)) for _ in range(2))
    if layout.b_ih:
        b_ih = _stack(arrays, layout.b_ih, layout)
    if layout.b_hh and layout.hidden_biased is None:
        b_hh = _stack(arrays, layout.b_hh, layout)
    else:
        for gate, name in zip(layout.hidden_biased or (), layout.b_hh, strict=False):
            b_hh[layout.kind.rows(gate, len(ih) // len(ours))] = arrays[name]
    return b_ih, b_hh


def _framework_biases(weights: Weights, layout: WeightLayout) -> dict[str, Tensor]:
    b_ih, b_hh = weights.b_ih, weights.b_hh
    if b_ih is None or b_hh is None:
        if not layout.needs_bias:
            return {}
        b_ih = b_hh = weights.ih.new_zeros(len(weights.ih))
    if layout.joined_bias:
        both = [_reorder(b, layout.kind.gate_names, layout.gates) for b in (b_ih, b_hh)]
        return {layout.joined_bias: torch.stack(both) if layout.joined_rows else torch.cat(both)}
    if layout.b_ih and layout.b_hh and layout.hidden_biased is None:
        return _unstack(b_ih, layout.b_ih, layout) | _unstack(b_hh, layout.b_hh, layout)
    summed = _summed_hidden_bias(b_hh, layout)
    # If one of the two is zero, the other is used unchanged, because adding would turn -0.0 into 0.0.
    single = b_ih if not summed.any() else summed if not b_ih.any() else b_ih + summed
    arrays = _unstack(single, layout.b_ih or layout.b_hh, layout)
    H = len(b_hh) // len(layout.gates)
    for gate, name in zip(layout.hidden_biased or (), layout.b_hh, strict=False):
        arrays[name] = b_hh[layout.kind.rows(gate, H)].detach().clone()
    return arrays


def _summed_hidden_bias(b_hh: Tensor, layout: WeightLayout) -> Tensor:
    """Return the hidden bias that is added to the input bias: zero for gates whose hidden bias is kept separately."""
    summed = b_hh.detach().clone()
    for gate in layout.kind.gates:
        rows = layout.kind.rows(gate.name, len(b_hh) // len(layout.gates))
        if gate.scale is None:
            continue
        if gate.name not in (layout.hidden_biased or ()) and summed[rows].any():
            raise ArgumentError(
                f"{layout.framework} has no bias b_h{gate.name}, which the gate {gate.scale} multiplies, but in this "
                f"{layout.cell} it is not zero: a layer without it would give different numbers"
            )
        summed[rows] = 0
    return summed


def _stack(arrays: Mapping[str, Tensor], names: Sequence[str], layout: WeightLayout) -> Tensor:
    """Stack a group of a framework's arrays into one of our parameters."""
    parts = [_turned(arrays[name], layout) for name in names]
    return _reorder(torch.cat(parts), layout.gates, layout.kind.gate_names)


def _unstack(stacked: Tensor, names: Sequence[str], layout: WeightLayout) -> dict[str, Tensor]:
    """Split one of our stacked parameters into a group of a framework's arrays."""
    parts = _parts(_reorder(stacked, layout.kind.gate_names, layout.gates), len(names))
    return {name: _turned(part, layout).contiguous().clone() for name, part in zip(names, parts, strict=True)}


def _turned(array: Tensor, layout: WeightLayout) -> Tensor:
    """Transpose a matrix if the layout does; biases do not change."""
    return array.T if layout.transposed and array.dim() == 2 else array


def _reorder(stacked: Tensor, order: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Reorder the gates, stacked along the first axis; returns a copy."""
    parts = dict(zip(order, _parts(stacked.detach(), len(order)), strict=True))
    return torch.cat([parts[gate] for gate in wanted])


def _parts(stacked: Tensor, count: int) -> list[Tensor]:
    """Return equal parts along the first axis, as slices, which exporters fold if constant, unlike chunk()."""
    rows = len(stacked) // count
    return [stacked[k * rows : (k + 1) * rows] for k in range(count)]


def _check(arrays: Mapping[str, Tensor], layout: WeightLayout) -> None:
    """Reject arrays that do not match each other; errors use the framework's names."""
    biases = layout.biases if any(name in arrays for name in layout.biases) else ()
    wanted = (*layout.ih, *layout.hh, *biases)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise NameUnknownError(
            f"these are not the weights of {with_article(layout.cell)} in the layout of {layout.framework}: "
            f"{', '.join(missing)} missing "
            f"from {', '.join(arrays) or 'none'}"
        )
    present = [name for name in (*wanted, layout.hr) if name in arrays and name is not None]
    dtypes = {str(arrays[name].dtype): name for name in present}
    if len(dtypes) > 1 or not arrays[present[0]].is_floating_point():
        of = ", ".join(f"{name} {dtype}" for dtype, name in dtypes.items())
        raise DtypeError(f"weights of {layout.framework} must be floats of one type, got {of}: convert them to one")
    shapes = _expected_shapes(arrays, layout)
    for name in present:
        got, (symbols, expected) = list(arrays[name].shape), shapes[name]
        if got != expected:
            raise ShapeError(f"{name} of {layout.framework} has shape {got}, expected {symbols} = {expected}")


def _expected_shapes(arrays: Mapping[str, Tensor], layout: WeightLayout) -> dict[str, tuple[str, list[int]]]:
    """Return each array's expected shape, in symbols and numbers, from the input and recurrent weights."""
    rows, C = _matrix(arrays, layout.ih[0], layout)
    gates = len(layout.gates) // len(layout.ih)
    projects = layout.hr is not None and layout.hr in arrays
    _, P = _matrix(arrays, layout.hh[0], layout)
    H = rows // gates if projects else P
    stacked = "H" if gates == 1 else f"{gates}H"
    shapes: dict[str, tuple[str, list[int]]] = {}
    for group, symbol, columns in ((layout.ih, "C", C), (layout.hh, "P" if projects else "H", P)):
        symbols, shape = [stacked, symbol], [gates * H, columns]
        order = slice(None, None, -1 if layout.transposed else None)
        shapes |= {name: (f"[{', '.join(symbols[order])}]", shape[order]) for name in group}
    if layout.joined_bias:
        rows_of = (f"[2, {stacked}]", [2, gates * H]) if layout.joined_rows else (f"[{2 * gates}H]", [2 * gates * H])
        return shapes | {layout.joined_bias: rows_of}
    shapes |= {name: (f"[{stacked}]", [gates * H]) for name in layout.biases}
    shapes |= {name: ("[H]", [H]) for _, name in zip(layout.hidden_biased or (), layout.b_hh, strict=False)}
    return shapes | ({layout.hr: ("[P, H]", [P, H])} if layout.hr else {})


def _matrix(arrays: Mapping[str, Tensor], name: str, layout: WeightLayout) -> tuple[int, int]:
    """Return the rows and columns of a weight matrix, as if it were not transposed."""
    shape = tuple(arrays[name].shape)
    if len(shape) != 2:
        raise RankError(f"{name} of {layout.framework} must have two axes, got shape {list(shape)}")
    return (shape[1], shape[0]) if layout.transposed else (shape[0], shape[1])
