"""Converted models compared with torch's, over every combination of conditions in which a difference could hide.

Packed sequences, more than 16 rows (torch's sort is not stable then), rows of equal length, dropout between layers,
autocast, every gradient mode, batch-first input, a layer before the LSTM, and `torch.jit.trace` with its own check.
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import hiddenstate as hs
from support import draws, share, thinned

T, C, H = 4, 3, 5
# Relative to the largest value. For bfloat16: the rounding of its products.
TOLERANCES = {False: 1e-5, True: 2e-2}
# A plain RNN's whole state is rounded at each step and goes through the weights: torch's own bfloat16 is up to four
# times as far from float64 as for an LSTM, and the engine's a little closer.
RNN_IN_BFLOAT16 = 3e-2


class Condition(NamedTuple):
    """The conditions of a call."""

    packing: str  # "padded", or the order of a packed sequence's rows: "sorted", "ties", "unsorted"
    N: int
    dropout: float
    casts: bool
    mode: str
    batch_first: bool
    is_first: bool

    def lengths(self) -> Tensor:
        lengths = torch.arange(self.N) % T + 1
        if self.packing == "unsorted":
            return lengths
        return torch.full((self.N,), T) if self.packing == "ties" else lengths.sort(descending=True).values


CONDITIONS = [
    Condition(*combined)
    for combined in product(
        ("padded", "sorted", "ties", "unsorted"),
        (1, 3, 17),
        (0.0, 0.4),
        (False, True),
        ("grad", "no_grad", "inference", "grad in inference"),
        (False, True),
        (False, True),
    )
]


class Model(nn.Module):
    """An optional layer, an LSTM, and its results as plain tensors."""

    def __init__(self, condition: Condition, cell: Callable[..., nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        options: Any = {"dropout": condition.dropout, "batch_first": condition.batch_first, "bidirectional": True}
        self.before = nn.Identity() if condition.is_first else nn.Linear(C, C)
        self.lstm = cell(C, H, 2, **options)
        self.packing, self.batch_first = condition.packing, condition.batch_first

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        given = self.before(x)
        if self.packing != "padded":
            sorts = self.packing != "unsorted"
            given = pack_padded_sequence(given, lengths, batch_first=self.batch_first, enforce_sorted=sorts)
        out, state = self.lstm(given)
        states = state if isinstance(state, tuple) else (state,)
        return (out.data if isinstance(out, PackedSequence) else out), *states


@contextmanager
def in_force(condition: Condition) -> Iterator[None]:
    with ExitStack() as blocks:
        if "inference" in condition.mode:
            blocks.enter_context(torch.inference_mode())
        blocks.enter_context(torch.set_grad_enabled("no_grad" not in condition.mode and condition.mode != "inference"))
        blocks.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=condition.casts))
        yield


class Told(NamedTuple):
    """A call's results, side effects and gradients."""

    values: list[Tensor]
    facts: list[tuple[object, ...]]
    drawn_after: Tensor
    gradients: list[Tensor]


def told(model: nn.Module, condition: Condition) -> Told:
    generator = torch.Generator().manual_seed(2)
    shape = (condition.N, T, C) if condition.batch_first else (T, condition.N, C)
    x = torch.randn(shape, generator=generator).requires_grad_()
    torch.manual_seed(3)
    with in_force(condition):
        values = list(model(x, condition.lengths()))
    drawn_after = torch.rand(3)
    gradients: list[Tensor] = []
    if condition.mode == "grad":
        weighed = sum((value.double() * torch.linspace(-1, 1, value.numel()).view_as(value)).sum() for value in values)
        gradients = list(torch.autograd.grad(weighed, [x, *model.parameters()]))
    facts: list[tuple[object, ...]] = [
        (value.shape, value.dtype, value.requires_grad, value.is_inference()) for value in [*values, *gradients]
    ]
    return Told(values, facts, drawn_after, gradients)


def compare(ours: Told, theirs: Told, condition: Condition, within: float | None = None) -> None:
    assert ours.facts == theirs.facts
    assert torch.equal(ours.drawn_after, theirs.drawn_after)
    gaps = [share(a.float(), b.float()) for a, b in zip(ours.values, theirs.values, strict=True)]
    gaps += [share(a, b) for a, b in zip(ours.gradients, theirs.gradients, strict=True)]
    assert max(gaps) <= (within or TOLERANCES[condition.casts])


@pytest.mark.parametrize("by", ["convert", "accelerate"])
@pytest.mark.parametrize("packing", ["padded", "sorted", "ties", "unsorted"])
def test_a_call_is_torchs(packing: str, by: str) -> None:
    """Values, types, dropout masks and later random numbers, gradients, and whether there are any."""
    conditions = [condition for condition in CONDITIONS if condition.packing == packing]
    count = len(conditions) if draws(40) == 40 else 24
    for condition in random.Random(packing + by).sample(conditions, count):
        check(condition, by, nn.LSTM)


@pytest.mark.parametrize("by", ["convert", "accelerate"])
@pytest.mark.parametrize("cell", [nn.GRU, nn.RNN], ids=lambda cell: cell.__name__)
def test_a_call_of_another_cell_is_torchs(cell: Callable[..., nn.RNNBase], by: str) -> None:
    for condition in random.Random(by).sample(CONDITIONS, draws(60)):
        check(condition, by, cell)


def check(condition: Condition, by: str, cell: Callable[..., nn.RNNBase]) -> None:
    torch.manual_seed(1)
    model = Model(condition, cell)
    theirs = told(model, condition)
    if by == "convert":
        ours = told(hs.convert(copy.deepcopy(model)), condition)
    else:
        with hs.accelerate():
            ours = told(model, condition)
    try:
        compare(ours, theirs, condition, RNN_IN_BFLOAT16 if condition.casts and cell is nn.RNN else None)
    except AssertionError as error:
        raise AssertionError(f"{condition}: {error}") from error


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit.trace` is:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace_method` is:DeprecationWarning")
@pytest.mark.parametrize(
    ("packing", "mode", "batch_first", "is_first"),
    thinned(["padded", "sorted", "ties", "unsorted"], ["grad", "no_grad"], [False, True], [False, True]),
)
def test_a_checked_jit_trace_is_torchs(packing: str, mode: str, batch_first: bool, is_first: bool) -> None:
    """torch.jit.trace traces a model twice, and rejects it if the graphs differ."""
    condition = Condition(packing, 17, 0.4, False, mode, batch_first, is_first)
    torch.manual_seed(1)
    theirs = Model(condition).eval()
    ours = hs.convert(copy.deepcopy(theirs))
    x = torch.randn((17, T, C) if batch_first else (T, 17, C))
    with in_force(condition):
        traced = torch.jit.trace(ours, (x, condition.lengths()))
    compare(told(traced, condition), told(theirs, condition), condition)
