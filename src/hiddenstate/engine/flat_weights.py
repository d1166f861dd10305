"""Copies an LSTM's weights into one block of memory, as cuDNN requires."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.backends.cudnn import rnn

from hiddenstate.structure.sizes import Sizes


def flatten(weights: Sequence[Tensor | None], sizes: Sizes, batch_first: bool) -> None:
    """Move an LSTM's weights into one block of memory, in cuDNN's order; their values do not change.

    Otherwise torch copies them at each call, and warns. Does nothing if cuDNN cannot run them: on other devices, for
    unsupported or mixed types, or if a weight is missing or repeated.

    Args:
        weights: the weights in torch's order: layer by layer, direction by direction, each in the order of `Weights`.
        sizes: the LSTM's sizes.
        batch_first: the LSTM's option.
    """
    found = [value for value in weights if value is not None]
    if len(found) < len(weights) or not all(_takes(value) for value in found) or not _apart(found):
        return
    if not torch._use_cudnn_rnn_flatten_weight():
        return
    # no_grad, because the weights are written in place
    with torch.cuda.device_of(found[0]), torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            found,
            len(found) // len(sizes.layer_directions),
            sizes.input_size,
            rnn.get_cudnn_mode(sizes.cell),
            sizes.hidden_size,
            sizes.proj_size,
            sizes.num_layers,
            batch_first,
            sizes.bidirectional,
        )


def _takes(value: Tensor) -> bool:
    """Whether a weight is a plain tensor that cuDNN accepts (not one spread over several devices, for example)."""
    return type(value) in (Tensor, nn.Parameter) and value.is_cuda and bool(cudnn.is_acceptable(value))


def _apart(values: Sequence[Tensor]) -> bool:
    """Whether all weights have one type, and none is repeated."""
    return len({value.dtype for value in values}) == 1 and len({value.data_ptr() for value in values}) == len(values)
