"""What both models are built with: a check that they fit into memory, and their kinds of dropout."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.overrides import TorchFunctionMode

from hiddenstate.engine.dropout import draw_mask
from hiddenstate.errors import ArgumentError, HiddenStateError

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


def make_meta_model(make: Callable[[], T]) -> T:
    """Make a model whose weights have shapes but no memory."""
    with torch.device("meta"), _Undrawn():
        return make()


def made_if_it_fits(make: Callable[[], M]) -> M:
    """Make a model, after checking that this machine has enough memory for its weights."""
    try:
        outline = make_meta_model(make)
    except HiddenStateError:
        raise
    except (OverflowError, RuntimeError, TypeError) as error:  # torch raises these for sizes that overflow
        raise ArgumentError(f"a model of these sizes can't be made: {str(error).splitlines()[0]}") from error
    size, memory = sum(weight.nbytes for weight in outline.parameters()), _memory()
    if size > memory:
        raise ArgumentError(
            f"a model of these sizes has {size:,} bytes of weights, but this machine has {memory:,} bytes of memory: "
            "choose smaller sizes"
        )
    return make()


def _memory() -> int:
    """Return the memory of this machine in bytes, or a huge number if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**63


class _Undrawn(TorchFunctionMode):
    """Skips normal initialisation in the block, because torch's first draw on the meta device takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        return options["tensor"] if func is nn.init.normal_ else func(*args, **options)


def dropped(x: Tensor, p: float) -> Tensor:
    """Drop exactly the elements that torch's dropout would, but draw them faster on a CPU."""
    if torch.compiler.is_compiling() or not x.is_cpu:
        return dropout(x, p)
    return x * draw_mask(x.shape, x, p) if p else x


class Dropout(nn.Dropout):
    """torch's dropout, computed by `dropped`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Drop elements of the input, in training."""
        return super().forward(input) if not self.training or self.inplace else dropped(input, self.p)


def locked(x: Tensor, p: float) -> Tensor:
    """Drop the same features of ``[T, N, C]`` at every time step, different ones in each row (variational dropout)."""
    return x * draw_mask((1, *x.shape[1:]), x, p) if p else x


def without_tokens(vectors: Tensor, ids: Tensor, tokens: int, p: float) -> Tensor:
    """Drop whole tokens: a dropped token loses its vector ``[..., E]`` at every occurrence in ``ids``."""
    return vectors * draw_mask((tokens,), vectors, p)[ids, None] if p else vectors


def dropout_odds(counts: Sequence[int], d: float) -> Tensor:
    """Return each word's odds ``d / (d + count)`` of being replaced, on the CPU even for weights on meta."""
    counted = torch.tensor([0.0, 0.0, *counts], device="cpu")
    return d / (d + counted) if d else 0 * counted
