"""LSTMs out of state dicts and files of torch's: the numbers are those of the module that was saved."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DtypeError,
    FileFormatError,
    NameUnknownError,
    ShapeError,
)
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
    cell = from_state_dict(theirs.state_dict(), cell=True)
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


def old_weight_norm(lstm: nn.LSTM, dim: int | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's older weight norm is deprecated, and files with it are not
        for name in ("weight_hh_l0", "weight_ih_l0"):
            weight_norm(lstm, name, dim)  # type: ignore[arg-type]


def new_weight_norm(lstm: nn.LSTM, dim: int | None) -> None:
    for name in ("weight_hh_l0", "weight_ih_l0"):
        parametrizations.weight_norm(lstm, name, dim)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", [old_weight_norm, new_weight_norm])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("sizes", [(4, 3), (1, 3), (4, 1)])
def test_weight_norm_is_folded(
    norm: Callable[[nn.LSTM, int | None], None], dim: int | None, sizes: tuple[int, int]
) -> None:
    theirs = nn.LSTM(*sizes)
    norm(theirs, dim)
    for parameter in theirs.parameters():
        parameter.data *= 1.5
    x = torch.randn(3, 2, sizes[0])
    assert_close(from_state_dict(theirs.state_dict())(x)[0], theirs(x)[0])


def save_torch(state: Any, path: Path) -> None:
    torch.save(state, path)


def save_torch_old(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "save"),
    [("a.pt", save_torch), ("a.pth", save_torch), ("a.bin", save_torch_old), ("a.safetensors", save_file)],
)
def test_files(tmp_path: Path, name: str, save: Callable[[Any, Path], None]) -> None:
    theirs = model()
    save(theirs.state_dict(), tmp_path / name)
    found = in_state_dict(tmp_path / name)
    assert str(found).startswith(f"{tmp_path / name} holds 3 LSTMs")
    for key, value in found["encoder.0"].state_dict().items():
        assert torch.equal(value, theirs.state_dict()[f"encoder.0.{key}"])
    assert from_state_dict(str(tmp_path / name), "decoder").proj_size == 2


def test_several_none_and_unknown_fail() -> None:
    state = model().state_dict()
    listed = re.escape("'encoder.0': LSTM(4, 3, num_layers=2, bidirectional=True)")
    with pytest.raises(ArgumentError, match=f"(?s)holds 3 LSTMs.*{listed}.*Choose one with prefix="):
        from_state_dict(state)
    with pytest.raises(NameUnknownError, match=f"(?s)no LSTM 'coder': .*{listed}"):
        from_state_dict(state, "coder")
    with pytest.raises(NameUnknownError, match="this state dict holds no LSTMs"):
        from_state_dict({"weight": torch.zeros(2)})
    with pytest.raises(NameUnknownError, match="'a' is none: it is a GRU"):
        from_state_dict(nn.ModuleDict({"a": nn.GRU(4, 3)}).state_dict())
    with pytest.raises(ArgumentTypeError, match="got LSTM; give its state_dict"):
        from_state_dict(nn.LSTM(4, 3))  # type: ignore[call-overload]


def test_other_recurrent_layers_fail() -> None:
    state = model().state_dict()
    for prefix, message in (
        ("gru", r"'gru' in this state dict is no LSTM: it is a GRU: its weight_hh is [3H, H] = [9, 3], not [4H, H]"),
        ("rnn", r"it is a plain RNN: its weight_hh is [H, H] = [12, 12], not [4H, H]"),
    ):
        with pytest.raises(ArgumentError, match=re.escape(message)):
            from_state_dict(state, prefix)


def test_tensors_missing_or_of_wrong_shape_fail() -> None:
    state = nn.LSTM(4, 3, 3, bidirectional=True).state_dict()
    without = {key: value for key, value in state.items() if "_l1_reverse" not in key}
    with pytest.raises(NameUnknownError, match="has tensors of l0, l0r, l1, l2, l2r, and none of l1r"):
        from_state_dict(without)
    for key in state:
        with pytest.raises((NameUnknownError, ShapeError)):
            from_state_dict({k: v for k, v in state.items() if k != key})
        with pytest.raises(ShapeError):
            from_state_dict({**state, key: state[key].repeat_interleave(2, dim=-1)})
    with pytest.raises(ShapeError, match=r"weight_ih of l1 has shape \[12, 5\], expected \[12, 6\]"):
        from_state_dict({**state, "weight_ih_l1": torch.zeros(12, 5)})
    with pytest.raises(DtypeError, match="must be floats of one type"):
        from_state_dict({**state, "weight_ih_l1": torch.zeros(12, 6).double()})
    with pytest.raises(DtypeError, match="weights of l1 are torch.float64, those of the first layer torch.float32"):
        from_state_dict({k: v.double() if "_l1" in k else v for k, v in state.items()})
    with pytest.raises(ArgumentError, match="l0 and l2 must both have biases, or neither"):
        from_state_dict({k: v for k, v in state.items() if not k.startswith("bias") or "_l2" not in k})


def test_cells_of_more_than_a_layer_fail() -> None:
    for options in ({"num_layers": 2}, {"bidirectional": True}, {"proj_size": 2}):
        with pytest.raises(
            ArgumentError, match="an LSTMCell has one layer, one direction and no projection, and this is"
        ):
            from_state_dict(nn.LSTM(4, 3, **options).state_dict(), cell=True)


def orthogonal(lstm: nn.LSTM) -> nn.Module:
    return parametrizations.orthogonal(lstm, "weight_hh_l0")


def pruned(lstm: nn.LSTM) -> nn.Module:
    return prune.l1_unstructured(lstm, "weight_hh_l0", amount=0.5)  # type: ignore[no-any-return]


def spectral(lstm: nn.LSTM) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        return spectral_norm(lstm, "weight_hh_l0")


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (orthogonal, "parametrizations.weight_hh_l0.0.base"),
        (pruned, "weight_hh_l0_mask"),
        (spectral, "weight_hh_l0_v"),
    ],
)
def test_other_parametrizations_fail(change: Callable[[nn.LSTM], nn.Module], left: str) -> None:
    with pytest.raises(ArgumentError, match=f"a parametrization that is not known here .*it left {left}"):
        from_state_dict(change(nn.LSTM(4, 3)).state_dict())


def test_weight_norm_that_does_not_fit_fails() -> None:
    theirs = nn.LSTM(4, 3)
    new_weight_norm(theirs, 0)
    state = theirs.state_dict()
    state["parametrizations.weight_hh_l0.original0"] = torch.ones(3, 1)
    with pytest.raises(ArgumentError, match="it left parametrizations.weight_hh_l0.original"):
        from_state_dict(state)


class Payload:
    """Something that would run code if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


def test_files_that_hold_code_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(nn.LSTM(4, 3), "module.pt")
    with pytest.raises(
        FileFormatError, match="module.pt holds a pickled torch.nn.modules.rnn.LSTM, and not just tensors"
    ):
        from_state_dict("module.pt")
    torch.save({"lstm": nn.LSTM(4, 3).state_dict(), "more": Payload()}, "payload.pt")
    with pytest.raises(FileFormatError, match="reading it would run code out of the file"):
        from_state_dict("payload.pt")
    assert not Path("unpickled").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(nn.LSTM(4, 3)), "script.pt")
        with pytest.raises(FileFormatError, match="holds a TorchScript program"):
            from_state_dict("script.pt")


def test_files_that_are_none_fail(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save(nn.LSTM(4, 3).state_dict(), whole)
    for name, content in (
        ("cut.pt", whole.read_bytes()[:-200]),
        ("empty.pt", b""),
        ("text.bin", b"hello world"),
        ("zip.pt", b"PK\x03\x04 and no more"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{name} is not a file of torch.save, or is damaged"):
            from_state_dict(tmp_path / name)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes())
    with pytest.raises(FileFormatError, match="cut.safetensors is not a safetensors file, or is damaged"):
        from_state_dict(tmp_path / "cut.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(FileFormatError, match="list.pt holds a list, expected a state dict"):
        from_state_dict(tmp_path / "list.pt")
    with pytest.raises(FileNotFoundError, match="no such file"):
        from_state_dict(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file"):
        from_state_dict(tmp_path)
