"""The native module: whether it is there, which instruction set runs, and its functions for each type of numbers."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from hiddenstate.base.native_module import _native
from hiddenstate.base.native_module import absence as absence
from hiddenstate.engine.interception import INTERCEPTORS
from hiddenstate.errors import ArgumentError

# What native code uses of torch, beside its classes.
_TORCH = ("empty", "get_num_threads", "float32", "float64", "bfloat16", "int64", "bool")

RefusedError: type[Exception] = type("RefusedError", (Exception,), {})
if _native is not None:
    # What it uses of torch. It is built without torch, and so serves every version.
    _native.connect(
        {
            "Tensor": Tensor,
            "Parameter": Parameter,
            "UntypedStorage": torch.UntypedStorage,
            "cpu": torch.device("cpu"),
            "interceptors": INTERCEPTORS,
            "forward_derivatives": vars(forward_ad),
            **{name: getattr(torch, name) for name in _TORCH},
        }
    )
    RefusedError = _native.RefusedError  # (argument, reason, value, expected shape): native/python/read.h


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

    native: "_native.Kernel"  # native/kernel/scan.h
    element: torch.dtype
    real: torch.dtype


def _kernels() -> dict[torch.dtype, list[Kernel]]:
    """Kernels of each type that this CPU runs, narrowest first."""
    if _native is None:
        return {}
    types = {
        torch.float32: (_native.kernels_float32, torch.float32),
        torch.float64: (_native.kernels_float64, torch.float64),
        torch.bfloat16: (_native.kernels_bfloat16, torch.float32),
    }
    return {element: [Kernel(one, element, real) for one in kernels()] for element, (kernels, real) in types.items()}


def _nothing(*_given: Any) -> None:
    return None


_every = _kernels()
_chosen: dict[torch.dtype, Kernel] = {}

# (input, hx, parameters by name, (input_size, hidden_size)): (h, c) after a step of a cell that needs no gradient, or
# None where torch's own step serves better, or alone. Nothing is packed.
cell_step: Callable[..., tuple[Tensor, Tensor] | None] = _nothing

# Instruction sets of the kernels for weights of 8 bits, and the widest one for float32 that each is faster than.
_FASTER_THAN = {"avx2": "avx2", "avx_vnni": "avx2", "avx512_vnni": "avx512", "amx": "avx512", "neon_dotprod": "neon"}
_every_int8 = [] if _native is None else [Kernel(one, torch.float32, torch.float32) for one in _native.kernels_int8()]
_chosen_int8: Kernel | None = None


def isas() -> list[str]:
    """Instruction sets that the native scan was compiled for and that this CPU runs, narrowest first."""
    # bfloat16 alone has one of its own; the other types take the widest below it.
    return [kernel.native.isa for kernel in _every.get(torch.bfloat16, [])]


def isa() -> str | None:
    """The instruction set whose scan runs, or None without the native module."""
    return None if _native is None else _chosen[torch.bfloat16].native.isa


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
    global cell_step
    for dtype, kernels in _every.items():
        _chosen[dtype] = [kernel for kernel in kernels if kernel.native.isa in allowed][-1]
    if _native is not None:
        cell_step = _native.CellSteps(*(_chosen[dtype].native for dtype in _every)).run
    choose_int8(None)


def isas_int8() -> list[str]:
    """Instruction sets of the kernels for weights of 8 bits that gain beside the chosen one for float32."""
    widest = _chosen[torch.float32].native.isa if _chosen else ""
    names = [one.native.isa for one in _every_int8 if _FASTER_THAN[one.native.isa] == widest]
    # Matrix registers are wider than the vectors beside them: they are taken where they are for bfloat16 too.
    return [name for name in names if name != "amx" or isa() == name]


def choose_int8(name: str | None) -> None:
    """Take an instruction set of `isas_int8` for weights of 8 bits, the last one when None."""
    global _chosen_int8
    names = isas_int8()
    wanted = name or (names[-1] if names else None)
    _chosen_int8 = next((one for one in _every_int8 if one.native.isa == wanted), None)


def int8() -> Kernel | None:
    """The native functions for weights of 8 bits, over inputs and states of float32; None where they do not gain."""
    return _chosen_int8


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


def threads(T: int, N: int, C: int, H: int) -> int:
    """How many threads a native call of such sizes has: native/threads/thresholds.h."""
    return 1 if _native is None else _native.threads(T, N, C, H)


def nonlinearity(name: str, x: Tensor) -> Tensor:
    """The engine's own ``"sigmoid"`` or ``"tanh"`` of ``x [n]``, for those who check it."""
    return kernel(x.dtype).native.nonlinearity(name, x.contiguous())


def _never(*_given: Any) -> bool:
    return False


# (input, hx, weights, input_size, hidden_size): whether all checks of an LSTMCell's arguments would pass.
cell_fits: Callable[..., bool] = _never if _native is None else _native.cell_fits


GENERATOR_NUMBERS = 632  # of 8 bytes, of the state of torch's generator


def draw_mask(state: Tensor, mask: Tensor, keeping: float, kept: float) -> None:
    """Draw into ``mask [n]`` what a generator in such a state, int64, does: native/python/dropout_mask.h."""
    _native.draw_mask(state, mask, keeping, kept)


def new(dtype: torch.dtype, *shape: int) -> Tensor:
    """Memory for numbers on the CPU, whatever torch's default type and device are."""
    return torch.empty(shape, dtype=dtype, device="cpu")
