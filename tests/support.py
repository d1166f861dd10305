"""Shared by the tests: one tolerance table, random layers and inputs, and the comparison with torch."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations, product
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.nn import rnn

# Largest difference allowed, as a share of the largest value compared (at least 1). float32: sums of up to a few
# hundred products, each path in its own order. float64: the same, with nine more digits.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}

TORCH = tuple(map(int, torch.__version__.split(".")[:2]))

# torch's default compiler passes its own path to a C++ compiler unquoted, so a blank in it ends the path.
NEEDS_INDUCTOR = pytest.mark.skipif(" " in torch.__file__, reason="torch's compiler fails where its path has a blank")


class Later:
    """A library, imported when it is first used: each worker reads every test file, and runs few of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks every name of a module for some, in search of tests and fixtures
            raise AttributeError(attribute)
        return getattr(import_module(self.name), attribute)


def needs(*libraries: str) -> pytest.MarkDecorator:
    """Skip what needs libraries that are not installed, without importing them in every worker."""
    missing = [name for name in libraries if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def draws(count: int) -> int:
    """The number of random examples: ``count`` where the default is 40, and as large a share of it in `make test`."""
    return max(5, count * settings().max_examples // 40)


def seeds(count: int, *, quick: int) -> list[Any]:
    """Numbers of random cases: the first ``quick`` are tried by `make test`, the rest by `make test-all`."""
    return [pytest.param(seed, marks=pytest.mark.slow) if seed >= quick else seed for seed in range(count)]


def diagonal(*axes: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Combinations in which each value occurs: the first ones, the second ones, ...; an axis that ends begins again."""
    lists = [list(axis) for axis in axes]
    return [tuple(values[k % len(values)] for values in lists) for k in range(max(map(len, lists)))]


def thinned(*axes: Iterable[Any]) -> list[Any]:
    """All combinations: `make test` tries as few as have every pair of values, and `make test-all` the rest."""
    every = list(product(*(list(enumerate(axis)) for axis in axes)))
    within = [set(combinations(enumerate(place for place, _ in each), 2)) for each in every]
    left, quick = set[Any]().union(*within), set[int]()
    while left:
        best = max(range(len(every)), key=lambda k: len(within[k] & left))
        quick.add(best)
        left -= within[best]
    return [
        pytest.param(*(value for _, value in each), marks=() if k in quick else pytest.mark.slow)
        for k, each in enumerate(every)
    ]


# Sizes with remainders: one, a few, one more than a vector register, one more than several.
SIZES = st.sampled_from([1, 2, 3, 5, 17, 65])


def assert_close(got: Tensor, want: Tensor, what: str = "values", slack: float = 1) -> None:
    assert got.shape == want.shape, f"{what}: {got.shape} against {want.shape}"
    assert got.dtype == want.dtype, f"{what}: {got.dtype} against {want.dtype}"
    if want.numel() == 0:
        return
    size = max(1.0, float(want.detach().abs().max()))
    gap = float((got.detach() - want.detach()).abs().max())
    assert gap <= slack * TOLERANCE[want.dtype] * size, f"{what} differ by {gap:.3g}, values up to {size:.3g}"


def assert_all_close(got: Iterable[Tensor], want: Iterable[Tensor], what: str = "values", slack: float = 1) -> None:
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_close(a, b, f"{what}[{k}]", slack)


@st.composite
def layer_options(draw: st.DrawFn) -> dict[str, Any]:
    """Any combination of the arguments of an LSTM, except dropout, which is random."""
    hidden_size = draw(SIZES)
    return {
        "input_size": draw(SIZES),
        "hidden_size": hidden_size,
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "proj_size": draw(st.integers(0, hidden_size - 1)),
        "dtype": draw(st.sampled_from(list(TOLERANCE))),
    }


def pair(options: dict[str, Any], seed: int) -> tuple[hs.LSTM, nn.LSTM]:
    """Our LSTM and torch's, made from the same seed."""
    ours, theirs = pair_of("LSTM", options, seed)
    return ours, theirs


LAYERS = [*dict.fromkeys(rnn.LAYERS.values())]  # the class of every kind of cell


def pair_of(kind: str, options: dict[str, Any], seed: int, suffix: str = "") -> tuple[Any, Any]:
    """Our layer of a kind (its cell if the suffix is ``Cell``) and torch's, made from the same seed.

    Of a kind that torch lacks, the second is a copy of ours.
    """
    label, _, nonlinearity = kind.partition("_")
    more = {"nonlinearity": nonlinearity.lower()} if nonlinearity else {}
    made: list[Any] = []
    for module in (hs, nn):
        torch.default_generator.manual_seed(seed)
        made.append(getattr(module, label + suffix, getattr(hs, label + suffix))(**options, **more))
    return made[0], made[1]


def random_state(lstm: hs.LSTM, N: int, *, grad: bool = False) -> tuple[Tensor, Tensor]:
    tracks, dtype = len(lstm.sizes.layer_directions), lstm.weight("l0.W_ii").dtype
    h0 = torch.randn(tracks, N, lstm.sizes.output_size, dtype=dtype, requires_grad=grad)
    c0 = torch.randn(tracks, N, lstm.sizes.hidden_size, dtype=dtype, requires_grad=grad)
    return h0, c0


def random_input(lstm: hs.LSTM, T: int, N: int, *, grad: bool = False) -> Tensor:
    shape = (N, T, lstm.input_size) if lstm.batch_first else (T, N, lstm.input_size)
    return torch.randn(shape, dtype=lstm.weight("l0.W_ii").dtype, requires_grad=grad)


def gradients(outputs: Iterable[Tensor], inputs: Iterable[Tensor], seed: int = 0) -> tuple[Tensor, ...]:
    """Gradients of a fixed random weighted sum of the outputs."""
    generator = torch.Generator().manual_seed(seed)
    # Numbers that every type can represent, so that the weighting is the same in all of them.
    parts = [(o * torch.randn(o.shape, generator=generator).bfloat16().to(o.dtype)).sum() for o in outputs]
    return torch.autograd.grad(torch.stack(parts).sum(), list(inputs), retain_graph=True, materialize_grads=True)


class Call(NamedTuple):
    """Any LSTM and a call of it that the native engine can run, with numbers that every type can represent."""

    T: int
    N: int
    C: int
    H: int
    L: int
    seed: int
    bias: bool = True
    bidirectional: bool = False
    ragged: bool = False
    borders: bool = False
    projects: bool = False

    @property
    def P(self) -> int:  # noqa: N802
        """Units of the hidden state."""
        return (self.H + 1) // 2 if self.projects and self.H > 1 else self.H

    def lstm(self, dtype: torch.dtype) -> hs.LSTM:
        torch.default_generator.manual_seed(self.seed)
        options: dict[str, Any] = {"bias": self.bias, "bidirectional": self.bidirectional, "dtype": torch.bfloat16}
        options["proj_size"] = self.P % self.H
        return hs.LSTM(self.C, self.H, self.L, **options).to(dtype)

    def inputs(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """``x``, ``h0`` and ``c0``."""
        torch.default_generator.manual_seed(self.seed)
        tracks = self.L * (2 if self.bidirectional else 1)
        shapes = (self.T, self.N, self.C), (tracks, self.N, self.P), (tracks, self.N, self.H)
        x, h0, c0 = (torch.randn(shape).bfloat16().to(dtype).requires_grad_() for shape in shapes)
        return x, h0, c0

    def given(self) -> dict[str, Any]:
        """Lengths and resets."""
        torch.default_generator.manual_seed(self.seed)
        given = {}
        if self.ragged:
            given["lengths"] = torch.randint(0, self.T + 1, (self.N,))
        if self.borders:
            given["reset"] = torch.rand(self.T, self.N) < 0.3
        return given


def calls(most_layers: int = 3) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        T=st.integers(1, 6),
        N=st.sampled_from([1, 2, 3, 7, 17]),
        C=st.sampled_from([1, 2, 3, 8, 17, 33]),
        H=st.sampled_from([1, 2, 3, 7, 8, 17, 33, 65]),
        L=st.integers(1, most_layers),
        seed=st.integers(0, 999),
        bias=st.booleans(),
        bidirectional=st.booleans(),
        ragged=st.booleans(),
        borders=st.booleans(),
        projects=st.booleans(),
    )


class Told(NamedTuple):
    """All results of a call: output, final states, trace; and the gradients of inputs and weights."""

    values: list[Tensor]
    gradients: tuple[Tensor, ...]


def told(call: Call, dtype: torch.dtype, *edits: hs.Edit, training: bool = True) -> Told:
    lstm, inputs = call.lstm(dtype).train(training), call.inputs(dtype)
    with lstm.edit(*edits):
        trace = lstm.trace(inputs[0], (inputs[1], inputs[2]), **call.given())
    assert isinstance(trace.out, Tensor)
    values = [trace.out, *trace.state, *trace.values.values()]
    return Told(values, gradients(values, [*inputs, *lstm.parameters()]))


def share(got: Tensor, want: Tensor, least: float = 1.0) -> float:
    """The largest difference, as a share of the largest value (at least ``least``)."""
    if want.numel() == 0:
        return 0.0
    size = max(least, float(want.detach().abs().max()))
    return float((got.detach().to(want.dtype) - want.detach()).abs().max()) / size
