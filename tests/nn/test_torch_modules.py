"""torch's modules to ours and back: nothing is lost."""

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import nn
from torch.nn.utils import parametrizations, prune

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from support import assert_close, layer_options, random_input


@given(layer_options())
def test_there_and_back(options: dict[str, Any]) -> None:
    theirs = nn.LSTM(**options)
    ours = hs.from_torch(theirs)
    back = ours.to_torch()
    assert repr(theirs) == repr(back)
    for a, b, c in zip(theirs.parameters(), ours.parameters(), back.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        assert a.data_ptr() != b.data_ptr()
        assert a.data_ptr() != c.data_ptr()
    x = random_input(ours, 3, 2)
    assert torch.equal(back(x)[0], theirs(x)[0])


class Changed(nn.LSTM):
    def forward(self, *inputs: Any) -> Any:
        lstm: Any = super()
        return lstm.forward(*inputs)


class Named(nn.LSTM):
    """A subclass that only differs in name."""


def test_shared_parameters_and_plain_subclasses() -> None:
    theirs = Named(4, 3)
    theirs.bias_hh_l0 = theirs.bias_ih_l0
    ours = hs.from_torch(theirs)
    x = torch.randn(2, 1, 4)
    assert_close(ours(x)[0], theirs(x)[0])
    assert hs.from_torch(nn.LSTM(4, 3, bidirectional=1)).bidirectional is True
    theirs.batch_first = 1  # type: ignore[assignment]  # older versions of torch accept it
    assert hs.from_torch(theirs).batch_first is True


def test_cell_there_and_back() -> None:
    theirs = nn.LSTMCell(4, 3, bias=False, dtype=torch.float64)
    back = hs.from_torch(theirs).to_torch()
    x = torch.randn(2, 4, dtype=torch.float64)
    assert repr(back) == repr(theirs)
    assert torch.equal(back(x)[0], theirs(x)[0])


def test_mode_grad_flags_and_random_state_are_kept() -> None:
    theirs = nn.LSTM(4, 3, 2, dropout=0.5).eval()
    theirs.weight_hh_l1.requires_grad_(False)
    before = torch.get_rng_state()
    ours = hs.from_torch(theirs)
    assert torch.equal(torch.get_rng_state(), before)
    assert not ours.training
    assert ours.dropout == 0.5
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in theirs.parameters()]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_attributes_set_on_the_module_are_kept(kind: type[nn.Module]) -> None:
    theirs, names = kind(4, 3), ["a", "b"]
    theirs.label, theirs.names, theirs.mean, theirs._group = "encoder", names, torch.ones(4), 2  # type: ignore[assignment]
    ours = hs.from_torch(theirs)  # type: ignore[call-overload]
    back = ours.to_torch()
    for module in (ours, back, copy.deepcopy(ours)):
        assert (module.label, module.names, module._group) == ("encoder", names, 2)
        assert torch.equal(module.mean, torch.ones(4))
    assert back.names is ours.names is names
    assert vars(back).keys() == vars(theirs).keys()
    assert list(back.state_dict()) == list(theirs.state_dict())


def test_settings_that_torch_lacks_are_left_out() -> None:
    ours = hs.LSTM(4, 64, weights="int8").eval()
    ours.recompute_gates, ours.label = True, "encoder"
    ours(torch.zeros(3, 1, 4))
    for theirs in (ours.to_torch(), hs.convert_back(ours, inplace=True)):
        assert vars(theirs).keys() - vars(nn.LSTM(4, 64)).keys() == {"label"}
        assert pickle.loads(pickle.dumps(theirs)).label == "encoder"
        assert isinstance(hs.convert(theirs, strict=True), hs.LSTM)


def _hooked(register: str) -> nn.LSTM:
    lstm = nn.LSTM(4, 3)
    getattr(lstm, register)(lambda *_: None)
    return lstm


@pytest.mark.parametrize(
    "register",
    [
        "register_state_dict_pre_hook",
        "register_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_load_state_dict_post_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_hooks_are_refused_and_kept_by_a_conversion(register: str) -> None:
    theirs = _hooked(register)
    with pytest.raises(ArgumentError, match="has hooks, which a copy would lose"):
        hs.from_torch(theirs)
    hooks = {name: value for name, value in vars(theirs).items() if name.endswith("_hooks") and value}
    ours = hs.convert(theirs, inplace=True)
    assert isinstance(ours, hs.LSTM)
    assert all(vars(ours)[name] is value for name, value in hooks.items())
    with pytest.raises(ArgumentError, match="has hooks, which a copy would lose"):
        ours.to_torch()


def test_other_modules_fail() -> None:
    with pytest.raises(ArgumentTypeError, match="from_torch takes one of torch.nn.LSTM, .*, got torch.nn.Linear"):
        hs.from_torch(nn.Linear(4, 3))  # type: ignore[call-overload]
    pruned = prune.l1_unstructured(nn.LSTM(4, 3), "weight_hh_l0", amount=0.5)
    hooked = nn.LSTM(4, 3)
    hooked.register_forward_hook(lambda *_: None)
    extended = nn.LSTM(4, 3)
    extended.register_buffer("count", torch.zeros(1))
    mixed = nn.LSTM(4, 3)
    mixed.weight_hh_l0.data = mixed.weight_hh_l0.data.double()
    replaced = nn.LSTM(4, 3)
    vars(replaced)["forward"] = nn.Identity().forward
    hidden = nn.LSTM(4, 3)
    hidden.register_buffer("count", torch.zeros(1), persistent=False)
    nested = nn.LSTM(4, 3)
    nested.inner = nn.Dropout()
    clashing = nn.LSTM(4, 3)
    clashing.stream = 3
    for module, message in (
        (pruned, "has hooks, which a copy would lose"),
        (hooked, "has hooks, which a copy would lose"),
        (extended, r"parameters or buffers that do not match its options \(count\)"),
        (hidden, "has submodules or buffers that a copy would lose: count"),
        (nested, "has submodules or buffers that a copy would lose: inner"),
        (clashing, "has attributes that hs.LSTM uses itself: stream"),
        (mixed, "has parameters of several types"),
        (Changed(4, 3), "has its own forward"),
        (replaced, "has its own forward"),
    ):
        with pytest.raises(ArgumentError, match=message):
            hs.from_torch(module)
    with pytest.raises(ArgumentError, match="has parametrizations, which a copy would lose"):
        hs.from_torch(parametrizations.weight_norm(nn.LSTM(4, 3), "weight_hh_l0"))
