"""The LSTMs of a model rounded to weights of 8 bits as they are converted, and made floats on the way back."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from hiddenstate.errors import ArgumentError
from hiddenstate.interop.torch.class_swap import Recast, class_name
from hiddenstate.interop.torch.module_tree import modules_by_path
from hiddenstate.interop.torch.report import Converted, Left
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import dequantise_module, keep, quantise_module, rounded

INT8 = ", int8"  # what a report adds to the class


class Roundings:
    """What is to be kept of each LSTM whose weights are rounded. Nothing is changed before `apply`."""

    def __init__(self) -> None:
        self.made: dict[nn.Module, dict[str, Tensor]] = {}
        self.of_ours: list[Converted] = []  # those that were of our class before

    def plan(
        self, model: nn.Module, recasts: list[tuple[tuple[str, ...], Recast]], left: list[Left]
    ) -> list[tuple[tuple[str, ...], Recast]]:
        """Round what will be, or is, an LSTM of ours; return the recasts that go on, and add the others to ``left``."""
        going = []
        for paths, recast in recasts:
            if recast.route.new is not LSTM or self._round(paths, recast.module, left):
                going.append((paths, recast))
        for paths, module in modules_by_path(model):
            if isinstance(module, LSTM) and module.weights == "float" and self._round(paths, module, left):
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
        """Change the modules, which are all of our class now."""
        for module, made in self.made.items():
            assert isinstance(module, LSTM)
            keep(module, made)


@contextmanager
def floats_for_conversion(model: nn.Module) -> Iterator[None]:
    """Make the weights of 8 bits in a model floats, which torch's layers hold; after an error they are as before."""
    changed = [module for module in model.modules() if isinstance(module, LSTM) and module.weights == "int8"]
    for module in changed:
        dequantise_module(module)
    try:
        yield
    except BaseException:
        for module in changed:
            quantise_module(module)
        raise
