"""The table of layouts and its converter: there and back, and against equations written for each framework."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hiddenstate.cells.cell import Weights
from hiddenstate.errors import ArgumentError, DtypeError, NameUnknownError, RankError, ShapeError
from hiddenstate.interop.layouts import (
    EQUINOX,
    FLAX,
    KERAS,
    LAYOUTS,
    NNX_STACKED,
    ONNX,
    TORCH,
    Layout,
    from_weights,
    to_weights,
)
from hiddenstate.structure.names import GATES

layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.framework)


def random_weights(C: int = 5, H: int = 3, P: int = 0, *, bias: bool = True, dtype: Any = torch.float32) -> Weights:
    b_ih, b_hh = (torch.randn(4 * H, dtype=dtype) if bias else None for _ in range(2))
    hr = torch.randn(P, H, dtype=dtype) if P else None
    return Weights(torch.randn(4 * H, C, dtype=dtype), torch.randn(4 * H, P or H, dtype=dtype), b_ih, b_hh, hr)


def assert_same(got: Weights, want: Weights) -> None:
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


@layouts
def test_every_layout_names_each_gate_once(layout: Layout) -> None:
    assert sorted(layout.gates) == sorted(GATES)
    assert all(len(group) in (1, 4) for group in (layout.ih, layout.hh))
    assert len(set(layout.names)) == len(layout.names)


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
@layouts
def test_there_and_back_is_exact(layout: Layout, C: int, H: int, dtype: torch.dtype) -> None:
    weights = random_weights(C, H, dtype=dtype)
    if not layout.joined_bias and not (layout.b_ih and layout.b_hh):  # it has one bias: the other of ours is zero
        zero = torch.zeros(4 * H, dtype=dtype)
        weights = weights._replace(**{"b_hh" if layout.b_ih else "b_ih": zero})
    arrays = from_weights(weights, layout)
    assert list(arrays) == list(layout.names)
    assert_same(to_weights(arrays, layout), weights)


@layouts
def test_without_a_bias(layout: Layout) -> None:
    weights = random_weights(bias=False)
    back = to_weights(from_weights(weights, layout), layout)
    if layout.needs_bias:
        zero = torch.zeros(12)
        weights = weights._replace(b_ih=zero, b_hh=zero)
    assert_same(back, weights)


def gate(array: Tensor, index: int) -> Tensor:
    return array[3 * index : 3 * (index + 1)]


def test_where_each_gate_is() -> None:
    """The published orders, written out once more by hand."""
    w = random_weights()
    assert w.b_ih is not None
    assert w.b_hh is not None
    i, f, g, o = (gate(w.ih, k) for k in range(4))
    assert torch.equal(from_weights(w, ONNX)["W"], torch.cat([i, o, f, g]))
    assert torch.equal(from_weights(w, KERAS)["kernel"], torch.cat([i, f, g, o]).T)
    assert torch.equal(from_weights(w, EQUINOX)["weight_ih"], torch.cat([i, f, g, o]))
    assert torch.equal(from_weights(w, NNX_STACKED)["dense_i/kernel"], torch.cat([i, f, g, o]).T)
    assert torch.equal(from_weights(w, FLAX)["if/kernel"], f.T)
    bi, bf, bg, bo = (gate(w.b_ih, k) for k in range(4))
    hi, hf, hg, ho = (gate(w.b_hh, k) for k in range(4))
    assert torch.equal(from_weights(w, ONNX)["B"], torch.cat([bi, bo, bf, bg, hi, ho, hf, hg]))
    assert torch.equal(from_weights(w, FLAX)["ho/bias"], bo + ho)


def test_a_projection_is_torchs_alone() -> None:
    weights = random_weights(P=2)
    assert_same(to_weights(from_weights(weights, TORCH), TORCH), weights)
    for layout in LAYOUTS[1:]:
        with pytest.raises(ArgumentError, match="has no projection of the hidden state, but this LSTM has one"):
            from_weights(weights, layout)


def test_values_are_copied() -> None:
    weights = random_weights()
    arrays = from_weights(weights, TORCH)
    back = to_weights(arrays, TORCH)
    assert len({t.data_ptr() for t in (weights.ih, arrays["weight_ih"], back.ih)}) == 3


@layouts
def test_arrays_that_do_not_fit_fail(layout: Layout) -> None:
    arrays = from_weights(random_weights(), layout)
    for name in layout.names:
        with pytest.raises(ShapeError, match=r"has shape \[.*\], expected \[.*H.*\] = \["):
            to_weights({**arrays, name: torch.cat([arrays[name]] * 2, dim=-1 if layout.transposed else 0)}, layout)
        with pytest.raises(DtypeError, match="must be floats of one type"):
            to_weights({**arrays, name: arrays[name].double()}, layout)
    for name in (*layout.ih, *layout.hh):
        with pytest.raises(NameUnknownError, match=f"{name} missing from"):
            to_weights({key: value for key, value in arrays.items() if key != name}, layout)
    with pytest.raises(RankError, match="must have two axes"):
        to_weights({**arrays, layout.ih[0]: arrays[layout.ih[0]][None]}, layout)
    with pytest.raises(DtypeError, match="must be floats of one type, got .*torch.int32"):
        to_weights({name: value.int() for name, value in arrays.items()}, layout)


def test_one_of_two_biases_missing_fails() -> None:
    arrays = from_weights(random_weights(), TORCH)
    with pytest.raises(NameUnknownError, match="bias_hh missing from weight_ih, weight_hh, bias_ih"):
        to_weights({name: value for name, value in arrays.items() if name != "bias_hh"}, TORCH)
