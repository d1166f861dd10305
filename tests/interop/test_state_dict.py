"""LSTMs from state dicts and torch's files give the numbers of the saved module."""

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, NameUnknownError, ShapeError
from hiddenstate.interop.state_dict import from_state_dict, in_state_dict
from support import assert_close, layer_options, random_input


def model() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "embed": nn.Embedding(9, 4),
            "encoder": nn.Sequential(nn.LSTM(4, 3, 2, bidirectional=True), nn.Linear(6, 2)),
            "decoder": nn.LSTM(2, 5, proj_size=2, bias=False),
            "cell": nn.LSTMCell(4, 3),
            "gru": nn.GRU(4, 3),
            "rnn": nn.RNN(4, 12),
        }
    )


@given(layer_options())
def test_any_lstm_comes_back_bit_for_bit(options: dict[str, Any]) -> None:
    theirs = nn.LSTM(**options)
    before = torch.get_rng_state()
    ours = from_state_dict(
        {f"a.b.{key}": value for key, value in theirs.state_dict().items()}, batch_first=options["batch_first"]
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.requires_grad
        assert a.data_ptr() != b.data_ptr()
    x = random_input(ours, 3, 2)
    assert_close(ours(x)[0], theirs(x)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@given(options=layer_options())
def test_weights_of_8_bits_stay_so(options: dict[str, Any], dtype: torch.dtype) -> None:
    theirs = hs.LSTM(**(options | {"dtype": dtype})).quantize()
    state = {f"a.{key}": value for key, value in theirs.state_dict().items()}
    ours = from_state_dict(state, batch_first=options["batch_first"])
    assert (ours.weight_format, repr(ours)) == ("int8", repr(theirs))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])
        assert value.data_ptr() != theirs.state_dict()[name].data_ptr()


def test_a_cell_gets_what_8_bits_stand_for() -> None:
    theirs, x = hs.LSTM(5, 40).quantize(), torch.randn(2, 5)
    cell = from_state_dict(theirs.state_dict(), kind=hs.LSTMCell)
    assert_close(cell(x)[0], theirs.dequantize()(x[None])[0][0])


def test_of_8_bits_in_part_are_floats() -> None:
    lstm = hs.LSTM(5, 40)
    rounded = lstm.quantize()
    state = lstm.state_dict() | {k: v for k, v in rounded.state_dict().items() if k.startswith("weight_hh")}
    ours = from_state_dict(state)
    assert ours.weight_format == "float"
    assert torch.equal(ours.state_dict()["weight_hh_l0"], rounded.dequantize().state_dict()["weight_hh_l0"])
    assert torch.equal(ours.state_dict()["weight_ih_l0"], lstm.state_dict()["weight_ih_l0"])


def test_scales_that_do_not_fit_fail() -> None:
    state = hs.LSTM(5, 40).quantize().state_dict()
    with pytest.raises(ShapeError, match=r"weight_ih_l0 has shape \[160, 5\] and its scale \[3\]"):
        from_state_dict(state | {"weight_ih_l0_scale": torch.ones(3)})
    del state["weight_hh_l0_scale"]
    with pytest.raises(DtypeError, match="weight_hh_l0 is int8, but its scales weight_hh_l0_scale are missing"):
        from_state_dict(state)


@pytest.mark.parametrize("names", [["weight_ih_l0"], ["weight_ih_l0", "weight_hh_l0"], ["bias_ih_l0"]])
def test_scales_of_floats_are_left_out(names: list[str]) -> None:
    """Other libraries may use such a name for something else."""
    lstm = hs.LSTM(5, 40)
    for scale in (torch.ones(160), torch.tensor(2.0)):
        ours = from_state_dict(lstm.state_dict() | {f"{name}_scale": scale for name in names})
        assert ours.weight_format == "float"
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), lstm.parameters(), strict=True))


def test_a_scale_of_nothing_fails() -> None:
    state = hs.LSTM(5, 40).quantize().state_dict() | {"weight_ih_l3_scale": torch.ones(160)}
    with pytest.raises(ArgumentError, match="it left weight_ih_l3_scale"):
        from_state_dict(state)


def test_options_that_weights_do_not_tell() -> None:
    ours = from_state_dict(nn.LSTM(4, 3, 2).state_dict(), batch_first=True, dropout=0.5)
    assert ours.batch_first
    assert ours.dropout == 0.5


@pytest.mark.parametrize("prefix", ["encoder.0", "encoder.0."])
def test_chosen_by_prefix(prefix: str) -> None:
    theirs = model()
    ours = from_state_dict(theirs.state_dict(), prefix)
    x = torch.randn(3, 2, 4)
    assert_close(ours(x)[0], theirs["encoder"][0](x)[0])  # type: ignore[index]


def test_the_one_without_a_prefix() -> None:
    state = {**nn.LSTM(4, 3).state_dict(), **nn.ModuleDict({"other": nn.LSTM(2, 2)}).state_dict()}
    assert from_state_dict(state, "").input_size == 4


def test_a_cell_as_a_layer_and_as_a_cell() -> None:
    theirs = model()["cell"]
    x = torch.randn(2, 4)
    want = theirs(x)
    cell = from_state_dict(theirs.state_dict(), kind=hs.LSTMCell)
    assert isinstance(cell, hs.LSTMCell)
    assert repr(cell) == repr(theirs)
    for got, ours in zip(cell(x), want, strict=True):
        assert_close(got, ours)
    _, (h, c) = from_state_dict(theirs.state_dict())(x[None])
    assert_close(h[0], want[0])
    assert_close(c[0], want[1])


def test_what_is_found_is_listed_with_its_sizes() -> None:
    found = in_state_dict(model().state_dict())
    assert (
        str(found)
        == repr(found)
        == "\n".join(
            [
                "this state dict holds 3 LSTMs",
                "  'encoder.0': LSTM(4, 3, num_layers=2, bidirectional=True)",
                "  'decoder': LSTM(2, 5, proj_size=2, bias=False)",
                "  'cell': LSTM(4, 3)",
            ]
        )
    )
    assert len(found) == 3
    assert {name: lstm.hidden_size for name, lstm in found.items()} == {"encoder.0": 3, "decoder": 5, "cell": 3}


def test_inside_a_training_checkpoint() -> None:
    checkpoint = {
        "epoch": 3,
        "model": {"ema": {"lstm": 1.0}, "net": nn.LSTM(4, 3).state_dict()},
        "optimizer": {"state": {0: {}}},
    }
    assert list(in_state_dict(checkpoint)) == ["model.net"]


def test_several_none_and_unknown_fail() -> None:
    state = model().state_dict()
    listed = re.escape("'encoder.0': LSTM(4, 3, num_layers=2, bidirectional=True)")
    with pytest.raises(ArgumentError, match=f"(?s)holds 3 LSTMs.*{listed}.*Choose one with prefix="):
        from_state_dict(state)
    with pytest.raises(NameUnknownError, match=f"(?s)no LSTM 'coder': .*{listed}"):
        from_state_dict(state, "coder")
    with pytest.raises(NameUnknownError, match="this state dict holds no LSTMs"):
        from_state_dict({"weight": torch.zeros(2)})
    with pytest.raises(NameUnknownError, match="'a' is not an LSTM: it is a GRU"):
        from_state_dict(nn.ModuleDict({"a": nn.GRU(4, 3)}).state_dict())
    with pytest.raises(ArgumentTypeError, match="got LSTM; give its state_dict"):
        from_state_dict(nn.LSTM(4, 3))  # type: ignore[arg-type]


def test_other_recurrent_layers_fail() -> None:
    state = model().state_dict()
    for prefix, message in (
        (
            "gru",
            "'gru' in this state dict is not an LSTM: it is a GRU: its weight_hh is [3H, H] = [9, 3]. kind=hs.GRU "
            "reads it",
        ),
        ("rnn", r"it is a plain RNN: its weight_hh is [H, H] = [12, 12]. kind=hs.RNN reads it"),
    ):
        with pytest.raises(ArgumentError, match=re.escape(message)):
            from_state_dict(state, prefix)


def test_cells_of_more_than_a_layer_fail() -> None:
    for options in ({"num_layers": 2}, {"bidirectional": True}, {"proj_size": 2}):
        with pytest.raises(
            ArgumentError, match="an LSTMCell has one layer, one direction and no projection, but this is"
        ):
            from_state_dict(nn.LSTM(4, 3, **options).state_dict(), kind=hs.LSTMCell)
