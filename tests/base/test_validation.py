from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.base.messages import shorten
from hiddenstate.base.validation import check_memory, check_tensor
from hiddenstate.errors import DeviceError, DtypeError

LIKE = torch.zeros(3)


def nested() -> Tensor:
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.zeros(2, 3).to_sparse(),
            "x has the layout torch.sparse_coo, expected torch.strided: convert it with .to_d",
        ),
        (lambda: torch.zeros(2, 3).to_mkldnn(), "x has the layout torch._mkldnn, expected torch.strided"),
        (nested, "x is a nested tensor, expected a plain one: pad it .* and give lengths="),
        (
            lambda: torch.zeros(2).double(),
            r"x dtype \(torch.float64\) .* Convert x: x.to\(torch.float32\), or convert model: model.to",
        ),
        (
            lambda: torch.zeros(2).long(),
            r"x dtype \(torch.int64\) does not match .* \(torch.float32\)\. Convert x: x.to\(torch.float32\)$",
        ),
    ],
)
def test_tensor_fails(make: Callable[[], Tensor], message: str) -> None:
    value = make()
    with pytest.raises(DtypeError, match=message):
        check_tensor(value, "x", LIKE)
    with torch.autocast("cpu", torch.bfloat16):
        if value.dtype is not torch.float64:
            with pytest.raises(DtypeError, match=message):
                check_tensor(value, "x", LIKE)


def test_memory() -> None:
    whole = torch.zeros(4, 3)
    for value in (whole, whole[1:, ::2], whole.expand(2, 4, 3), whole[:0], whole.T, torch.zeros(3, device="meta")):
        check_memory(value, "x")
    last, empty = whole[2:], whole[:, :0]
    whole.untyped_storage().resize_(30)
    check_memory(empty, "x")
    check_memory(whole[:2], "x")
    with pytest.raises(
        DtypeError, match="x has shape .2, 3., and its memory was freed: its storage has 30 bytes, but 48 are"
    ):
        check_memory(last, "x")


def test_numbers_that_are_on_no_device() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    with pytest.raises(
        DeviceError, match="lengths are on the meta device, which has no values, but the input is on cpu"
    ):
        lstm(x, lengths=torch.tensor([5, 2], device="meta"))


def test_shown() -> None:
    assert shorten("a" * 10**6).count("a") < 100
    assert shorten(10**5000) == "an int of 16610 bits"
    freed = torch.zeros(3)
    freed.untyped_storage().resize_(0)
    assert shorten([freed, 1]) == "[<a tensor of torch.float32>, 1]"
    assert len(shorten(np.zeros((100, 100)))) < 200
