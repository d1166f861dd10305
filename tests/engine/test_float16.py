"""Calls in float16, which the engine computes in float32, against the same weights in double precision."""

from typing import Any

import pytest
import torch
from hypothesis import given

import hiddenstate as hs
from support import LAYERS, Call, calls, gradients, pair, share

RESULTS = 1.01 * 2**-11  # they are rounded once, to 11 significant bits
GRADIENTS = 2**-10  # so are they, and what reaches them


@given(calls())
def test_results_and_gradients_are_rounded_once(call: Call) -> None:
    narrow, wide = call.lstm(torch.float16), call.lstm(torch.float16).double()
    leaves = [value.detach().requires_grad_() for value in call.inputs(torch.float16)]
    results = []
    for lstm, (x, h0, c0) in ((narrow, leaves), (wide, [value.detach().double().requires_grad_() for value in leaves])):
        out, final = lstm(x, (h0, c0), **call.given())
        values = [out, *final]
        results.append((values, gradients(values, [x, h0, c0, *lstm.parameters()])))
    (values, of_narrow), (want, of_wide) = results
    assert {value.dtype for value in (*values, *of_narrow)} == {torch.float16}
    x, h0, c0 = leaves
    is_native = narrow.path(x, (h0, c0), **call.given()).name == "native float16"
    assert is_native or x.shape[0] * x.shape[1] < 8
    assert max(share(a, b) for a, b in zip(values, want, strict=True)) <= (RESULTS if is_native else 0.01)
    assert max(share(a, b) for a, b in zip(of_narrow, of_wide, strict=True)) <= (GRADIENTS if is_native else 0.02)


@pytest.mark.parametrize("kind", LAYERS)
def test_traces_edits_and_autocast(kind: Any) -> None:
    narrow, wide, full = kind(7, 65, 2).half(), kind(7, 65, 2).double(), kind(7, 65, 2)
    wide.load_state_dict(narrow.state_dict())
    full.load_state_dict(narrow.state_dict())
    x = torch.randn(17, 3, 7).half()
    traces = []
    for lstm, values in ((narrow, x), (wide, x.double())):
        with lstm.edit(hs.zero("l0.h", unit=2), hs.add("l1.h", value=0.5, t=1)):
            traces.append(lstm.trace(values))
    got, want = traces
    assert {value.dtype for value in got.values.values()} == {torch.float16}
    assert not got["l0.h"][..., 2].any()
    assert max(share(got[name], want[name]) for name in want.names) <= RESULTS
    with torch.autocast("cpu", torch.float16):
        assert full.path(x.float()).name == "native float16"
        out, _ = full(x.float().requires_grad_())
    assert out.dtype is (torch.float32 if kind is hs.GRU else torch.float16), "as from torch's layer"
    assert share(out, wide(x.double())[0]) <= RESULTS
    out.float().sum().backward()
    assert {weight.grad.dtype for weight in full.parameters() if weight.grad is not None} == {torch.float32}


def test_sums_may_pass_the_range_of_float16() -> None:
    layer = hs.RNN(3, 5, nonlinearity="relu", bias=False).half()
    layer.load_state_dict({"weight_ih_l0": torch.tensor([[1.0, 1.0, -1.0]] * 5), "weight_hh_l0": torch.zeros(5, 5)})
    out, _ = layer(torch.full((9, 2, 3), 6e4).half())  # 60000 + 60000 - 60000
    assert torch.equal(out, torch.full((9, 2, 5), 6e4).half())


def test_dropout_is_drawn_as_torch_draws_it_in_float16() -> None:
    ours, theirs = pair({"input_size": 3, "hidden_size": 5, "num_layers": 3, "dropout": 0.4, "dtype": torch.float16}, 0)
    x = torch.randn(9, 4, 3).half()
    results = []
    for lstm in (ours, theirs):
        torch.manual_seed(5)
        results.append(lstm(x)[0])
    assert share(*results) <= 0.01


def test_short_plain_calls_are_torchs() -> None:
    lstm = hs.LSTM(4, 3).half()
    report = lstm.path(torch.zeros(7, 1, 4).half())
    assert report.name == "torch"
    assert "7 steps of 1 rows" in report.reasons["native float16"]
    assert lstm.path(torch.zeros(8, 1, 4).half()).name == "native float16"
    assert lstm.trace(torch.zeros(3, 1, 4).half())["l0.f"].dtype is torch.float16
