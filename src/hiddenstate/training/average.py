"""A running mean of the weights over steps, which is often better than the last weights."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from hiddenstate.base.scoped import Block, lasting


class Average:
    """The mean, updated after each step; early steps count more, so that little remains of the initial weights."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._weights = {name: each.detach() for name, each in model.named_parameters() if each.requires_grad}
        self._decay = decay
        self.mean = {name: value.clone() for name, value in self._weights.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the weights after step ``step`` (from 1)."""
        if self.mean:
            weight = 1 - min(self._decay, step / (step + 10))
            torch._foreach_lerp_(list(self.mean.values()), list(self._weights.values()), weight)

    def used(self) -> Block:
        """Return a context manager that temporarily replaces the weights with their mean."""
        last = {name: self._weights[name].clone() for name in self.mean}
        return lasting(partial(self._put, self.mean), partial(self._put, last))

    def load(self, mean: Mapping[str, Tensor]) -> None:
        """Restore a mean."""
        for name, value in self.mean.items():
            value.copy_(mean[name])

    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._weights[name].copy_(value)
