"""Attributes like those of torch's layers, which other code copies, assigns and pickles."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import HiddenStateError, ShapeError
from support import assert_close

OPTIONS: dict[str, Any] = {
    "input_size": 4, "hidden_size": 3, "num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.25,
    "bidirectional": True, "proj_size": 2,
}  # fmt: skip


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 2, 4)


def test_options_are_plain_attributes_as_torchs() -> None:
    ours, theirs = hs.LSTM(**OPTIONS), nn.LSTM(**OPTIONS)
    for name, value in OPTIONS.items():
        assert vars(ours)[name] == vars(theirs)[name] == value
    cell = hs.LSTMCell(4, 3, bias=False)
    assert (vars(cell)["input_size"], vars(cell)["hidden_size"], vars(cell)["bias"]) == (4, 3, False)


def test_sizes_follow_what_is_assigned(x: Tensor) -> None:
    """As in torch, a size can be assigned, and a call then detects that the weights do not match."""
    lstm = hs.LSTM(4, 3)
    want = lstm(x)[0]
    for name, value in (("hidden_size", 5), ("input_size", 3), ("proj_size", 2), ("num_layers", 2)):
        before = getattr(lstm, name)
        setattr(lstm, name, value)
        assert getattr(lstm.sizes, name) == value
        with pytest.raises(HiddenStateError, match="weight|input"):
            lstm(x)
        setattr(lstm, name, before)
        assert torch.equal(lstm(x)[0], want)
    lstm.bidirectional = True
    with pytest.raises(HiddenStateError, match="weight_ih_l0_reverse is missing"):
        lstm(x)


def test_fewer_layers_may_be_assigned(x: Tensor) -> None:
    """The weights of the first layer still fit."""
    ours, theirs = hs.LSTM(4, 3, 2), nn.LSTM(4, 3, 2)
    theirs.load_state_dict(ours.state_dict())
    ours.num_layers = theirs.num_layers = 1
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])


def test_weights_of_other_shapes_are_refused(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, 2)
    lstm.weight_hh_l1 = nn.Parameter(torch.zeros(12, 5))
    for given in (x, x.double().float()[:, :, :]):
        with pytest.raises(ShapeError, match=r"weight_hh_l1 has shape \[12, 5\], expected \[12, 3\]"):
            lstm(given)
    with hs.backend("reference"), pytest.raises(ShapeError, match=r"weight_hh_l1 has shape \[12, 5\]"):
        lstm(x)


def test_no_size_is_said_when_it_is_used() -> None:
    lstm: Any = hs.LSTM(4, 3)
    lstm.hidden_size = "three"
    with pytest.raises(HiddenStateError, match="hidden_size should be of type int, got: str"):
        _ = lstm.sizes


def test_a_copy_of_all_attributes_is_a_layer(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, 2)
    other = hs.LSTM.__new__(hs.LSTM)
    vars(other).update(vars(lstm))
    assert torch.equal(other(x)[0], lstm(x)[0])
    other.hidden_size = 5
    assert lstm.sizes.hidden_size == 3


def test_members_of_the_class_can_be_copied_to_a_class_of_torchs() -> None:
    """TorchRL makes its base class this way."""

    class Base(nn.RNNBase):
        def __init__(self, *args: Any) -> None:
            super().__init__("LSTM", *args)

    for name, value in vars(hs.LSTM).items():
        if name not in vars(Base):
            setattr(Base, name, value)
    assert Base(4, 3).hidden_size == 3


@pytest.mark.parametrize("way", [copy.deepcopy, lambda lstm: pickle.loads(pickle.dumps(lstm))])
def test_an_older_layer_had_no_projections(way: Any, x: Tensor) -> None:
    """As in torch's own tests."""
    lstm = hs.LSTM(4, 3)
    del vars(lstm)["proj_size"]
    other = way(lstm)
    assert other.proj_size == 0
    assert torch.equal(other(x)[0], lstm(x)[0])


@pytest.mark.parametrize("made", [hs.LSTM(4, 3, 2, bidirectional=True, proj_size=2), hs.LSTMCell(4, 3)])
def test_a_whole_layer_is_loaded_where_its_class_alone_is_allowed(made: nn.Module, x: Tensor) -> None:
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    with torch.serialization.safe_globals([type(made)]):
        loaded = torch.load(file, weights_only=True)
    assert type(loaded) is type(made)
    given = x if isinstance(made, hs.LSTM) else x[0]
    assert torch.equal(loaded(given)[0], made(given)[0])
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")
@pytest.mark.parametrize("made", [hs.LSTM(4, 3, 2, batch_first=True, bidirectional=True), hs.LSTMCell(4, 3)])
def test_scripted_it_is_torchs_layer_with_the_same_parameters(made: Any, x: Tensor) -> None:
    given = x if isinstance(made, hs.LSTM) else x[0]
    model = nn.Sequential(made)
    with pytest.warns(UserWarning, match=r"torch.jit.script does not support hiddenstate's LSTM.*hs.convert"):
        scripted = torch.jit.script(model)
    assert_close(scripted(given)[0], made(given)[0])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.25)
    assert_close(scripted(given)[0], made(given)[0])
    assert isinstance(model[0], (nn.LSTM, nn.LSTMCell))  # as the warning says
    hs.convert(model, inplace=True)
    assert type(model[0]) is type(made)
    assert_close(model(given)[0], made(given)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_module_takes_torchs_layer_alone(x: Tensor) -> None:
    jit: Any = torch.jit  # some versions of torch have no types for this

    class Old(torch.jit.ScriptModule):
        def __init__(self, lstm: nn.Module) -> None:
            super().__init__()
            self.lstm = lstm

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0]  # type: ignore[no-any-return]

        forward = jit.script_method(forward)

    lstm = hs.LSTM(4, 3)
    with pytest.raises((RuntimeError, TypeError, jit.frontend.FrontendError)):
        Old(lstm)
    assert_close(Old(lstm.to_torch())(x), lstm(x)[0])


def test_what_torch_lacks_is_not_scripted() -> None:
    lstm = hs.LSTM(4, 3)
    vars(lstm)["forward"] = nn.Identity().forward
    with pytest.raises(HiddenStateError, match="its forward was replaced on the module itself"):
        torch.jit.script(lstm)


def test_torchs_classes_are_found_where_ours_stand_in_their_place(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> None:
    torchs = nn.LSTM
    monkeypatch.setattr(nn, "LSTM", hs.LSTM)
    lstm: Any = nn.LSTM(4, 3)
    assert type(lstm.to_torch()) is torchs
    assert type(hs.convert_back(lstm)) is torchs
    assert type(hs.from_torch(lstm.to_torch())) is hs.LSTM
    assert_close(hs.convert_back(lstm)(x)[0], lstm(x)[0])
