"""Rounds the LSTMs and GRUs of a model to int8 weights on conversion, and restores floats on the way back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from hiddenstate.base.messages import readable_name
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.torch.class_swap import TO_OURS, Recast, class_name
from hiddenstate.interop.torch.module_tree import modules_by_path, sharing_copy
from hiddenstate.interop.torch.report import Converted, Left
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import dequantise_module, keep, quantise_module, rounded
from hiddenstate.nn.recurrent import Recurrent

INT8 = ", int8"  # added to the class name in a report
ROUNDED = LSTM, GRU  # those that int8 kernels compute
_FLOAT = tuple(route.new for route in TO_OURS if route.new not in ROUNDED)
_WHY_FLOAT = "only LSTMs and GRUs have int8 kernels"


class Roundings:
    """The rounded weights of each layer to be quantised. Nothing changes until `apply` is called."""

    def __init__(self) -> None:
        self.made: dict[nn.Module, dict[str, Tensor]] = {}
        self.of_ours: list[Converted] = []  # modules that already had our class
        self.kept_float: list[Left] = []

    def plan(
        self, model: nn.Module, recasts: list[tuple[tuple[str, ...], Recast]], left: list[Left]
    ) -> list[tuple[tuple[str, ...], Recast]]:
        """Round layers of our class, now or soon; return the recasts to apply, and add the others to ``left``.

        Modules that no int8 kernel computes are added to ``kept_float``.
        """
        going = []
        for paths, recast in recasts:
            if recast.route.new not in ROUNDED:
                self.kept_float.append(Left(paths, readable_name(recast.route.new), _WHY_FLOAT))
                going.append((paths, recast))
            elif self._round(paths, recast.module, left):
                going.append((paths, recast))
        for paths, module in modules_by_path(model):
            if isinstance(module, _FLOAT) and getattr(module, "weight_format", "float") == "float":
                self.kept_float.append(Left(paths, class_name(module), _WHY_FLOAT))
            if isinstance(module, ROUNDED) and module.weight_format == "float" and self._round(paths, module, left):
                kind, count = class_name(module), sum(parameter.numel() for parameter in module.parameters())
                self.of_ours.append(Converted(paths, kind, kind + INT8, module.extra_repr(), count, ()))
        return going

    def _round(self, paths: tuple[str, ...], module: nn.Module, left: list[Left]) -> bool:
        try:
            self.made[module] = rounded(module)
        except ArgumentError as error:
            left.append(Left(paths, class_name(module), str(error)))
            return False
        return True

    def apply(self) -> None:
        """Change the modules, which all have our class now."""
        for module, made in self.made.items():
            assert isinstance(module, ROUNDED)
            keep(module, made)


def float_copy(model: nn.Module) -> nn.Module | None:
    """Return a copy whose int8 weights are floats, sharing all other tensors; None if it has no int8 weights.

    Raises:
        ArgumentError: the model can't be copied.
    """
    if not _int8_layers(model):
        return None
    copied = sharing_copy(model)
    for module in _int8_layers(copied):
        dequantise_module(module)
    return copied


def _int8_layers(model: nn.Module) -> list[Recurrent[Any, Any]]:
    return [part for part in model.modules() if isinstance(part, Recurrent) and part.weight_format == "int8"]


@contextmanager
def floats_for_conversion(model: nn.Module) -> Iterator[None]:
    """Turn a model's int8 weights into floats for torch's layers; after an error, restore them."""
    changed = _int8_layers(model)
    for module in changed:
        dequantise_module(module)
    try:
        yield
    except BaseException:
        for module in changed:
            quantise_module(module)
        raise
