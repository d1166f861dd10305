"""The table of layouts and its converter: round trips, and comparisons with equations written for each framework."""

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
    EQUINOX_GRU,
    FLAX,
    FLAX_GRU,
    KERAS,
    KERAS_GRU,
    KERAS_GRU_RESET_FIRST,
    LAYOUTS,
    NNX_GRU,
    NNX_STACKED,
    ONNX,
    ONNX_GRU,
    ONNX_GRU_RESET_FIRST,
    TORCH,
    WeightLayout,
    from_weights,
    layout_for,
    to_weights,
)
from pages import DOCS

layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.framework} {layout.cell}")


def random_weights(
    C: int = 5, H: int = 3, P: int = 0, *, bias: bool = True, dtype: Any = torch.float32, gates: int = 4
) -> Weights:
    b_ih, b_hh = (torch.randn(gates * H, dtype=dtype) if bias else None for _ in range(2))
    hr = torch.randn(P, H, dtype=dtype) if P else None
    ih, hh = torch.randn(gates * H, C, dtype=dtype), torch.randn(gates * H, P or H, dtype=dtype)
    return Weights(ih, hh, b_ih, b_hh, hr)


def fitting(layout: WeightLayout, C: int = 5, H: int = 3, **options: Any) -> Weights:
    """Random weights that a layout stores without adding or losing anything."""
    weights = random_weights(C, H, gates=len(layout.gates), **options)
    if layout.joined_bias or weights.b_ih is None or weights.b_hh is None:
        return weights
    for gate in layout.gates:
        rows = layout.kind.rows(gate, H)
        if not layout.b_ih:
            weights.b_ih[rows] = 0
        elif not layout.b_hh or gate not in (layout.hidden_biased or layout.gates):
            weights.b_hh[rows] = 0
    return weights


def assert_same(got: Weights, want: Weights) -> None:
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


@layouts
def test_every_layout_names_each_gate_once(layout: WeightLayout) -> None:
    assert sorted(layout.gates) == sorted(layout.kind.gate_names)
    assert all(len(group) in (1, len(layout.gates)) for group in (layout.ih, layout.hh))
    assert len(set(layout.names)) == len(layout.names)


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
@layouts
def test_there_and_back_is_exact(layout: WeightLayout, C: int, H: int, dtype: torch.dtype) -> None:
    if layout.resets_first:
        return  # read-only: see below
    weights = fitting(layout, C, H, dtype=dtype)
    arrays = from_weights(weights, layout)
    assert list(arrays) == list(layout.names)
    assert_same(to_weights(arrays, layout), weights)


@layouts
def test_without_a_bias(layout: WeightLayout) -> None:
    if layout.resets_first:
        return
    weights = random_weights(bias=False, gates=len(layout.gates))
    back = to_weights(from_weights(weights, layout), layout)
    if layout.needs_bias:
        zero = torch.zeros(3 * len(layout.gates))
        weights = weights._replace(b_ih=zero, b_hh=zero)
    assert_same(back, weights)


def gate(array: Tensor, index: int) -> Tensor:
    return array[3 * index : 3 * (index + 1)]


def test_where_each_gate_is() -> None:
    """The published orders, written out again by hand."""
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
    for layout in LAYOUTS:
        if layout.cell != "LSTM" or layout is TORCH:
            continue
        with pytest.raises(ArgumentError, match="has no projection of the hidden state, but this LSTM has one"):
            from_weights(weights, layout)


def test_values_are_copied() -> None:
    weights = random_weights()
    arrays = from_weights(weights, TORCH)
    back = to_weights(arrays, TORCH)
    assert len({t.data_ptr() for t in (weights.ih, arrays["weight_ih"], back.ih)}) == 3


@layouts
def test_arrays_that_do_not_fit_fail(layout: WeightLayout) -> None:
    if layout.resets_first:
        return
    arrays = from_weights(fitting(layout), layout)
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


def test_where_each_gate_of_a_gru_is() -> None:
    """The published orders, written out again by hand."""
    w = random_weights(gates=3)
    assert w.b_ih is not None
    assert w.b_hh is not None
    r, z, n = (gate(w.hh, k) for k in range(3))
    assert torch.equal(from_weights(w, ONNX_GRU)["R"], torch.cat([z, r, n]))
    assert torch.equal(from_weights(w, KERAS_GRU)["recurrent_kernel"], torch.cat([z, r, n]).T)
    assert torch.equal(from_weights(w, EQUINOX_GRU)["weight_hh"], w.hh)
    assert torch.equal(from_weights(w, FLAX_GRU)["hz/kernel"], z.T)
    (br, bz, bn), (hr, hz, hn) = ([gate(b, k) for k in range(3)] for b in (w.b_ih, w.b_hh))
    assert torch.equal(from_weights(w, ONNX_GRU)["B"], torch.cat([bz, br, bn, hz, hr, hn]))
    assert torch.equal(
        from_weights(w, KERAS_GRU)["bias"], torch.stack([torch.cat([bz, br, bn]), torch.cat([hz, hr, hn])])
    )
    assert torch.equal(from_weights(w, EQUINOX_GRU)["bias"], torch.cat([br + hr, bz + hz, bn]))
    assert torch.equal(from_weights(w, EQUINOX_GRU)["bias_n"], hn)
    assert torch.equal(from_weights(w, FLAX_GRU)["iz/bias"], bz + hz)
    assert torch.equal(from_weights(w, FLAX_GRU)["hn/bias"], hn)
    with pytest.raises(ArgumentError, match="flax.nnx has no bias b_hn, which the gate r multiplies"):
        from_weights(w, NNX_GRU)


@pytest.mark.parametrize("layout", [ONNX_GRU_RESET_FIRST, KERAS_GRU_RESET_FIRST], ids=lambda layout: layout.framework)
def test_a_gru_that_resets_first_is_refused(layout: WeightLayout) -> None:
    arrays = from_weights(random_weights(C=2, gates=3), ONNX_GRU if layout.joined_bias else KERAS_GRU)
    with pytest.raises(ArgumentError, match="which is a different cell"):
        to_weights(arrays, layout)


def test_a_framework_without_a_kind_is_named() -> None:
    with pytest.raises(ArgumentError, match="Equinox has no RNN"):
        layout_for(EQUINOX, "RNN")


def test_the_layouts_of_the_documentation_are_these() -> None:
    for layout in (layout for layout in LAYOUTS if layout.cell == "LSTM"):
        shape = "[C, GH]" if layout.transposed else "[GH, C]"
        shape = shape.replace("G", "") if len(layout.ih) == len(layout.gates) else shape
        biases = layout.joined_bias or ", ".join(filter(None, [*layout.b_ih[:1], *layout.b_hh[:1]]))
        row = f"LSTM {layout.framework:29} {' '.join(layout.gates):7}  {layout.ih[0]:15} {shape:8} {biases}\n"
        assert row in (DOCS / "weights.md").read_text(encoding="utf-8")
