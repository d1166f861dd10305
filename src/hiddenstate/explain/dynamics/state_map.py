"""One step of an LSTM, a GRU or a plain RNN as a map from state to state, in float64, with its Jacobian."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap
from torch.nn.functional import linear

from hiddenstate.base.memory import check_module_memory
from hiddenstate.cells.cell import Weights, ignore
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.sizes import Sizes

MOST_NUMBERS = 4096  # at this state size, the Jacobian takes 134 MB
BYTES_AT_ONCE = 2**28


@dataclass(frozen=True, eq=False)
class StateMap:
    """``z' = F(z, x)``, where z ``[D]`` holds the hidden and any cell states of all layers."""

    sizes: Sizes  # the sizes of the LSTM, which is unidirectional
    weights: tuple[Weights, ...]  # the weights of each layer, float64 on the CPU

    @property
    def numbers(self) -> int:
        """D, the size of a state."""
        return self.sizes.num_layers * sum(self._widths)

    @property
    def _widths(self) -> list[int]:
        """The sizes of one layer's part of each state that is carried."""
        return [self.sizes.units(name) for name in self.sizes.kind.carried]

    def __call__(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the states after one step with input ``x [N, C]`` from the states ``z [N, D]``."""
        states = self.split(z)
        ends: list[tuple[Tensor, ...]] = []
        for layer, w in enumerate(self.weights):
            before = tuple(state[layer] for state in states)
            ends.append(self.sizes.kind.step(linear(x, w.ih, w.b_ih), before, w, ignore))
            x = ends[-1][0]
        return torch.cat([part for parts in zip(*ends, strict=True) for part in parts], dim=-1)

    def split(self, z: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """Return each state that is carried, by layer: h ``[N, P]`` and, if there is one, c ``[N, H]``."""
        widths, L = self._widths, self.sizes.num_layers
        parts = z.split([L * width for width in widths], dim=-1)
        return tuple(part.split(width, dim=-1) for part, width in zip(parts, widths, strict=True))

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return h ``[L, N, P]`` and, if there is one, c ``[L, N, H]`` as vectors ``[N, D]``."""
        return torch.cat([layer for part in parts for layer in part.detach().cpu().double()], dim=-1)

    def jacobian(self, z: Tensor, x: Tensor) -> Tensor:
        """Return dF/dz ``[N, D, D]`` at states ``[N, D]`` and inputs ``[N, C]``."""
        size = max(1, BYTES_AT_ONCE // (self.numbers**2 * 8 * 8))
        parts = [vmap(jacrev(self))(*pair) for pair in zip(z.split(size), x.split(size), strict=True)]
        return torch.cat(parts) if len(z) else z.new_zeros(0, self.numbers, self.numbers)

    def eigenvalues(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the Jacobian's eigenvalues ``[N, D]``, complex, largest first."""
        return sorted_eigenvalues(self.jacobian(z, x))


def sorted_eigenvalues(matrices: Tensor) -> Tensor:
    """Return the eigenvalues ``[N, D]`` of matrices ``[N, D, D]``, complex, largest first."""
    eigenvalues = torch.linalg.eigvals(matrices) if len(matrices) else matrices.new_zeros(matrices.shape[:2])
    return eigenvalues.gather(-1, eigenvalues.abs().argsort(dim=-1, descending=True))


def make_state_map(lstm: Recurrent[Any, Any]) -> StateMap:
    """Return the state map of an LSTM."""
    check_module_memory(lstm)
    sizes = lstm.sizes
    if sizes.bidirectional:
        raise ArgumentError(
            f"a step of a bidirectional {sizes.kind.label} is not a map from state to state: give a unidirectional one"
        )
    if edits_in_force(lstm):
        raise ArgumentError("dynamics analyses a layer without edits, but edits are active: exit their block first")
    weights = [
        Weights(*(None if value is None else value.detach().cpu().double() for value in layer))  # type: ignore[arg-type]
        for layer in lstm._eval_twin()._weights()
    ]
    state_map = StateMap(sizes, tuple(weights))
    if state_map.numbers > MOST_NUMBERS:
        raise ArgumentError(
            f"a state of {state_map.numbers:,} numbers ({' and '.join(sizes.kind.carried)} of all layers) is too "
            f"large: its Jacobian would take {state_map.numbers**2 * 8 / 1e6:,.0f} MB; give an LSTM of "
            f"at most {MOST_NUMBERS:,}"
        )
    return state_map
