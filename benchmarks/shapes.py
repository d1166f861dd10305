"""The inputs of regimes: sizes, layers with the same weights, and their input."""

import copy
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import hiddenstate as hs


class Shape(NamedTuple):
    """Time steps, batch rows, units, layers and directions; input features, if different from the units."""

    T: int
    N: int
    H: int
    L: int = 1
    bidirectional: bool = False
    features: int | None = None

    def __str__(self) -> str:
        features = "" if self.features is None else f"C {self.features}, "
        layers = f", {self.L} layers" if self.L > 1 else ""
        directions = ", bidirectional" if self.bidirectional else ""
        return f"T {self.T}, N {self.N}, {features}H {self.H}{layers}{directions}"

    @property
    def input_size(self) -> int:
        """Input features."""
        return self.H if self.features is None else self.features

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def input_sizes(self) -> list[int]:
        """Input features of each layer."""
        return [self.input_size] + [self.H * self.directions] * (self.L - 1)


def ragged_lengths(shape: Shape) -> Tensor:
    """Lengths from half of T to T, unsorted; one row is full."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(shape.T // 2, shape.T + 1, (shape.N,), generator=generator)
    lengths[0] = shape.T
    return lengths


def live_share(shape: Shape) -> float:
    """The share of the steps that `ragged_lengths` leaves."""
    return float(ragged_lengths(shape).sum()) / (shape.T * shape.N)


class Case:
    """One shape's layers, ours and torch's with the same weights, and an input, all of one type."""

    def __init__(self, shape: Shape, kind: Any = nn.LSTM, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(0)
        self.shape = shape
        self.theirs: nn.LSTM = kind(shape.input_size, shape.H, shape.L, bidirectional=shape.bidirectional).to(dtype)
        self.theirs.eval()  # training turns it on
        self.ours: hs.LSTM = hs.from_torch(self.theirs)
        self.x = torch.randn(shape.T, shape.N, shape.input_size).to(dtype)

    @cached_property
    def lengths(self) -> Tensor:
        return ragged_lengths(self.shape)

    @cached_property
    def ours_bfloat16(self) -> hs.LSTM:
        return copy.deepcopy(self.ours).bfloat16()

    @cached_property
    def ours_int8(self) -> hs.LSTM:
        return self.ours.quantize()

    @cached_property
    def theirs_bfloat16(self) -> nn.LSTM:
        return copy.deepcopy(self.theirs).bfloat16()

    @cached_property
    def x_bfloat16(self) -> Tensor:
        return self.x.bfloat16()

    def zero_state(self) -> tuple[Tensor, ...]:
        """New h ``[L*D, N, H]`` and, for an LSTM, c."""
        size = (self.shape.L * self.shape.directions, self.shape.N, self.shape.H)
        return tuple(self.x.new_zeros(size) for _ in range(1 + isinstance(self.theirs, nn.LSTM)))
