"""The mode of a module, training or eval, for a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from hiddenstate.base.memory import check_module_memory


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode for a block; afterwards each of its parts has its own mode again.

    Raises:
        DtypeError: the memory of one of its weights was freed.
    """
    check_module_memory(module)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
