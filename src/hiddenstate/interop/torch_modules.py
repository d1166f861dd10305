"""The same layer as another class: torch's modules to ours and back, with nothing lost."""

import warnings
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from hiddenstate.errors import ArgumentError

Module = TypeVar("Module", bound=nn.Module)

LSTM_OPTIONS = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
    "proj_size",
)
CELL_OPTIONS = ("input_size", "hidden_size", "bias")


def rebuild(module: nn.Module, as_type: type[Module], options: tuple[str, ...]) -> Module:
    """Make an ``as_type`` with the options, parameter values, dtype, device and mode of ``module``.

    Values are copied; which parameters require gradients is kept. Neither the random state nor the module is touched.

    Raises:
        ArgumentError: the module has parametrizations (weight norm, say), which would be lost.
    """
    if parametrize.is_parametrized(module):
        raise ArgumentError(
            f"this {type(module).__name__} has parametrizations, which a copy would lose: remove them first with "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    first = next(module.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the options have to be warned of was said when module was made
        made = as_type(
            **{name: getattr(module, name) for name in options},
            device=torch.device("meta"),
            dtype=first.dtype,
        )
    made.to_empty(device=first.device)
    made.load_state_dict(module.state_dict())
    for ours, theirs in zip(made.parameters(), module.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return made.train(module.training)
