"""Contestants with int8 weights: ours, and torch's dynamically quantised layer."""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from contestants import SAME_IN_INT8, Contestant, MissingPeerError, itself, without_gradient
from layers import OURS
from shapes import Case


def ours_int8(case: Case) -> Contestant:
    lstm = case.ours_int8
    return Contestant(f"{OURS}, int8", without_gradient(lambda: lstm(case.x)[0]), itself, SAME_IN_INT8)


def ours_int8_stream(case: Case) -> Contestant:
    stream, x = case.ours_int8.stream(case.shape.N), case.x[0]
    return Contestant(f"{OURS}, int8", lambda: stream.step(x), itself, SAME_IN_INT8)


def torch_int8(case: Case) -> Contestant:
    lstm = _quantised(case.theirs)
    return Contestant("torch, dynamic int8", without_gradient(lambda: lstm(case.x)[0]), itself, SAME_IN_INT8)


def torch_int8_stream(case: Case) -> Contestant:
    lstm, zeros = _quantised(case.theirs), case.zero_state()
    state: Any = zeros if len(zeros) > 1 else zeros[0]

    def step() -> Tensor:
        nonlocal state
        out: Tensor
        out, state = lstm(case.x, state)
        return out[0]

    return Contestant("torch, dynamic int8", without_gradient(step), itself, SAME_IN_INT8)


def _quantised(lstm: nn.RNNBase) -> nn.Module:
    """Make torch's layer with int8 weights, inside another module, since torch does not quantise the root module.

    Raises:
        MissingPeerError: torch no longer has it, or lacks such kernels for this processor.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it will be removed
        try:
            from torch.ao.quantization import quantize_dynamic

            made = quantize_dynamic(nn.Sequential(copy.deepcopy(lstm)), {type(lstm)}, dtype=torch.qint8)[0]
        except (ImportError, AttributeError, RuntimeError) as error:
            raise MissingPeerError(
                f"torch, dynamic int8, is left out: torch does not serve it here ({error})"
            ) from error
    if isinstance(made, nn.RNNBase):
        raise MissingPeerError("torch, dynamic int8, is left out: quantize_dynamic left the layer in floats")
    quantised: nn.Module = made
    return quantised
