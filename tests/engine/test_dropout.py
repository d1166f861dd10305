"""Dropout masks equal torch's, from the same random numbers, whichever code draws them."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode

from hiddenstate.engine import dropout as drawing
from hiddenstate.engine import kernels
from support import pair, share

DTYPES = [torch.float32, torch.float64, torch.bfloat16]


def torchs(shape: Sequence[int], like: Tensor, p: float) -> Tensor:
    return dropout(like.new_ones(shape), p)


def drawn_like_torch(dtype: torch.dtype, p: float, shape: tuple[int, ...], before: int) -> None:
    """The mask equals torch's, and so do the numbers drawn after it."""
    found, draws = [], (drawing.draw_mask, torchs)
    for draw in draws:
        torch.manual_seed(5)
        torch.rand(before)  # this many of the generator's words have been used
        found.append((draw(shape, torch.empty(0, dtype=dtype), p), torch.rand(7), torch.randn(20)))
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype is theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.1, 1 / 3, 0.5, 0.999, 1e-9, 1.0])
def test_masks_are_torchs(dtype: torch.dtype, p: float) -> None:
    drawn_like_torch(dtype, p, (3, 17, 65), 0)


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_packed_sequences_get_torchs_masks(dtype: torch.dtype, is_sorted: bool) -> None:
    """Also if rows have equal lengths, which torch's sort reorders from 17 rows on."""
    ours, theirs = pair({"input_size": 3, "hidden_size": 5, "num_layers": 2, "dropout": 0.4, "dtype": dtype}, 0)
    for N in range(1, 66):
        lengths = torch.randint(1, 5, (N,), generator=torch.Generator().manual_seed(N))
        lengths = lengths.sort(descending=True).values if is_sorted else lengths
        x = torch.randn(int(lengths.max()), N, 3).to(dtype)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=is_sorted)
        found = []
        for lstm in (ours, theirs):
            torch.manual_seed(5)
            out, (h_n, c_n) = lstm(packed)
            found.append((out.data, h_n, c_n, torch.rand(3)))
        for got, want in zip(*found, strict=True):
            # A different mask would show, as its values are 0 and 1 / 0.6.
            assert share(got, want) < (0.01 if dtype is torch.float16 else 1e-6), N


@pytest.mark.parametrize("before", [0, 1, 2, 311, 622, 623, 624, 625, 1000])
@pytest.mark.parametrize("shape", [(0,), (1,), (5, 1), (1023,), (1024,), (1025,), (2, 1248), (7, 500)])
def test_wherever_the_generator_is(shape: tuple[int, ...], before: int) -> None:
    drawn_like_torch(torch.float32, 0.3, shape, before)


@pytest.mark.skipif(kernels.version() is None, reason="the native module is not loaded")
def test_native_code_draws_where_torch_does_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torch.Generator().manual_seed(0)
    kept = kernels.new(torch.float32, 1000).bernoulli_(0.7, generator=theirs)
    state = torch.Generator().manual_seed(0).get_state().view(torch.int64)
    mask = kernels.new(torch.float32, 1000)
    kernels.draw_mask(state, mask, 0.7, 1.0)
    # On processors where torch delegates drawing to a library, its numbers differ, so torch draws them.
    assert drawing._draws_as_torch(torch.float32) == torch.equal(mask, kept)
    assert not drawing._draws_as_torch(torch.float16)
    calls: list[object] = []
    monkeypatch.setattr(kernels, "draw_mask", lambda *given: calls.append(given))
    drawing.draw_mask((2000,), torch.empty(0), 0.5)
    assert len(calls) == torch.equal(mask, kept)
    drawing.draw_mask((20,), torch.empty(0), 0.5)  # too few to pay
    assert len(calls) == torch.equal(mask, kept)


def test_modes_of_torchs_see_the_draws() -> None:
    seen: list[str] = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Mode():  # type: ignore[no-untyped-call]
        drawing.draw_mask((50, 50), torch.empty(0), 0.5)
    assert any("bernoulli" in name for name in seen)


@pytest.mark.skipif(kernels.version() is None, reason="the native module is not loaded")
@pytest.mark.parametrize(
    ("state", "mask"),
    [
        (torch.zeros(631, dtype=torch.int64), torch.empty(5)),
        (torch.zeros(632), torch.empty(5)),
        (torch.zeros(632, dtype=torch.int64), torch.empty(5, 2)),
        (torch.zeros(632, dtype=torch.int64), torch.empty(10)[::2]),
        (torch.zeros(632, dtype=torch.int64), torch.empty(5, dtype=torch.int64)),
    ],
)
def test_what_native_code_does_not_read_fails(state: Tensor, mask: Tensor) -> None:
    with pytest.raises(kernels.RefusedError):
        kernels.draw_mask(state, mask, 0.5, 2.0)


@pytest.mark.skipif(kernels.version() is None, reason="the native module is not loaded")
def test_a_state_that_is_none_does_no_harm() -> None:
    """Positions beyond its words are clamped."""
    for number in (-1, 2**40, 624, 7):
        state = torch.full((632,), number, dtype=torch.int64)
        mask = kernels.new(torch.float32, 3000)
        kernels.draw_mask(state, mask, 0.5, 2.0)
        assert ((mask == 0) | (mask == 2)).all()
