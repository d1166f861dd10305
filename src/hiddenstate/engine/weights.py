"""A layer's weights: checked, and quantised to int8 and read as floats."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.nn import Parameter

from hiddenstate.base.messages import listed
from hiddenstate.base.validation import autocasts, check_dense, check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine import kernels
from hiddenstate.engine.kernels import Kernel
from hiddenstate.errors import ArgumentError, DeviceError, DtypeError, ShapeError
from hiddenstate.structure.sizes import Sizes, parameter_names, weight_shapes

MOST = 127  # the largest absolute value
MOST_COLUMNS = (2**31 - 1) // MOST**2  # the number of products that fit in an int32 sum
# With fewer units, float32 is as fast: quantising h at each step costs as much as the faster products save.
FEWEST_UNITS = 32


def quantise(weight: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Round each row to int8 times its scale, the largest absolute value / 127; in float32, twice changes nothing."""
    check_dense(weight, name)
    check_memory(weight, name)
    if not weight.dtype.is_floating_point:
        raise DtypeError(f"{name} has dtype {weight.dtype}: only floating-point weights can be quantised to int8")
    dtype = weight.dtype
    # In narrow types the scale may be rounded, but the quotients must not be.
    weight = weight.detach().to(torch.promote_types(dtype, torch.float32))
    if weight.device.type != "meta" and not weight.isfinite().all():
        raise ArgumentError(f"{name} has values that are not finite, which int8 cannot represent: check the training")
    greatest = weight.abs().amax(dim=1) if weight.numel() else weight.new_zeros(len(weight))
    scale = (greatest / MOST * MOST / MOST).to(dtype)  # 127 * scale / 127 is then exactly the scale
    steps = torch.where(scale[:, None] > 0, weight / scale[:, None], 0)
    return steps.round().clamp(-MOST, MOST).to(torch.int8), scale


def dequantise(values: Tensor, scale: Tensor, name: str) -> Tensor:
    """Return the float values of int8 ``values [rows, columns]`` with ``scale [rows]``."""
    check_dense(values, name)
    check_dense(scale, f"the scale of {name}")
    if values.dtype is not torch.int8 or not scale.dtype.is_floating_point:
        raise DtypeError(
            f"{name} has dtype {values.dtype} and its scale {scale.dtype}, expected torch.int8 and a floating-point "
            "type: was one replaced?"
        )
    if values.dim() != 2 or scale.shape != values.shape[:1]:
        raise ShapeError(
            f"{name} has shape {list(values.shape)} and its scale {list(scale.shape)}, expected [rows, columns] and "
            "[rows]: was one replaced?"
        )
    if scale.device != values.device:
        raise DeviceError(f"{name} is on {values.device} and its scale on {scale.device}: was one replaced?")
    check_memory(values, name)
    check_memory(scale, f"the scale of {name}")
    return values.to(scale.dtype) * scale[:, None]


class Kept(NamedTuple):
    """The stored weights of one layer and direction: matrices as (values, scale), and biases."""

    names: Weights
    values: Weights
    scales: Weights


def _not_packed() -> None:
    return None


class Int8Weights(Sequence[Weights]):
    """The int8 weights of each layer and direction. Items are floats, which are computed on first use."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.kept = kept
        self.stepper: Callable[[], Any] = _not_packed  # set by the code that packs them
        self._floats: list[Weights] | None = None
        self._packed: Any = None

    @property
    def packed(self) -> Any:
        """The `PackedLSTM`, whose weights are packed on first use; None if they can't be packed."""
        if self._packed is None:
            self._packed = self.stepper()
        return self._packed

    @property
    def like(self) -> Tensor:
        """A tensor with the type and device of the floats."""
        return self.kept[0].scales.ih

    def reals(self) -> list[Tensor]:
        """All biases and scales, which are floating point and may require a gradient."""
        every = [value for kept in self.kept for value in (kept.values.b_ih, kept.values.b_hh, *kept.scales)]
        return [value for value in every if value is not None]

    def floats(self) -> list[Weights]:
        """The weights as floats."""
        if self._floats is None:
            self._floats = [_floats(kept) for kept in self.kept]
        return self._floats

    @overload
    def __getitem__(self, k: int) -> Weights: ...
    @overload
    def __getitem__(self, k: slice) -> list[Weights]: ...
    def __getitem__(self, k: int | slice) -> Weights | list[Weights]:
        return self.floats()[k]

    def __iter__(self) -> Iterator[Weights]:
        return iter(self.floats())

    def __len__(self) -> int:
        return len(self.kept)


def _floats(kept: Kept) -> Weights:
    values = [
        value if value is None or scale is None else dequantise(value, scale, str(name))
        for name, value, scale in zip(*kept, strict=True)
    ]
    # Does not use _make, which torch 2.8's Dynamo cannot trace.
    return Weights(*values)  # type: ignore[arg-type]


def why_not_kernel(sizes: Sizes, dtype: torch.dtype) -> str | None:
    """Return why layers of these sizes do not use int8 on this machine, or None."""
    if dtype is not torch.float32:
        return f"the scales are {dtype}, not float32"
    if (against := why_not_int8(sizes)) is not None:
        return against
    if kernels.int8(sizes.cell) is None:
        return "this processor has no int8 instructions, or they are slower than those for float32"
    return None


def why_not_int8(sizes: Sizes) -> str | None:
    """Return why layers of these sizes multiply floats by int8 weights on every machine, or None."""
    if not sizes.kind.is_additive:
        rounded = listed(f"{cell.label}s" for cell in CELLS.values() if cell.is_additive)
        return f"int8 kernels compute {rounded}, not {sizes.kind.label}s"
    if sizes.proj_size:
        return "there is a projection"
    if max(sizes.input_size, sizes.directions * sizes.hidden_size) > MOST_COLUMNS:
        return f"a sum of more than {MOST_COLUMNS:,} products may not fit into int32"
    if sizes.hidden_size < FEWEST_UNITS:
        return f"with fewer than {FEWEST_UNITS} units float32 is as fast"
    return None


def int8_kernel(sizes: Sizes, dtype: torch.dtype) -> Kernel:
    """Return the best kernel for a layer with int8 weights: the int8 one, or the one for floats."""
    best = kernels.int8(sizes.cell)
    return kernels.kernel(dtype, sizes.cell) if best is None or why_not_kernel(sizes, dtype) else best


def check_weights(weights: Sequence[Weights], sizes: Sizes) -> None:
    """Raise ShapeError, DtypeError or DeviceError if weights do not fit the sizes, or differ in type or device."""
    if isinstance(weights, Int8Weights):
        _check_kept(weights, sizes)
        return
    like = weights[0].ih
    # Dynamo ignores caches and warns about them.
    shapes_of = weight_shapes.__wrapped__ if torch.compiler.is_compiling() else weight_shapes
    for k, part in enumerate(weights):
        shapes = shapes_of(sizes, k)
        for j, value in enumerate(part):
            if value is None:
                continue
            # torch's per-sample weights are of a special class that does not report a layout.
            dense = type(value) not in (Tensor, Parameter) or value.layout is torch.strided
            alike = value.dtype == like.dtype and value.device == like.device
            if value.shape != shapes[j] or not alike or not dense:
                names = parameter_names(sizes)
                check_weight(value, str(names[k][j]), shapes[j] or (), (str(names[0][0]), like))


def _check_kept(weights: Int8Weights, sizes: Sizes) -> None:
    """Reject int8 weights with wrong shapes or mixed floating-point types; the rest is checked when they are read."""
    first = f"the scale of {weights.kept[0].names.ih}", weights.like
    for k, kept in enumerate(weights.kept):
        for name, value, scale, shape in zip(*kept, weight_shapes(sizes, k), strict=True):
            if value is None or shape is None:
                continue
            if scale is None:
                check_weight(value, str(name), shape, first)
                continue
            check_weight(scale, f"the scale of {name}", shape[:1], first)
            if value.shape != shape:
                check_weight(value, str(name), shape, first)


def check_weight(value: Tensor, name: str, shape: Sequence[int], first: tuple[str, Tensor]) -> None:
    """Raise ShapeError, DtypeError or DeviceError if a weight has a wrong shape, type or device, or is sparse."""
    check_dense(value, name)
    if value.shape != tuple(shape):
        raise ShapeError(
            f"{name} has shape {list(value.shape)}, expected {list(shape)} by the sizes: was it or a size replaced?"
        )
    if value.dtype != first[1].dtype and not autocasts(first[1].device.type):
        raise DtypeError(
            f"{name} has dtype {value.dtype} and {first[0]} has {first[1].dtype}: was its .data replaced? Convert the "
            f"module with .to({first[1].dtype})"
        )
    if value.device != first[1].device:
        raise DeviceError(
            f"{name} is on {value.device} and {first[0]} on {first[1].device}: move the module with .to(...)"
        )
