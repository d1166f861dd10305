"""The class of plants: a layer with the known facts about it, as data; and the setting of its weights by hand."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from hiddenstate.base.scalars import check_int, check_seed
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.addresses import parse_address
from hiddenstate.structure.sizes import Sizes

MOST_NUMBERS = 2**26  # maximum number of values in a plant's inputs: half a gigabyte in float64
# The slope of a decision. σ(SHARP) is 1 in float64, σ(±SHARP / 2) is 2e-9 from 0 or 1.
SHARP = 40.0
LEAK = 1 / (1 + math.exp(SHARP / 2))
Wires = Mapping[str, Mapping[Any, float] | Tensor]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Plant:
    """An LSTM or a GRU with weights set by hand, and the known facts about it.

    Attributes:
        name: its name in tables.
        lstm: the LSTM or GRU, time first.
        truth: its function, in words.
        roles: maps places with units, such as ``"l0.c[0]"``, to descriptions of what they do.
        target: the place, with its unit, that holds the answer.
        tolerance: the maximum difference between ``measured`` and ``expected``, in float64.
        draw: makes one row of inputs ``[T, C]`` from a generator and T.
        tell: computes the target's value after each step without the LSTM, ``[T, N]`` from ``[T, N, C]``.
        read: converts the target's values ``[T, N]`` to the quantity that ``tell`` computes; None for the values
            themselves.
    """

    name: str
    lstm: LSTM | GRU
    truth: str
    roles: Mapping[str, str]
    target: str
    tolerance: float
    draw: Callable[[Generator, int], Tensor]
    tell: Callable[[Tensor], Tensor]
    read: Callable[[Tensor], Tensor] | None = None

    def __repr__(self) -> str:
        roles = "\n".join(f"  {place}: {role}" for place, role in self.roles.items())
        return f"{self.name}: {self.truth}\n{roles}\n  the answer is {self.target} after the last step"

    def inputs(self, seed: int, T: int = 12, N: int = 1) -> Tensor:
        """Draw inputs ``[T, N, C]`` that show what was planted; the same arguments give the same inputs.

        Args:
            seed: the seed of the generator.
            T: the number of time steps, at least 2.
            N: the number of rows.

        Raises:
            ArgumentError: T or N is too small, or both are so large that the inputs would take half a gigabyte; or the
                seed is negative or has more than 64 bits.
            ArgumentTypeError: an argument is not an int.
        """
        T, N = check_int("T", T), check_int("N", N)
        if T < 2 or N < 1:
            raise ArgumentError(f"a plant's inputs must have at least 2 steps and 1 row, got T={T} and N={N}")
        if T * N * self.lstm.input_size > MOST_NUMBERS:
            raise ArgumentError(f"T={T} steps of N={N} rows have more than {MOST_NUMBERS:,} numbers; ask for fewer")
        generator = torch.Generator().manual_seed(check_seed(seed))
        rows = [self.draw(generator, T) for _ in range(N)]
        return torch.stack(rows, dim=1).to(self.lstm._like())

    def expected(self, x: Tensor) -> Tensor:
        """Return the target's value after each step of ``x [T, N, C]``, ``[T, N]``, computed from the known function.

        Raises:
            ArgumentTypeError: the input is not a tensor.
            ShapeError: it has the wrong shape.
        """
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(f"x must be a tensor [T, N, C], got {type(x).__name__}")
        if x.dim() != 3 or x.shape[2] != self.lstm.input_size:
            raise ShapeError(f"expected inputs [T, N, {self.lstm.input_size}], got {list(x.shape)}")
        return self.tell(x)

    def measured(self, x: Tensor) -> Tensor:
        """Run the LSTM and return the target's value after each step: ``[T, N]``, to compare with `expected`."""
        place, unit = self.place
        with torch.no_grad():
            values = self.lstm.trace(x, keep=[place])[place][..., unit]
        return values if self.read is None else self.read(values)

    def worth(self, x: Tensor, *, by_feature: bool = False) -> Tensor:
        """Return how much the final answer loses if a step's input becomes zero, ``[T, N]``, by the known function.

        Attributions over steps are compared with this loss.

        Args:
            x: the inputs, ``[T, N, C]``.
            by_feature: whether single features of a step become zero, which gives ``[T, N, C]``.

        Raises:
            ShapeError: the input has the wrong shape.
        """
        whole_run = self.expected(x)[-1]
        lost = []
        for t in range(len(x)):
            for feature in [*range(x.shape[2])] if by_feature else [slice(None)]:
                without = x.clone()
                without[t, :, feature] = 0
                lost.append(whole_run - self.expected(without)[-1])
        losses = torch.stack(lost)
        return losses.view(*x.shape[::2], -1).transpose(1, 2) if by_feature else losses

    @property
    def place(self) -> tuple[str, int]:
        """The target's place and unit."""
        address = parse_address(self.target)
        assert isinstance(address.unit, int)
        return address.place, address.unit


def wired(sizes: tuple[int, int, int], wires: Wires, dtype: torch.dtype, cell: str = "LSTM") -> Any:
    """Make an LSTM or a GRU of these sizes, whose weights are given by the wires and are zero elsewhere."""
    if dtype not in (torch.float32, torch.float64):
        raise ArgumentTypeError(f"plants are made in torch.float32 or torch.float64, got {dtype}")
    lstm = new_layer(Sizes(*sizes, cell=cell), dtype=dtype)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        for name, entries in wires.items():
            weight = lstm.weight(name)
            if isinstance(entries, Tensor):
                weight.copy_(entries)
            else:
                for index, value in entries.items():
                    weight[index] = value
    return lstm


def forget_bias(time_constant: float) -> float:
    """Return the bias of a forget gate that keeps the fraction ``exp(-1 / time_constant)`` at each step.

    It is ``-log(exp(1 / T) - 1)``, since ``σ(b) = 1 / (1 + exp(-b))`` is then ``exp(-1 / T)``.

    >>> round(1 / (1 + math.exp(-forget_bias(50))), 6) == round(math.exp(-1 / 50), 6)
    True
    """
    if isinstance(time_constant, bool) or not isinstance(time_constant, (int, float)):
        raise ArgumentTypeError(f"a time constant must be a number of steps, got {type(time_constant).__name__}")
    if not 0.01 <= time_constant <= 1e15:
        raise ArgumentError(f"a time constant must be between 0.01 and 1e15 steps, got {time_constant}")
    return -math.log(math.expm1(1 / time_constant))


def wide_open(*gates: str, layer: int = 0) -> Wires:
    """Return biases that keep gates of unit 0 at 1."""
    return {f"l{layer}.b_i{gate}": {(0,): SHARP} for gate in gates}
