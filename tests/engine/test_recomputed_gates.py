"""Gates that the backward pass recomputes instead of saving: the same numbers, bit for bit, and less memory."""

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentTypeError
from support import NEEDS_INDUCTOR, Call, assert_all_close, calls, draws, gradients

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
EDITS = [
    hs.scale("l0.f", by=0.5, unit=0),
    hs.set("l0.c", to=0.25, t=0),
    hs.add("l0.i_pre", value=0.3),
    hs.set("l0.o_pre", to=0.7, row=0),
    hs.scale("l0.g", by=-0.5),
    hs.add("l0.h", value=0.1, t=0),
]


def results(call: Call, dtype: torch.dtype, *, recompute: bool, **options: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final states of a call, and their gradients, with a graph that is used twice."""
    lstm, (x, h0, c0) = call.lstm(dtype), call.inputs(dtype)
    lstm.recompute_gates, lstm.dropout = recompute, options.get("dropout", 0.0)
    given_too, leaves = call.given(), [x, h0, c0, *lstm.parameters()]
    if call.borders and options.get("to_states"):
        given_too["reset_to"] = (h0, c0)
    torch.manual_seed(call.seed)
    with lstm.train(options.get("training", True)).edit(*options.get("edits", ())):
        out, state = lstm(x, (h0, c0), **given_too)
    found = [gradients([out, *state], leaves) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    return [out, *state], list(found[0])


def assert_alike(call: Call, dtype: torch.dtype, **options: Any) -> None:
    kept, again = (results(call, dtype, recompute=recompute, **options) for recompute in (False, True))
    for a, b in zip((*kept[0], *kept[1]), (*again[0], *again[1]), strict=True):
        assert torch.equal(a, b)


@settings(max_examples=draws(60))
@given(
    calls(),
    st.sampled_from(DTYPES),
    st.fixed_dictionaries(
        {
            "edits": st.sampled_from([(), EDITS]),
            "to_states": st.booleans(),
            "training": st.booleans(),
            "dropout": st.sampled_from([0.0, 0.3]),
        }
    ),
)
def test_gradients_are_those_of_kept_gates(call: Call, dtype: torch.dtype, options: dict[str, Any]) -> None:
    assert_alike(call, dtype, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "call",
    [
        Call(T=230, N=2, C=19, H=65, L=1, seed=0, bidirectional=True),
        Call(T=900, N=1, C=3, H=17, L=2, seed=1),
        Call(T=3, N=400, C=5, H=33, L=1, seed=2, ragged=True),
        Call(T=60, N=40, C=17, H=48, L=2, seed=3, ragged=True, borders=True, projects=True),
    ],
)
def test_many_steps_and_rows(call: Call, dtype: torch.dtype) -> None:
    """More than are recomputed at a time."""
    assert_alike(call, dtype, edits=EDITS)


@pytest.mark.parametrize("threads", [1, 2])
def test_they_are_the_references(threads: int) -> None:
    call = Call(T=70, N=9, C=5, H=65, L=2, seed=4, bidirectional=True, ragged=True, borders=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        values, found = results(call, torch.float64, recompute=True, edits=EDITS)
    finally:
        torch.set_num_threads(before)
    with hs.backend("reference"):
        want_values, want = results(call, torch.float64, recompute=True, edits=EDITS)
    assert_all_close(values, want_values, "values")
    assert_all_close(found, want, "gradients")


def saved_bytes(lstm: nn.Module, x: Tensor, **options: Any) -> int:
    """Bytes that torch saves for a call besides parameters and input."""
    kept: dict[int, int] = {}
    others = {value.data_ptr() for value in (x, *lstm.parameters())}

    def pack(value: Tensor) -> Tensor:
        if value.data_ptr() not in others:
            kept[value.data_ptr()] = value.numel() * value.element_size()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        lstm(x, **options)
    return sum(kept.values())


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_no_gates_are_kept(edited: bool, reset: bool) -> None:
    T, N, H, L = 20, 3, 8, 2
    lstm, x, number = hs.LSTM(4, H, L), torch.randn(T, N, 4), 4 * T * N * H
    options = {"reset": torch.zeros(T, N, dtype=torch.bool)} if reset else {}
    with lstm.edit(*(EDITS if edited else [])):
        kept = saved_bytes(lstm, x, **options)
        lstm.recompute_gates = True
        without = saved_bytes(lstm, x, **options)
    assert kept - without == L * 4 * number  # the gates
    assert 2 * L * number <= without < 3 * L * number  # c and out of each layer, and small ones


def test_traces_show_gates_all_the_same() -> None:
    call = Call(T=5, N=3, C=4, H=7, L=2, seed=5, bidirectional=True)
    lstm, (x, h0, c0) = call.lstm(torch.float64), call.inputs(torch.float64)
    leaves = [x, h0, c0, *lstm.parameters()]
    found = []
    for recompute in (False, True):
        lstm.recompute_gates = recompute
        with lstm.edit(*EDITS):
            trace = lstm.trace(x, (h0, c0))
        assert isinstance(trace.out, Tensor)
        values = [trace.out, *trace.values.values()]
        found.append([*values, *gradients(values, leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_derivatives_of_derivatives() -> None:
    call = Call(T=4, N=2, C=3, H=3, L=2, seed=6)
    lstm, (x, h0, c0) = call.lstm(torch.float64), call.inputs(torch.float64)
    lstm.recompute_gates = True
    inputs = x, h0, c0
    assert torch.autograd.gradcheck(lambda x, h, c: lstm(x, (h, c))[0], inputs)
    assert torch.autograd.gradgradcheck(lambda x, h, c: lstm(x, (h, c))[0], inputs)


def test_autocast() -> None:
    lstm, x = hs.LSTM(5, 17, 2), torch.randn(30, 7, 5, requires_grad=True)
    found = []
    for recompute in (False, True):
        lstm.recompute_gates = recompute
        with torch.autocast("cpu", torch.bfloat16):
            out, _ = lstm(x)
        found.append([out, *torch.autograd.grad(out.float().square().sum(), [x, *lstm.parameters()])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@NEEDS_INDUCTOR
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_calls_keep_no_gates_either(dtype: torch.dtype) -> None:
    lstm, x = hs.LSTM(4, 8, 2, dtype=dtype), torch.randn(20, 3, 4, dtype=dtype)
    compiled: Any = torch.compile(lstm, backend="aot_eager")
    found, kept = [], []
    for recompute in (False, True):
        lstm.recompute_gates = recompute
        kept.append(saved_bytes(compiled, x))
        found.append(torch.autograd.grad(compiled(x)[0].float().square().sum(), list(lstm.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert kept[0] - kept[1] == 2 * 20 * 3 * 4 * 8 * 4  # the gates of two layers, in float32


def test_it_is_an_attribute_like_others() -> None:
    lstm = hs.LSTM(3, 4)
    assert lstm.recompute_gates is False
    assert "recompute_gates" not in vars(lstm)
    lstm.recompute_gates = True
    assert copy.deepcopy(lstm).recompute_gates
    assert pickle.loads(pickle.dumps(lstm)).recompute_gates
    assert list(lstm.state_dict()) == list(hs.LSTM(3, 4).state_dict())
    with pytest.raises(ArgumentTypeError, match="recompute_gates should be of type bool, got: str 'yes'"):
        lstm.recompute_gates = "yes"  # type: ignore[assignment]


def test_a_path_says_why_it_is_not_the_fast_one() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(5, 2, 3)
    lstm.recompute_gates = True
    assert "recompute_gates" in lstm.path(x).reasons["fast"]
    with torch.no_grad():
        assert lstm.path(x).name in ("fast", "native")  # with torch 2.8 there is no fast path
