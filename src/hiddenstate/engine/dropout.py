"""Draws the same dropout masks as torch from the same random numbers, natively if possible."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import dropout

from hiddenstate.base.torch_internals import interception, is_batched, is_plain
from hiddenstate.engine import kernels
from hiddenstate.engine.call import Call, live_steps

# The count above which native drawing is faster: reading and setting the state of torch's generator takes microseconds.
_WORTH_IT = 1024


def draw_masks(call: Call) -> list[Tensor]:
    """Draw masks ``[T, N, D*P]`` of all layers but the last, by torch's own draws (except compiled or in vmap)."""
    sizes, inner = call.sizes, range(call.sizes.num_layers - 1)
    if not call.dropout or not inner:
        return []
    (T, N), width = call.x.shape[:2], sizes.directions * sizes.output_size
    if call.lengths is None or torch.compiler.is_compiling() or is_batched(call.lengths):
        return [draw_mask((T, N, width), call.x, call.dropout) for _ in inner]
    live = live_steps(call.lengths, T)
    order = packing_order(call)
    ordered, back = live[:, order], order.argsort()
    masks = []
    for _ in inner:
        mask = call.x.new_zeros(T, N, width)
        mask[ordered] = draw_mask((int(ordered.sum()), width), call.x, call.dropout)
        masks.append(mask[:, back])
    return masks


def packing_order(call: Call) -> Tensor:
    """Return the order, longest first, in which torch packs the rows of a call with lengths."""
    assert call.lengths is not None
    # torch draws dropout in the order of this sort, which is not stable, so rows of equal length must keep the same
    # order.
    return call.lengths.sort(descending=True).indices if call.order is None else call.order


def draw_mask(shape: Sequence[int], like: Tensor, p: float) -> Tensor:
    """Return torch's dropout of ones, in the type and on the device of ``like``."""
    as_torch = torch.compiler.is_compiling() or not (is_plain(like) and 0 < p < 1)
    if as_torch or interception(autocast=True) is not None or not _draws_as_torch(like.dtype):
        return dropout(like.new_ones(shape), p)
    mask = kernels.new(like.dtype, *shape)
    if mask.numel() < _WORTH_IT:
        return dropout(mask.fill_(1), p)
    state = torch.get_rng_state().view(torch.int64)
    kernels.draw_mask(state, mask.view(-1), 1 - p, _kept(like.dtype, p))
    torch.set_rng_state(state.view(torch.uint8))
    return mask


def _kept(dtype: torch.dtype, p: float) -> float:
    """Return the value of an entry that is not dropped."""
    return torch.ones((), dtype=dtype, device="cpu").div_(1 - p).item()


@cache
def _draws_as_torch(dtype: torch.dtype) -> bool:
    """Whether torch draws like native code on this machine; on some processors, it uses a library instead."""
    if not kernels.serves(dtype):
        return False
    theirs, ours = (torch.Generator().manual_seed(0) for _ in range(2))
    want, got = (kernels.new(dtype, 1000) for _ in range(2))
    state = ours.get_state().view(torch.int64)
    if state.numel() != kernels.GENERATOR_NUMBERS:
        return False
    for _ in range(2):
        want.bernoulli_(0.7, generator=theirs).div_(0.7)
        kernels.draw_mask(state, got, 0.7, _kept(dtype, 1 - 0.7))
    return torch.equal(got, want) and torch.equal(state.view(torch.uint8), theirs.get_state())
