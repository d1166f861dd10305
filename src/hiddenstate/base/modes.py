"""The mode of a module, training or eval, for a block."""

from functools import partial

from torch import nn

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.scoped import Block, lasting


def evaluating(module: nn.Module) -> Block:
    """Return a block in which a module is in eval mode; afterwards each submodule's mode is restored.

    Raises:
        DtypeError: a weight's memory was freed.
    """
    check_module_memory(module)
    modes = {part: part.training for part in module.modules()}
    return lasting(module.eval, partial(_put_back, modes))


def _put_back(modes: dict[nn.Module, bool]) -> None:
    for part, mode in modes.items():
        part.training = mode
