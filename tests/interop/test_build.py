"""Layers built from weights."""

from typing import Any

import pytest
import torch
from hypothesis import given

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from hiddenstate.interop.build import build_cell, build_layer, weights_by_direction
from support import layer_options


@given(layer_options())
def test_taken_apart_and_put_together(options: dict[str, Any]) -> None:
    lstm = hs.LSTM(**options)
    before = torch.get_rng_state()
    tracks = [weights for layer in weights_by_direction(lstm) for weights in layer]
    made = build_layer(tracks, hs.LSTM, bidirectional=lstm.bidirectional, batch_first=lstm.batch_first)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(made) == repr(lstm)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), lstm.parameters(), strict=True))


def test_a_cell_is_one_layer() -> None:
    cell = hs.LSTMCell(4, 3)
    made = build_layer(weights_by_direction(cell)[0], hs.LSTM)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), cell.parameters(), strict=True))
    again = build_cell(made)
    assert repr(again) == repr(cell)
    assert torch.equal(again.weight_ih, cell.weight_ih)


def test_weights_that_do_not_fit_each_other_fail() -> None:
    first, second = hs.LSTM(4, 3, 2), hs.LSTM(3, 5)
    ((lower,), _), ((upper,),) = weights_by_direction(first), weights_by_direction(second)
    with pytest.raises(ShapeError, match=r"weight_ih of l1 has shape \[20, 3\], expected \[12, 3\]: all layers must"):
        build_layer([lower, upper], hs.LSTM)
    with pytest.raises(ArgumentError, match="l0 and l1 must both have biases, or neither"):
        build_layer([lower, upper._replace(b_ih=None, b_hh=None)], hs.LSTM)
    with pytest.raises(
        DtypeError, match="weights of l1 are torch.float64, but those of the first layer are torch.float32"
    ):
        build_layer([lower, upper._replace(ih=upper.ih.double())], hs.LSTM)
    with pytest.raises(ArgumentError, match="an LSTMCell has one layer, one direction and no projection"):
        build_cell(first)
