"""Checks of tensors whose memory ``untyped_storage().resize_(0)`` may have freed, which crashes torch when it reads."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.validation import check_memory

MOST_BYTES = 2**33  # of an argument, a frame or a record: strides can give a small tensor any shape


def check_memory_of(named: Iterable[tuple[str, Any]]) -> None:
    """Check every tensor among named values, including those in tuples, lists, mappings and packed sequences."""
    for name, value in named:
        if isinstance(value, Tensor):
            check_memory(value, name)
        elif isinstance(value, PackedSequence):
            check_memory(value.data, name)
        elif isinstance(value, Mapping):
            check_memory_of((f"{name}[{key!r}]", part) for key, part in value.items())
        elif isinstance(value, (tuple, list)) and value and not isinstance(value[0], (str, int)):
            check_memory_of((f"{name}[{k}]", part) for k, part in enumerate(value))


def check_module_memory(module: nn.Module) -> None:
    """Raise DtypeError if the memory of one of a module's parameters or buffers was freed."""
    check_memory_of(module.named_parameters(remove_duplicate=False))
    check_memory_of(module.named_buffers(remove_duplicate=False))


class CheckedModule(nn.Module):
    """A module that checks the memory of its tensors before it is copied or pickled, and before tensors are loaded."""

    def __getstate__(self) -> dict[str, Any]:
        check_module_memory(self)
        return dict(vars(self))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        own = {**self._parameters, **self._buffers}
        check_memory_of((prefix + name, state_dict.get(prefix + name)) for name in own)
        if not rest[0].get("assign_to_params_buffers", False):
            check_memory_of((f"the module's {prefix}{name}", value) for name, value in own.items())
        load: Any = super()._load_from_state_dict  # its type hints differ between versions of torch
        load(state_dict, prefix, *rest)
