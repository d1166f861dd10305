"""Weights of 8 bits: how they are rounded, and read as floats."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, overload

import torch
from torch import Tensor

from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.cells.cell import Weights
from hiddenstate.engine import kernels
from hiddenstate.engine.kernels import Kernel
from hiddenstate.errors import ArgumentError, DeviceError, DtypeError, ShapeError
from hiddenstate.structure.sizes import Sizes

MOST = 127  # the greatest size of a number
MOST_COLUMNS = (2**31 - 1) // MOST**2  # whose products, each of two such numbers, are summed in 32 bits
# Of fewer units float32 is as fast: what is gained in products goes into rounding h at each step.
FEWEST_UNITS = 32


def quantise(weight: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Round each row of a matrix ``[rows, columns]`` to whole numbers of -127..127 times a scale of its own.

    The scale is the row's greatest size, divided by 127, so that nothing is cut off, and no number moves by more than
    half a scale (of bfloat16 and float16 by no more than one, as the scale is rounded too). To round again changes
    nothing, in float32 and float64.

    Returns:
        The numbers, int8 ``[rows, columns]``, and the scales ``[rows]``, of the type of ``weight``.

    Raises:
        ArgumentError: a number is not finite.
        DtypeError: the matrix is not of floating point, or sparse, or its memory was freed.
    """
    check_dense(weight, name)
    check_memory(weight, name)
    if not weight.dtype.is_floating_point:
        raise DtypeError(f"{name} has dtype {weight.dtype}: only numbers of floating point can be rounded to int8")
    dtype = weight.dtype
    # Of narrower types a scale may have fewer digits, but the quotients must not.
    weight = weight.detach().to(torch.promote_types(dtype, torch.float32))
    if weight.device.type != "meta" and not weight.isfinite().all():
        raise ArgumentError(f"{name} has numbers that are not finite, which int8 cannot hold: look at the training")
    greatest = weight.abs().amax(dim=1) if weight.numel() else weight.new_zeros(len(weight))
    scale = (greatest / MOST * MOST / MOST).to(dtype)  # 127 scale / 127 is then the scale
    steps = torch.where(scale[:, None] > 0, weight / scale[:, None], 0)
    return steps.round().clamp(-MOST, MOST).to(torch.int8), scale


def dequantise(values: Tensor, scale: Tensor, name: str) -> Tensor:
    """Return the numbers that int8 ``values [rows, columns]`` and ``scale [rows]`` stand for.

    Raises:
        DtypeError, ShapeError, DeviceError: these are not such a pair, or the memory of one was freed.
    """
    check_dense(values, name)
    check_dense(scale, f"the scale of {name}")
    if values.dtype is not torch.int8 or not scale.dtype.is_floating_point:
        raise DtypeError(
            f"{name} has dtype {values.dtype} and its scale {scale.dtype}, expected torch.int8 and a type of floating "
            "point: was one replaced?"
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
    """A layer's and direction's weights as they are kept: matrices as (numbers, scale), biases as they are."""

    names: Weights
    values: Weights
    scales: Weights


class PackedWeights(Protocol):
    """Weights as native code packed them, for one of its kernels: `hiddenstate.engine.packed.PackedLSTM`."""

    packed: Any
    kernel: Kernel


def _not_packed() -> None:
    return None


class Int8Weights(Sequence[Weights]):
    """Weights of 8 bits of each layer and direction. Read as floats, which are made when they are first asked for.

    Args:
        kept: what is kept of each layer and direction.
    """

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.kept = kept
        self.stepper: Callable[[], PackedWeights | None] = _not_packed  # who packs them says how
        self._floats: list[Weights] | None = None
        self._packed: PackedWeights | None = None

    @property
    def packed(self) -> PackedWeights | None:
        """The packed weights, as they were when first asked for; None if they cannot be packed."""
        if self._packed is None:
            self._packed = self.stepper()
        return self._packed

    @property
    def like(self) -> Tensor:
        """What has the type and device of the floats."""
        found: Tensor = self.kept[0].scales.ih
        return found

    def reals(self) -> list[Tensor]:
        """All biases and scales: what is kept in floating point, and may ask for a gradient."""
        every = [value for one in self.kept for value in (one.values.b_ih, one.values.b_hh, *one.scales)]
        return [value for value in every if value is not None]

    def floats(self) -> list[Weights]:
        """The weights as numbers of floating point."""
        if self._floats is None:
            self._floats = [_floats(one) for one in self.kept]
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
    found = [
        value if value is None or scale is None else dequantise(value, scale, str(name))
        for name, value, scale in zip(*kept, strict=True)
    ]
    return Weights._make(found)


def dtype_and_device(weights: Sequence[Weights]) -> Tensor:
    """Return a tensor of the type and on the device of weights."""
    return weights.like if isinstance(weights, Int8Weights) else weights[0].ih


def why_not_kernel(sizes: Sizes, dtype: torch.dtype) -> str | None:
    """Say why LSTMs of these sizes are not computed in 8 bits on this machine, or None."""
    if dtype is not torch.float32:
        return f"the scales are {dtype}, and not float32"
    if kernels.int8() is None:
        return "this processor has no instructions for it, or they are slower here than those for float32"
    if sizes.proj_size:
        return "there is a projection"
    if max(sizes.input_size, sizes.directions * sizes.hidden_size) > MOST_COLUMNS:
        return f"a sum of more than {MOST_COLUMNS:,} products may not fit into 32 bits"
    if sizes.hidden_size < FEWEST_UNITS:
        return f"of fewer than {FEWEST_UNITS} units float32 is as fast"
    return None


def kernel(sizes: Sizes, dtype: torch.dtype) -> Kernel:
    """Return the kernel that is best for weights of 8 bits of an LSTM: that for 8 bits, or for floats."""
    found = kernels.int8()
    return kernels.kernel(dtype) if found is None or why_not_kernel(sizes, dtype) else found
