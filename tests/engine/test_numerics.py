"""The promises of docs/numerics.md: which results are equal bit for bit, and how close the others are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
from hiddenstate.engine import kernels

pytestmark = pytest.mark.skipif(kernels.version() is None, reason="the promises are the engine's")

TYPES = (torch.float32, torch.float64, torch.bfloat16)
SHAPES = st.tuples(
    st.integers(1, 12),  # T
    st.sampled_from((1, 2, 3, 17, 33)),  # N
    st.sampled_from((1, 3, 17, 65)),  # C
    st.sampled_from((1, 3, 17, 65, 128)),  # H
    st.integers(1, 2),  # L
    st.booleans(),  # both directions
    st.booleans(),  # a projection
)
Shape = tuple[int, int, int, int, int, bool, bool]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def made(shape: Shape, dtype: torch.dtype) -> tuple[hs.LSTM, Tensor]:
    T, N, C, H, layers, both, projects = shape
    lstm = hs.LSTM(C, H, layers, bidirectional=both, proj_size=H - 1 if projects else 0).to(dtype)
    return lstm, torch.randn(T, N, C).to(dtype)


def results(lstm: hs.LSTM, x: Tensor) -> list[Tensor]:
    """Outputs, final states and gradients of a call."""
    x = x.detach().requires_grad_()
    out, (h, c) = lstm(x)
    torch.manual_seed(1)
    loss = sum((value.double() * torch.randn(value.shape).double()).sum() for value in (out, h, c))
    assert isinstance(loss, Tensor)
    return [out, h, c, *torch.autograd.grad(loss, [x, *lstm.parameters()])]


@pytest.mark.parametrize("dtype", TYPES)
@given(shape=SHAPES)
@settings(max_examples=15, deadline=None)
def test_threads_and_repeats_change_no_bit(dtype: torch.dtype, shape: Shape) -> None:
    lstm, x = made(shape, dtype)
    with threads(1):
        want = results(lstm, x)
    for count in (1, 2, 3):
        with threads(count):
            assert all(map(torch.equal, results(lstm, x), want))


@pytest.mark.parametrize("dtype", TYPES)
@given(shape=SHAPES, data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_row_is_the_same_in_any_batch(dtype: torch.dtype, shape: Shape, data: st.DataObject) -> None:
    lstm, x = made(shape, dtype)
    T, N = x.shape[:2]
    out, (h, c) = lstm(x)
    for row in range(N):
        alone, (h_alone, c_alone) = lstm(x[:, row : row + 1])
        assert torch.equal(out[:, row], alone[:, 0])
        assert torch.equal(h[:, row], h_alone[:, 0])
        assert torch.equal(c[:, row], c_alone[:, 0])
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, T), min_size=N, max_size=N)))
    ragged, (h, c) = lstm(x, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        if length:
            alone, (h_alone, c_alone) = lstm(x[:length, row : row + 1])
            assert torch.equal(ragged[:length, row], alone[:, 0])
            assert torch.equal(h[:, row], h_alone[:, 0])
            assert torch.equal(c[:, row], c_alone[:, 0])


@pytest.mark.parametrize("dtype", TYPES)
@given(shape=SHAPES, cut=st.integers(1, 11))
@settings(max_examples=15, deadline=None)
def test_pieces_streams_and_traces_are_the_whole(dtype: torch.dtype, shape: Shape, cut: int) -> None:
    lstm, x = made((*shape[:5], False, shape[6]), dtype)
    with torch.no_grad():
        want, _ = lstm(x)
        traced = lstm.trace(x).out
        assert isinstance(traced, Tensor)
        assert torch.equal(traced, want)
        stream = lstm.stream(batch=x.shape[1])
        assert torch.equal(torch.stack([stream.step(value) for value in x]), want)
        if cut < len(x) and dtype is not torch.bfloat16:  # whose c_n is rounded at the end of the call
            first, state = lstm(x[:cut])
            assert torch.equal(torch.cat([first, lstm(x[cut:], state)[0]]), want)


@pytest.mark.parametrize("dtype", TYPES)
@given(shape=SHAPES)
@settings(max_examples=10, deadline=None)
def test_saving_for_a_gradient_changes_no_bit(dtype: torch.dtype, shape: Shape) -> None:
    lstm, x = made(shape, dtype)
    want = lstm(x)[0]
    with torch.no_grad():
        assert torch.equal(lstm(x)[0], want)
    assert torch.equal(lstm.eval()(x)[0], want)


@pytest.fixture
def widest() -> Iterator[None]:
    yield
    kernels.choose(None)


@pytest.mark.usefixtures("widest")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13), (torch.bfloat16, 0.05)]
)
def test_instruction_sets_are_near_one_another_and_the_reference(dtype: torch.dtype, tolerance: float) -> None:
    for shape in ((12, 3, 17, 65, 2, True, False), (12, 17, 65, 128, 1, False, True), (3, 1, 1, 1, 1, False, False)):
        lstm, x = made(shape, dtype)
        with torch.no_grad():
            with hs.backend("reference"):
                want = lstm.double()(x.double())[0]
            lstm.to(dtype)
            for isa in kernels.isas():
                kernels.choose(isa)
                assert (lstm(x)[0].double() - want).abs().max() < tolerance, isa


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_stays_in_its_row(dtype: torch.dtype, bad: float) -> None:
    lstm, x = made((7, 5, 17, 65, 2, True, False), dtype)
    want = results(lstm, x)
    x[2, 3, 1] = bad
    got = results(lstm, x)
    others = [0, 1, 2, 4]
    for k in range(4):  # out, h, c, and the gradient of x
        assert torch.equal(got[k][:, others], want[k][:, others])
    assert got[0][:, 3].isnan().any() or bad == float("inf")
