"""Dropout between layers, as torch draws it."""

import torch
from torch import Tensor
from torch.nn.functional import dropout

from hiddenstate.engine.call import Call, live_steps


def draw_masks(call: Call) -> list[Tensor]:
    """Masks that multiply the output ``[T, N, D*P]`` of each layer but the last; empty without dropout.

    The random draws are torch's, layer after layer; for ragged rows, those that it makes for a packed sequence (unless
    compiled: a compiler draws in ways of its own).
    """
    sizes, inner = call.sizes, range(call.sizes.num_layers - 1)
    if not call.dropout or not inner:
        return []
    ones = call.x.new_ones(*call.x.shape[:2], sizes.directions * sizes.output_size)
    if call.lengths is None or torch.compiler.is_compiling():
        return [dropout(ones, call.dropout) for _ in inner]
    live = live_steps(call.lengths, len(call.x))
    order = live.sum(0).sort(descending=True).indices
    packed = ones[live[:, order]]
    masks = []
    for _ in inner:
        mask = torch.zeros_like(ones)
        mask[live[:, order]] = dropout(packed, call.dropout)
        masks.append(mask[:, order.argsort()])
    return masks
