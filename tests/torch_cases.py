"""torch's own test cases for its recurrent layers and cells, from the module database that torch's tests use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import hypothesis
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

import hiddenstate as hs

if TYPE_CHECKING:
    from torch.testing._internal.common_modules import ErrorModuleInput, FunctionInput, ModuleInfo, ModuleInput


@cache
def module_db() -> list["ModuleInfo"]:
    """torch's database: importing it takes seconds, and sets another number of random examples for the whole run."""
    before = hypothesis.settings.default
    from torch.testing._internal import common_modules

    hypothesis.settings.register_profile("before", before)
    hypothesis.settings.load_profile("before")
    return common_modules.module_db


CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.LSTM: hs.LSTM,
    nn.LSTMCell: hs.LSTMCell,
    nn.GRU: hs.GRU,
    nn.GRUCell: hs.GRUCell,
    nn.RNN: hs.RNN,
    nn.RNNCell: hs.RNNCell,
}


@dataclass(frozen=True)
class Cases:
    """All of torch's cases for one class, in one mode and dtype."""

    theirs: type[nn.Module]
    training: bool
    dtype: torch.dtype
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.theirs.__name__}-{'train' if self.training else 'eval'}-{str(self.dtype).split('.')[1]}"

    @property
    def ours(self) -> type[nn.Module]:
        return CLASSES[self.theirs]

    @cached_property
    def info(self) -> "ModuleInfo":
        return next(info for info in module_db() if info.module_cls is self.theirs)

    def inputs(self, *, requires_grad: bool = True) -> "Sequence[ModuleInput]":
        return list(self.info.module_inputs_func(self.info, **self._options(requires_grad)))

    def errors(self) -> "Sequence[ErrorModuleInput]":
        return list(self.info.module_error_inputs_func(self.info, **self._options(requires_grad=False)))

    def make(self, made: "FunctionInput", cls: type[nn.Module] | None = None) -> nn.Module:
        """Make our module, or one of the given class."""
        return self.brought((cls or self.ours)(*made.args, **made.kwargs))

    def brought(self, module: nn.Module) -> nn.Module:
        return module.to(device=self.device, dtype=self.dtype).train(self.training)

    def _options(self, requires_grad: bool) -> dict[str, Any]:
        return {
            "device": self.device,
            "dtype": self.dtype,
            "requires_grad": requires_grad,
            "training": self.training,
        }


def every(*dtypes: torch.dtype, device: str = "cpu") -> list[Cases]:
    return [Cases(cls, training, dtype, device) for cls in CLASSES for training in (True, False) for dtype in dtypes]


def run(module: nn.Module, given: "FunctionInput") -> list[Tensor]:
    """Call a module; its output and states, one after another."""
    return tree_leaves(module(*given.args, **given.kwargs))


def leaves(module: nn.Module, given: "FunctionInput") -> list[Tensor]:
    """The tensors that may have a gradient: inputs and parameters."""
    inputs = [value for value in tree_leaves((given.args, given.kwargs)) if isinstance(value, Tensor)]
    return [*inputs, *module.parameters()]


def with_tensors(given: "FunctionInput", change: Callable[[Tensor], Tensor]) -> "FunctionInput":
    """The same arguments, each tensor changed."""
    args, kwargs = tree_map_only(Tensor, change, (given.args, given.kwargs))
    return type(given)(*args, **kwargs)
