"""`hs.LSTM` compared with `torch.nn.LSTM`: parameters, outputs, states and every gradient."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from support import (
    assert_all_close,
    assert_close,
    gradients,
    layer_options,
    pair,
    random_input,
    random_state,
)

BACKENDS = st.sampled_from(["auto", "reference"])


@given(layer_options(), st.integers(0, 99))
def test_parameters_are_torchs(options: dict[str, Any], seed: int) -> None:
    ours, theirs = pair(options, seed)
    named, theirs_named = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(named) == list(theirs_named)
    assert all(torch.equal(named[name], theirs_named[name]) for name in named)
    assert repr(ours) == repr(theirs)
    assert [len(ws) for ws in ours.all_weights] == [len(ws) for ws in theirs.all_weights]
    # Other attributes that torch's own tools (pruning, quantisation) read.
    assert ours._flat_weights_names == theirs._flat_weights_names
    assert ours._all_weights == theirs._all_weights
    assert all(a is named[name] for a, name in zip(ours._flat_weights, ours._flat_weights_names, strict=True))


@given(layer_options(), st.integers(1, 7), st.integers(1, 5), st.booleans(), BACKENDS)
def test_numbers_and_gradients_are_torchs(
    options: dict[str, Any], T: int, N: int, with_state: bool, path: hs.engine.dispatch.Backend
) -> None:
    ours, theirs = pair(options, T)
    x = random_input(ours, T, N, grad=True)
    state = random_state(ours, N, grad=True) if with_state else None
    with hs.backend(path):
        out, (h_n, c_n) = ours(x, state)
        got = gradients((out, h_n, c_n), [x, *(state or ()), *ours.parameters()])
    want_out, (want_h, want_c) = theirs(x, state)
    want = gradients((want_out, want_h, want_c), [x, *(state or ()), *theirs.parameters()])
    assert_all_close((out, h_n, c_n), (want_out, want_h, want_c), "out, h_n, c_n")
    assert_all_close(got, want, "gradients")


@given(layer_options(), st.integers(1, 7), st.booleans(), BACKENDS)
def test_unbatched(options: dict[str, Any], T: int, with_state: bool, path: hs.engine.dispatch.Backend) -> None:
    ours, theirs = pair(options, T)
    x = torch.randn(T, ours.input_size, dtype=options["dtype"])
    state = None
    if with_state:
        h, c = random_state(ours, 1)
        state = h[:, 0], c[:, 0]
    with hs.backend(path):
        out, (h_n, c_n) = ours(x, state)
    want_out, want_state = theirs(x, state)
    assert_all_close((out, h_n, c_n), (want_out, *want_state))


@given(layer_options(), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_packed(options: dict[str, Any], lengths: list[int], is_sorted: bool, with_state: bool) -> None:
    ours, theirs = pair(options, 1)
    lengths = sorted(lengths, reverse=True) if is_sorted else lengths
    rows = [torch.randn(t, ours.input_size, dtype=options["dtype"], requires_grad=True) for t in lengths]
    packed = pack_sequence(rows, enforce_sorted=is_sorted)
    state = random_state(ours, len(rows), grad=True) if with_state else None
    out, (h_n, c_n) = ours(packed, state)
    want, (want_h, want_c) = theirs(packed, state)
    assert isinstance(out, PackedSequence)
    assert_all_close((out.data, h_n, c_n), (want.data, want_h, want_c))
    for ours_index, theirs_index in zip(out[1:], want[1:], strict=True):
        assert (ours_index is None) == (theirs_index is None)
        assert ours_index is None or torch.equal(ours_index, theirs_index)
    leaves = [*rows, *(state or ())]
    assert_all_close(
        gradients((out.data, h_n, c_n), [*leaves, *ours.parameters()]),
        gradients((want.data, want_h, want_c), [*leaves, *theirs.parameters()]),
        "gradients",
    )


def test_packed_from_padded_batch_first() -> None:
    ours, theirs = pair({"input_size": 4, "hidden_size": 3, "batch_first": True}, 0)
    packed = pack_padded_sequence(torch.randn(3, 5, 4), torch.tensor([2, 5, 1]), True, enforce_sorted=False)
    assert_close(ours(packed)[0].data, theirs(packed)[0].data)


@pytest.mark.parametrize("path", ["auto", "reference"])
def test_dropout_between_layers_is_torchs(path: hs.engine.dispatch.Backend) -> None:
    ours, theirs = pair({"input_size": 4, "hidden_size": 5, "num_layers": 3, "dropout": 0.4, "bidirectional": True}, 0)
    x = torch.randn(6, 3, 4)
    torch.manual_seed(1)
    want = theirs(x)[0]
    torch.manual_seed(1)
    with hs.backend(path):
        got = ours(x)[0]
    assert_close(got, want)
    assert not torch.equal(got, ours(x)[0]), "dropout draws anew at each call"
    with hs.backend(path), torch.no_grad():
        torch.manual_seed(1)
        assert_close(ours(x)[0], want)
        assert_close(ours.eval()(x)[0], theirs.eval()(x)[0])


@pytest.mark.parametrize("path", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dropout_of_ragged_rows_is_torchs(path: hs.engine.dispatch.Backend, dtype: torch.dtype) -> None:
    """A packed sequence draws only for its real steps, in its own order, and so does every path of ours."""
    options = {"input_size": 4, "hidden_size": 5, "num_layers": 3, "dropout": 0.4, "bidirectional": True}
    ours, theirs = pair({**options, "dtype": dtype}, 0)
    x, lengths = torch.randn(6, 4, 4, dtype=dtype), torch.tensor([3, 6, 1, 3])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    torch.manual_seed(1)
    want = theirs(packed)[0].data
    calls = (lambda: ours(packed)[0], lambda: ours.trace(packed).out)
    for call in calls:
        torch.manual_seed(1)
        with hs.backend(path):
            assert_close(call().data, want)
    torch.manual_seed(1)
    with hs.backend(path):
        assert_close(pack_padded_sequence(ours(x, lengths=lengths)[0], lengths, enforce_sorted=False).data, want)


def test_state_dict_goes_both_ways() -> None:
    ours, theirs = pair({"input_size": 4, "hidden_size": 5, "num_layers": 2, "proj_size": 2}, 0)
    other = nn.LSTM(4, 5, 2, proj_size=2)
    ours.load_state_dict(other.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), other.parameters(), strict=True))


def test_state_dict_of_other_sizes_fails() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        hs.LSTM(4, 5).load_state_dict(nn.LSTM(4, 6).state_dict())


def test_copies_and_files(tmp_path: Path) -> None:
    lstm, x = hs.LSTM(4, 5, 2, bidirectional=True), torch.randn(3, 2, 4)
    want = lstm(x)[0]
    file = tmp_path / "lstm.pt"
    torch.save(lstm, file)
    buffer = io.BytesIO()
    torch.save(lstm.state_dict(), buffer)
    buffer.seek(0)
    loaded = hs.LSTM(4, 5, 2, bidirectional=True)
    loaded.load_state_dict(torch.load(buffer))
    copies = [copy.deepcopy(lstm), pickle.loads(pickle.dumps(lstm)), torch.load(file, weights_only=False), loaded]
    assert all(torch.equal(c(x)[0], want) for c in copies)
    with torch.no_grad():
        copies[0].weight_hh_l0.zero_()
    assert torch.equal(lstm(x)[0], want), "a copy shares nothing"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 4e-2)])
@pytest.mark.parametrize("path", ["auto", "reference"])
def test_half_types(dtype: torch.dtype, tolerance: float, path: hs.engine.dispatch.Backend) -> None:
    lstm, x = hs.LSTM(4, 5, 2), torch.randn(3, 2, 4)
    want = lstm(x)[0]
    with hs.backend(path):
        got = lstm.to(dtype)(x.to(dtype))[0]
    assert got.dtype == dtype
    assert (got.float() - want).abs().max() < tolerance


def test_to_double_and_meta() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(3, 2, 4)
    want = lstm(x)[0]
    assert (lstm.double()(x.double())[0] - want).abs().max() < 1e-6
    assert hs.LSTM(4, 5, device="meta", dtype=torch.float64).weight_hh_l0.shape == (20, 5)
    assert hs.LSTM(4, 5).to("meta").weight_hh_l0.is_meta


def test_is_a_module_of_its_own() -> None:
    assert not isinstance(hs.LSTM(4, 3), nn.LSTM)
    hs.LSTM(4, 3).flatten_parameters()


def test_weight_by_name() -> None:
    lstm = hs.LSTM(4, 3, 2, bidirectional=True, proj_size=2)
    stacked = dict(lstm.named_parameters())
    assert torch.equal(lstm.weight("l0.W_if"), stacked["weight_ih_l0"][3:6])
    assert torch.equal(lstm.weight("l1r.b_ho"), stacked["bias_hh_l1_reverse"][9:12])
    assert lstm.weight("l1.W_hr").shape == (2, 3)
    lstm.weight("l0.b_if").data.fill_(1.0)
    assert stacked["bias_ih_l0"][3:6].tolist() == [1, 1, 1], "a view, not a copy"
    with pytest.raises(NameUnknownError, match="no weight 'l0.W_xx'"):
        lstm.weight("l0.W_xx")


BAD_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"hidden_size": 0}, ArgumentError, "hidden_size must be greater than zero"),
    ({"input_size": 0}, ArgumentError, "input_size must be greater than zero"),
    ({"hidden_size": -1}, ArgumentError, "hidden_size must be greater than zero, got -1"),
    ({"hidden_size": 3.0}, ArgumentTypeError, "hidden_size should be of type int, got: float"),
    ({"input_size": "4"}, ArgumentTypeError, "input_size should be of type int, got: str"),
    ({"hidden_size": True}, ArgumentTypeError, "hidden_size should be of type int, got: bool"),
    ({"num_layers": 0}, ArgumentError, "num_layers must be greater than zero"),
    ({"num_layers": 1.5}, ArgumentTypeError, "num_layers should be of type int"),
    ({"bias": 2}, ArgumentTypeError, "bias should be of type bool, got: int 2"),
    ({"bias": 0}, ArgumentTypeError, "bias should be of type bool, got: int 0"),
    ({"batch_first": 1}, ArgumentTypeError, "batch_first should be of type bool, got: int 1"),
    ({"bidirectional": 2}, ArgumentTypeError, "bidirectional should be of type bool, got: int 2"),
    ({"batch_first": None}, ArgumentTypeError, "batch_first should be of type bool"),
    ({"bidirectional": "yes"}, ArgumentTypeError, "bidirectional should be of type bool"),
    ({"dropout": 1.5}, ArgumentError, r"dropout should be a number in range \[0, 1\].*got 1.5"),
    ({"dropout": -0.1}, ArgumentError, "dropout should be a number in range"),
    ({"dropout": float("nan")}, ArgumentError, "dropout should be a number in range"),
    ({"dropout": True}, ArgumentError, "dropout should be a number in range"),
    ({"dropout": "0.5"}, ArgumentError, "dropout should be a number in range"),
    ({"proj_size": 3}, ArgumentError, "proj_size has to be smaller than hidden_size, got 3 and 3"),
    ({"proj_size": -1}, ArgumentError, "proj_size should be a positive integer or zero"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments_fail(bad: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        hs.LSTM(**{"input_size": 4, "hidden_size": 3, **bad})
    assert isinstance(raised.value, ValueError if error is ArgumentError else TypeError)
    assert isinstance(raised.value, hs.HiddenStateError)


def test_dropout_of_one_layer_warns() -> None:
    with pytest.warns(UserWarning, match="non-zero dropout expects num_layers greater than 1"):
        hs.LSTM(4, 3, dropout=0.5)


def test_unknown_backend_fails() -> None:
    with pytest.raises(ArgumentError, match="unknown backend 'fast'"), hs.backend("fast"):  # type: ignore[arg-type]
        pass


def test_backend_is_left_behind() -> None:
    with pytest.raises(KeyError), hs.backend("reference"):
        raise KeyError
    assert not hs.engine.dispatch.uses_reference()
