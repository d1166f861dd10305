"""torch's modules to ours and back: nothing is lost."""

import copy
import pickle
from threading import Lock
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
    assert back.names is not names
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


@pytest.mark.parametrize(
    "register",
    [
        "register_state_dict_pre_hook",
        "register_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_load_state_dict_post_hook",
        "register_full_backward_pre_hook",
        "register_forward_hook",
    ],
)
def test_hooks_are_kept_apart(register: str) -> None:
    theirs = nn.LSTM(4, 3)
    getattr(theirs, register)(lambda *_: None)
    hooks = {name: len(value) for name, value in vars(theirs).items() if name.endswith("_hooks")}
    ours = hs.from_torch(theirs)
    for module in (ours, ours.to_torch()):
        assert {name: len(vars(module)[name]) for name in hooks} == hooks
        getattr(module, register)(lambda *_: None)
    assert {name: len(vars(theirs)[name]) for name in hooks} == hooks


def test_parametrizations_buffers_and_submodules_are_kept_apart() -> None:
    theirs = parametrizations.weight_norm(nn.LSTM(4, 3), "weight_hh_l0")
    theirs.register_buffer("count", torch.zeros(1), persistent=False)
    theirs.inner = nn.Linear(1, 1)
    x = torch.randn(2, 1, 4)
    ours = hs.from_torch(theirs)
    for module in (ours, ours.to_torch()):
        assert_close(module(x)[0], theirs(x)[0])
        assert list(module.state_dict()) == list(theirs.state_dict())
        assert module.inner is not theirs.inner
        for mine, own in zip(module.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, own)
            assert mine.data_ptr() != own.data_ptr()


class Extended(hs.LSTM):
    def encode(self) -> None: ...


def test_other_modules_fail() -> None:
    with pytest.raises(ArgumentTypeError, match="from_torch takes one of torch.nn.LSTM, .*, got torch.nn.Linear"):
        hs.from_torch(nn.Linear(4, 3))  # type: ignore[call-overload]
    pruned = prune.l1_unstructured(nn.LSTM(4, 3), "weight_hh_l0", amount=0.5)
    replaced = nn.LSTM(4, 3)
    vars(replaced)["forward"] = nn.Identity().forward
    clashing = nn.LSTM(4, 3)
    clashing.stream = 3
    locked = nn.LSTM(4, 3)
    locked.lock = Lock()
    for module, message in (
        (pruned, "this LSTM can't be converted to hs.LSTM: Only Tensors created explicitly by the user"),
        (locked, "this LSTM can't be converted to hs.LSTM: cannot pickle '_thread.lock' object"),
        (clashing, "it has attributes that hs.LSTM uses itself: stream"),
        (Changed(4, 3), "a subclass, Changed, that adds members: forward"),
        (replaced, "its forward was replaced on the module itself"),
    ):
        with pytest.raises(ArgumentError, match=message):
            hs.from_torch(module)
    with pytest.raises(ArgumentError, match="a subclass, Extended, that adds members: encode"):
        Extended(4, 3).to_torch()
