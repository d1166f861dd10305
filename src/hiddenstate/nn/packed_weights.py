"""The weights of an LSTM packed once, for streams and for calls whose weights stay as they are."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from hiddenstate.engine.interception import interception, is_plain
from hiddenstate.engine.kernels import serves
from hiddenstate.engine.packed import Stepper
from hiddenstate.engine.reference import Weights
from hiddenstate.structure.names import suffix
from hiddenstate.structure.parameters import parameter_shapes
from hiddenstate.structure.sizes import Sizes

Seen = list[tuple[str, Tensor, int, int]]  # parameters: name, itself, its version and address


class Packed:
    """The weights of an LSTM, packed, and packed anew when a parameter was replaced or written.

    Writes are told by torch's version counter and by where a parameter lies. Neither tells of a write in place through
    ``.data``, which torch keeps no record of: `forget` serves there. Nor of a step of a fused optimiser: those are
    counted by `_count_fused_step`.
    """

    def __init__(self, module: nn.Module, sizes: Sizes, weights: Callable[[], Sequence[Weights]]) -> None:
        self.parameters = module._parameters
        self._sizes = sizes
        self._weights = weights
        self._names = [
            stem + suffix(layer, reverse) for layer, reverse in sizes.tracks for stem in parameter_shapes(sizes, layer)
        ]
        # What was packed and what came of it, put there together: another thread may pack at the same time.
        self._now: tuple[Seen, Stepper | None] = [], None

    def stepper(self) -> Stepper | None:
        """Return the packed weights as they are now, or None where the engine does not serve."""
        found, (seen, stepper) = self.parameters, self._now
        for name, value, version, address in seen:
            if found.get(name) is not value or value._version != version or value.data_ptr() != address:
                return self._pack()
        return stepper if seen else self._pack()

    def named(self) -> dict[str, Tensor]:
        """The parameters that were packed."""
        return {name: value for name, value, *_ in self._now[0]}

    def weights(self) -> dict[str, Tensor]:
        """All weights by name, computed ones too."""
        found = [value for track in self._weights() for value in track if value is not None]
        return dict(zip(self._names, found, strict=True))

    def forget(self) -> None:
        """Pack anew at the next step."""
        self._now = [], None

    def __getstate__(self) -> dict[str, Any]:
        """A copy packs its own: what is packed here lies where the native code was told."""
        return {**self.__dict__, "_now": ([], None)}

    def _pack(self) -> Stepper | None:
        found = [self.parameters.get(name) for name in self._names]
        # A parametrized weight is no parameter, and a tensor made in inference mode has no version.
        known = [value for value in found if value is not None and not value.is_inference()]
        seen: Seen = []
        stepper = None
        if len(known) == len(found) and not self._sizes.proj_size and _can_pack(known):
            # As they are before they are packed: what is written meanwhile is packed anew at the next step.
            seen = [
                (name, value, value._version, value.data_ptr()) for name, value in zip(self._names, known, strict=True)
            ]
            with torch.no_grad():
                stepper = Stepper(self._sizes, self._weights())
            _packed[id(self)] = self
            _watch_optimisers()
        self._now = seen, stepper
        return stepper


# All that is packed now, for the optimisers that write it.
_packed: WeakValueDictionary[int, Packed] = WeakValueDictionary()


@cache
def _watch_optimisers() -> None:
    register_optimizer_step_post_hook(_count_fused_step)


def _count_fused_step(optimiser: Optimizer, *_arguments: Any) -> None:
    """Count a version of each packed parameter that a fused optimiser wrote, which torch leaves out."""
    written = {id(value) for group in optimiser.param_groups if group.get("fused") for value in group["params"]}
    for reference in _packed.valuerefs() if written else ():
        packed = reference()
        named = packed.named().values() if packed is not None else ()
        torch.autograd.graph.increment_version([value for value in named if id(value) in written])


def _can_pack(weights: Sequence[Tensor]) -> bool:
    """Whether the native engine serves these, on packed copies of them."""
    dtype = weights[0].dtype
    fits = serves(dtype) and all(is_plain(value) and value.dtype is dtype for value in weights)
    return fits and interception(autocast=True) is None
