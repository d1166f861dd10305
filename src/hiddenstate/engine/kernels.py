"""The native module: its availability, the active instruction set, and its functions for each data type."""

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from hiddenstate.base import forks
from hiddenstate.base.native_module import _native
from hiddenstate.base.native_module import absence as absence
from hiddenstate.base.torch_internals import FORWARD_LEVEL, INTERCEPTORS
from hiddenstate.cells import kinds
from hiddenstate.errors import ArgumentError

NOT_LOADED = f"the native module {absence}"  # the reason if there is none
_PLAIN = (Tensor, Parameter)
# The functions of torch that native code uses.
_TORCH = ("empty", "get_num_threads", "float32", "float64", "bfloat16", "float16", "int64", "bool")


def _one_thread() -> int:
    return 1


RefusedError: type[Exception] = type("RefusedError", (Exception,), {})
if _native is not None:
    # Passes the parts of torch that native code uses. It is built without torch, and so works with every version.
    _native.connect(
        {
            "Tensor": Tensor,
            "Parameter": Parameter,
            "UntypedStorage": torch.UntypedStorage,
            "cpu": torch.device("cpu"),
            "interceptors": INTERCEPTORS,
            "forward_derivatives": vars(FORWARD_LEVEL[0]),
            **{name: getattr(torch, name) for name in _TORCH},
            # If it was loaded before a fork, native code detects that itself: see native/threads/fork_guard.h.
            **({"get_num_threads": _one_thread} if forks.lacks_torchs_threads else {}),
        }
    )
    RefusedError = _native.RefusedError  # (argument, reason, value, expected shape); see native/python/read.h


def version() -> str | None:
    """Return the version of the native module, or None if it could not be loaded."""
    return None if _native is None else _native.__version__


def cpu_features() -> list[str]:
    """Return the instruction sets that the CPU and operating system support, narrowest first; empty if unknown."""
    return [] if _native is None else _native.cpu_features()


def machine() -> str:
    """Return the processor's architecture, such as ``x86_64``."""
    return platform.machine()


@dataclass(frozen=True, eq=False)
class Kernel:
    """The native functions for one data type (``element``; gates, cell states and sums are ``real``)."""

    native: "_native.Kernel"  # see native/kernel/scan.h
    element: torch.dtype
    real: torch.dtype


# The kinds of cells that native code computes.
CELLS = tuple(cell for cell in kinds.CELLS if _native is None or _native.kernels_float32(cell))


def _kernels() -> dict[str, dict[torch.dtype, list[Kernel]]]:
    """Return, for each kind of cell, the kernels of each data type that this CPU can run, narrowest first."""
    if _native is None:
        return {}
    types = {
        torch.float32: (_native.kernels_float32, torch.float32),
        torch.float64: (_native.kernels_float64, torch.float64),
        torch.bfloat16: (_native.kernels_bfloat16, torch.float32),
    }
    return {
        cell: {
            element: [Kernel(native, element, real) for native in kernels(cell)]
            for element, (kernels, real) in types.items()
        }
        for cell in CELLS
    }


_every = _kernels()
_chosen: dict[str, dict[torch.dtype, Kernel]] = {cell: {} for cell in CELLS}

# A step and its derivative, by kind of cell; see native/python/cell_step.h.
cell_steps: dict[str, Any] = {}

# For each instruction set of the int8 kernels, the widest float32 instruction set that it outperforms.
_FASTER_THAN = {"avx2": "avx2", "avx_vnni": "avx2", "avx512_vnni": "avx512", "amx": "avx512", "neon_dotprod": "neon"}
_every_int8 = {
    cell: [Kernel(native, torch.float32, torch.float32) for native in _native.kernels_int8(cell)]
    for cell in CELLS
    if _native is not None
}
_chosen_int8: dict[str, Kernel | None] = {}


def isas() -> list[str]:
    """Return the instruction sets of the native scan that this CPU can run, narrowest first."""
    # One instruction set is only for bfloat16; other types use the next narrower one.
    return [kernel.native.isa for kernel in _every.get("LSTM", {}).get(torch.bfloat16, [])]


def isa() -> str | None:
    """Return the active instruction set, or None without the native module."""
    return None if _native is None else _chosen["LSTM"][torch.bfloat16].native.isa


def choose(name: str | None) -> None:
    """Select an instruction set, or the widest one; raise ArgumentError if this machine cannot run it."""
    names = isas()
    if name and name not in names:
        raise ArgumentError(
            f"HIDDENSTATE_ISA={name}: this machine supports {' '.join(names) or 'none'}; choose one of them"
        )
    allowed = names[: names.index(name) + 1] if name else names
    for cell, by_type in _every.items():
        for dtype, kernels in by_type.items():
            _chosen[cell][dtype] = [kernel for kernel in kernels if kernel.native.isa in allowed][-1]
        cell_steps[cell] = _native.CellSteps(*(_chosen[cell][dtype].native for dtype in by_type))
    choose_int8(None)


def isas_int8() -> list[str]:
    """Return the instruction sets of the int8 kernels that are faster than the selected one for float32."""
    widest = _chosen["LSTM"][torch.float32].native.isa if _every else ""
    names = [kernel.native.isa for kernel in _every_int8.get("LSTM", [])]
    names = [name for name in names if _FASTER_THAN[name] == widest]
    # Matrix registers are used only if they are also selected for bfloat16, because they are wider than vector
    # registers.
    return [name for name in names if name != "amx" or isa() == name]


def choose_int8(name: str | None) -> None:
    """Select an instruction set of `isas_int8` for int8 weights; the last one if None."""
    names = isas_int8()
    wanted = name or (names[-1] if names else None)
    for cell, every in _every_int8.items():
        _chosen_int8[cell] = next((kernel for kernel in every if kernel.native.isa == wanted), None)


def int8(cell: str = "LSTM") -> Kernel | None:
    """Return the native functions for int8 weights with float32 inputs and states; None if they are not faster."""
    return _chosen_int8.get(cell)


choose(os.environ.get("HIDDENSTATE_ISA"))


def kernel(dtype: torch.dtype, cell: str = "LSTM") -> Kernel:
    """Return the native functions for a type and a kind of cell; check `why_not` first."""
    return _chosen[cell][dtype]


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which native code computes with numbers of a type: float16 is widened, which is exact."""
    return torch.float32 if dtype is torch.float16 else dtype


def serves(dtype: torch.dtype) -> bool:
    """Whether there is a kernel for this data type."""
    return dtype in _chosen["LSTM"]


def why_not(cell: str, dtype: torch.dtype | None, tensors: Iterable[Tensor] = ()) -> str | None:
    """Return why there is no kernel for a kind of cell and a type, or none that can read the tensors; or None."""
    if cell not in CELLS:
        return f"native code does not support this cell yet: {cell}"
    for value in tensors:
        if type(value) not in _PLAIN or not value.is_cpu:
            return f"a tensor is a {type(value).__name__} on {value.device}, not one of torch's own on the CPU"
    if _native is None:
        return NOT_LOADED
    return None if dtype is None or serves(dtype) else f"there is no native kernel for {dtype}"


def plain_kernel(x: object, cell: str = "LSTM") -> Kernel | None:
    """Return the functions for a plain tensor, or None."""
    return _chosen[cell].get(x.dtype) if type(x) is Tensor else None


def state_types(like: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """Return the types in which a stream keeps h and c, between steps that read numbers like these."""
    of_h = computed_in(like.dtype) if like.is_cpu and serves(torch.float32) else like.dtype
    return of_h, real_type(of_h) if like.is_cpu else of_h


def real_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which cell states are stored for a data type."""
    return _chosen["LSTM"][dtype].real if dtype in _chosen["LSTM"] else dtype


def threads(T: int, N: int, C: int, H: int) -> int:
    """Return the number of threads of a native call of these sizes; see native/threads/thresholds.h."""
    return 1 if _native is None else _native.threads(T, N, C, H)


def nonlinearity(name: str, x: Tensor) -> Tensor:
    """Return the engine's own ``"sigmoid"`` or ``"tanh"`` of ``x [n]``, for tests."""
    return kernel(x.dtype).native.nonlinearity(name, x.contiguous())


def _never(*_arguments: Any) -> bool:
    return False


# Takes (input, hx, weights, input_size, hidden_size), and returns whether all checks of a cell's arguments would pass.
cell_fits: Callable[..., bool] = _never if _native is None else _native.cell_fits


GENERATOR_NUMBERS = 632  # 8-byte words in the state of torch's generator


def draw_mask(state: Tensor, mask: Tensor, keeping: float, kept: float) -> None:
    """Fill ``mask [n]`` with the draws of a generator with this int64 state; see native/python/dropout_mask.h."""
    _native.draw_mask(state, mask, keeping, kept)


def new(dtype: torch.dtype, *shape: int) -> Tensor:
    """Allocate an uninitialised CPU tensor, whatever torch's default type and device are."""
    return torch.empty(shape, dtype=dtype, device="cpu")
