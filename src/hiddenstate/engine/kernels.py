"""The native module: whether it is there, which instruction set runs, and its functions for each type of numbers."""

import os
import platform
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError, DtypeError

if TYPE_CHECKING:  # other files take these types from here: this one alone imports the native module
    from hiddenstate._native import PlainCall as PlainCall
    from hiddenstate._native import StreamStep as StreamStep

try:
    from hiddenstate import _native
except ImportError as error:  # a wheel for another machine, say: everything still works, in plain torch
    _native = None  # type: ignore[assignment]
    warnings.warn(
        f"hiddenstate's native module could not be loaded ({error}); computing goes on without it. Reinstalling "
        "hiddenstate on this machine usually mends it",
        stacklevel=2,
    )


def version() -> str | None:
    """Version that the native module was built as, or None when it could not be loaded."""
    return None if _native is None else _native.__version__


def cpu_features() -> list[str]:
    """Instruction sets that the CPU and the operating system support, narrowest first; empty when not known."""
    return [] if _native is None else _native.cpu_features()


def machine() -> str:
    """The processor's architecture, such as ``x86_64``."""
    return platform.machine()


@dataclass(frozen=True, eq=False)
class Kernel:
    """The native functions for one type of numbers, compiled for one instruction set.

    ``element`` is the type of inputs, hidden states and weights; ``real`` that of gates, cell states and sums.
    """

    scan: "_native.Scan"  # scan.h
    edits: "type[_native._Edits]"  # edits.h
    element: torch.dtype
    real: torch.dtype


def _kernels() -> dict[torch.dtype, list[Kernel]]:
    """Kernels of each type that this CPU runs, narrowest first."""
    if _native is None:
        return {}
    types = {
        torch.float32: (_native.scans_float32(), _native.EditsFloat32, torch.float32),
        torch.float64: (_native.scans_float64(), _native.EditsFloat64, torch.float64),
        torch.bfloat16: (_native.scans_bfloat16(), _native.EditsFloat32, torch.float32),
    }
    return {
        element: [Kernel(scan, edits, element, real) for scan in scans]
        for element, (scans, edits, real) in types.items()
    }


_every = _kernels()
_chosen: dict[torch.dtype, Kernel] = {}


def isas() -> list[str]:
    """Instruction sets that the native scan was compiled for and that this CPU runs, narrowest first."""
    # bfloat16 alone has one of its own; the other types take the widest below it.
    return [kernel.scan.isa for kernel in _every.get(torch.bfloat16, [])]


def isa() -> str | None:
    """The instruction set whose scan runs, or None without the native module."""
    return None if _native is None else _chosen[torch.bfloat16].scan.isa


def choose(name: str | None) -> None:
    """Take an instruction set, the widest one when None.

    Raises:
        ArgumentError: this machine does not run it.
    """
    names = isas()
    if name and name not in names:
        raise ArgumentError(
            f"HIDDENSTATE_ISA={name}: this machine runs {' '.join(names) or 'none'}; choose one of them"
        )
    allowed = names[: names.index(name) + 1] if name else names
    for dtype, kernels in _every.items():
        _chosen[dtype] = [kernel for kernel in kernels if kernel.scan.isa in allowed][-1]


choose(os.environ.get("HIDDENSTATE_ISA"))


def kernel(dtype: torch.dtype) -> Kernel:
    """Return the native functions for a type; `serves` says whether there are any."""
    return _chosen[dtype]


def serves(dtype: torch.dtype) -> bool:
    """Whether there is a kernel for numbers of this type."""
    return dtype in _chosen


def plain_kernel(x: object) -> Kernel | None:
    """The functions for one of torch's own tensors, if its numbers are such as cell states are kept in too."""
    kernel = _chosen.get(x.dtype) if type(x) is Tensor else None
    return kernel if kernel is not None and kernel.real is kernel.element else None


def real_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which cell states are kept over numbers of a type."""
    return _chosen[dtype].real if dtype in _chosen else dtype


def nonlinearity(name: str, x: Tensor) -> Tensor:
    """The scan's own ``"sigmoid"`` or ``"tanh"``, for those who check it."""
    given = x.contiguous()
    out = torch.empty_like(given)
    kernel(x.dtype).scan.nonlinearity(name, given.data_ptr(), out.data_ptr(), given.numel())
    return out


def new(dtype: torch.dtype, *shape: int) -> Tensor:
    """Memory for numbers on the CPU, whatever torch's default type and device are."""
    return torch.empty(shape, dtype=dtype, device="cpu")


def flat(value: Tensor | None, dtype: torch.dtype | None = None) -> Tensor | None:
    """The same numbers, lying one after another as they are: torch may keep a tensor negated by a mark alone."""
    if value is None:
        return None
    if value.is_neg():
        value = value.resolve_neg()
    if dtype is not None and value.dtype is not dtype:
        value = value.to(dtype)
    return value if value.is_contiguous() else value.contiguous()


def address(
    value: Tensor | None, dtype: torch.dtype, shape: tuple[int, ...] | None = None, *, strided: bool = False
) -> int:
    """Where a tensor lies in memory, 0 for one that is not there. The caller keeps it alive over the call.

    Without gaps, unless it may be ``strided``; of a ``shape``, where that is not known already.

    Raises:
        DtypeError: it is not as native code must find it: hooks on saved tensors changed it, or its memory was freed.
    """
    if value is None:
        return 0
    fits = value.dtype is dtype and value.is_cpu and (shape is None or value.shape == shape)
    if not fits or not (strided or value.is_contiguous()):
        expected = "" if shape is None else f"{list(shape)} of "
        raise DtypeError(
            f"the native scan was handed a tensor {list(value.shape)} of {value.dtype} on {value.device}, expected "
            f"{expected}{dtype} on cpu: hooks on saved tensors must give back what they were given"
        )
    where = value.data_ptr()
    if not where and value.numel():
        raise DtypeError("the native scan was handed a tensor whose memory was freed (or that has none of its own)")
    return where
