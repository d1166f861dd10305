"""Invalid int8 weights: each replacement is either used or rejected with one of our errors."""

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, DeviceError, DtypeError, HiddenStateError

STORED = ["weight_ih_l0", "weight_hh_l1_scale", "bias_hh_l0"]
X = torch.zeros(5, 2, 20)

# Replacements for a tensor.
OTHERS: dict[str, Callable[[Tensor], Any]] = {
    "nothing": lambda value: None,
    "a parameter": lambda value: nn.Parameter(value.clone(), requires_grad=False),
    "freed": lambda value: resized(value, 0),
    "cut": lambda value: resized(value, value.nbytes // 2),
    "float64": Tensor.double,
    "float16": Tensor.half,
    "int32": Tensor.int,
    "bool": Tensor.bool,
    "complex": lambda value: value.to(torch.complex64),
    "meta": lambda value: value.to("meta"),
    "sparse": Tensor.to_sparse,
    "transposed": lambda value: value.t().contiguous().t(),
    "of twice the columns": lambda value: value.repeat_interleave(2, -1),
    "empty": lambda value: value[:0],
    "a number": lambda value: value.flatten()[0],
    "of one axis more": lambda value: value[None],
    "a row short": lambda value: value[:-1],
    "expanded": lambda value: value.flatten()[:1].expand(value.shape),
    "every second": lambda value: torch.cat([value, value], -1)[..., ::2],
    "NaN": lambda value: filled(value, float("nan")),
    "infinite": lambda value: filled(value, float("inf")),
    "zero": lambda value: filled(value, 0),
    "negative": lambda value: filled(value, -128),
    "large": lambda value: filled(value, 3e38),
    "tiny": lambda value: filled(value, 1e-45),
}
ACTIONS: dict[str, Callable[[hs.LSTM], object]] = {
    "call": lambda lstm: lstm(X),
    "trace": lambda lstm: lstm.trace(X),
    "stream": lambda lstm: lstm.stream(batch=2).step(X[0]),
    "path": lambda lstm: lstm.path(X),
    "dequantize": hs.LSTM.dequantize,
    "quantize": hs.LSTM.quantize,
    "weight": lambda lstm: [lstm.weight("l0.W_if"), lstm.weight("l1.W_ho")],
    "reset_parameters": hs.LSTM.reset_parameters,
}


def resized(value: Tensor, size: int) -> Tensor:
    value = value.clone()
    value.untyped_storage().resize_(size)
    return value


def filled(value: Tensor, number: float) -> Tensor:
    if not value.is_floating_point():
        number = max(-128, min(127, number)) if abs(number) >= 1 else 0
    return torch.full_like(value, number)


@pytest.fixture(scope="module", params=[0, 5], ids=["plain", "projection"])
def small(request: pytest.FixtureRequest) -> hs.LSTM:
    torch.manual_seed(0)
    return hs.LSTM(20, 48, 2, proj_size=request.param).eval().quantize()


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", STORED)
def test_whatever_is_put_in_their_place_is_computed_with_or_refused(small: hs.LSTM, name: str, other: str) -> None:
    for act in ACTIONS.values():
        broken = copy.deepcopy(small)
        setattr(broken, name, OTHERS[other](getattr(broken, name)))
        with torch.no_grad(), suppress(HiddenStateError):
            act(broken)


@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", STORED)
def test_a_state_dict_with_whatever_in_it_is_loaded_or_refused(
    small: hs.LSTM, name: str, other: str, weights: Any
) -> None:
    state = small.state_dict()
    if other not in ("freed", "cut"):  # torch copies them, with or without a warning
        state[name] = OTHERS[other](state[name])
    lstm = hs.LSTM(20, 48, 2, proj_size=small.proj_size, weights=weights).eval()
    try:
        lstm.load_state_dict(state)
    except HiddenStateError:
        return
    except RuntimeError as error:
        if "Error(s) in loading state_dict" not in str(error):  # torch's error about keys and shapes
            raise
        return
    with torch.no_grad():
        assert lstm(X)[0].shape == (5, 2, small.proj_size or 48)


def test_what_is_wrong_is_said(small: hs.LSTM) -> None:
    state = small.state_dict()
    scale, matrix = state["weight_hh_l0_scale"], state["weight_ih_l0"]
    with pytest.raises(DtypeError, match=r"weight_hh_l0_scale has dtype torch\.int32, expected a floating-point type"):
        small.load_state_dict({**state, "weight_hh_l0_scale": scale.int()})
    floats = hs.LSTM(20, 48, 2, proj_size=small.proj_size)
    with pytest.raises(DtypeError, match=r"the scale of weight_hh_l0 has the layout torch\.sparse_coo"):
        floats.load_state_dict({**state, "weight_hh_l0_scale": scale.to_sparse()})
    with pytest.raises(DtypeError, match=r"weight_ih_l0 has the layout torch\.sparse_coo"):
        small.load_state_dict({"weight_ih_l0": matrix.float().to_sparse()}, strict=False)
    with pytest.raises(DeviceError, match="weight_ih_l0 is on meta and its scale on cpu"):
        floats.load_state_dict({**state, "weight_ih_l0": matrix.to("meta")})


def test_what_fails_to_become_floats_stays_as_it_is(small: hs.LSTM) -> None:
    """For example, if a parameter replaced the last buffer."""
    broken: Any = copy.deepcopy(small)
    before = broken.weight_ih_l0
    broken.bias_hh_l1 = nn.Parameter(broken.bias_hh_l1.clone(), requires_grad=False)
    with pytest.raises(ArgumentError, match="bias_hh_l1 is missing"):
        broken.reset_parameters()
    assert broken.weight_ih_l0 is before
    assert broken.weight_format == "int8"


@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_hh_l0"])
def test_what_was_freed_is_not_rounded(name: str) -> None:
    lstm = hs.LSTM(20, 48)
    getattr(lstm, name).data.untyped_storage().resize_(0)  # for all weights, contiguous or not
    with pytest.raises(DtypeError, match="its memory was freed"):
        lstm.quantize()
    theirs = nn.LSTM(20, 48)
    getattr(theirs, name).data.untyped_storage().resize_(0)
    with suppress(HiddenStateError):
        hs.convert(nn.ModuleList([theirs]), weights="int8")
