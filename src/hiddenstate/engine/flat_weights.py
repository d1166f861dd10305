"""What cuDNN asks of an LSTM's weights: that they lie in one piece of memory."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.backends.cudnn import rnn

from hiddenstate.structure.sizes import Sizes


def flatten(weights: Sequence[Tensor | None], sizes: Sizes, batch_first: bool) -> None:
    """Move an LSTM's weights into one piece of memory, in the order that cuDNN reads them; values stay the same.

    Otherwise torch copies them together at each call, and warns. Nothing is done where cuDNN will not run them: on
    another device, of a type that it does not know, of several types, with a weight missing or given twice.

    Args:
        weights: in torch's order: those of each layer and direction in the order of `reference.Weights`.
        sizes: the LSTM's.
        batch_first: the LSTM's.
    """
    found = [value for value in weights if value is not None]
    if len(found) < len(weights) or not all(_takes(value) for value in found) or not _apart(found):
        return
    if not torch._use_cudnn_rnn_flatten_weight():
        return
    # no_grad: it is a write in place
    with torch.cuda.device_of(found[0]), torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            found,
            len(found) // len(sizes.layer_directions),
            sizes.input_size,
            rnn.get_cudnn_mode("LSTM"),
            sizes.hidden_size,
            sizes.proj_size,
            sizes.num_layers,
            batch_first,
            sizes.bidirectional,
        )


def _takes(value: Tensor) -> bool:
    """Whether a weight is a plain tensor that cuDNN takes (and not one that is spread over several devices, say)."""
    return type(value) in (Tensor, nn.Parameter) and value.is_cuda and bool(cudnn.is_acceptable(value))


def _apart(values: Sequence[Tensor]) -> bool:
    """Whether all are of one type, and none is given twice."""
    return len({value.dtype for value in values}) == 1 and len({value.data_ptr() for value in values}) == len(values)
