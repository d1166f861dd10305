"""Calls in a block with constant weights: the same numbers, on weights packed once."""

import copy
import pickle
import threading
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import hiddenstate as hs
from hiddenstate.engine import kernels, native
from hiddenstate.engine.paths.packed import PackedLSTM
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError
from hiddenstate.nn import calls as block
from hiddenstate.nn import packed_weights
from support import layer_options

NEEDS_FAST_CALLS = pytest.mark.skipif(
    kernels.isa() is None or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"),
    reason="this version of torch has no table of functions that tells what a tensor is",
)


def values(result: Any) -> list[Tensor]:
    out, (h, c) = result
    return [out, h, c]


@pytest.fixture(autouse=True)
def every_size_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "WORTH_PACKING", 0)


@given(layer_options(), st.integers(1, 5), st.integers(1, 3))
def test_every_layer_gives_the_same_bits(options: dict[str, Any], T: int, N: int) -> None:
    lstm = hs.LSTM(**options).eval()
    x = torch.randn(*((N, T) if options["batch_first"] else (T, N)), lstm.input_size, dtype=options["dtype"])
    with torch.no_grad():
        want = [lstm(x), lstm(x, lengths=[T] * N), lstm(x[0] if not options["batch_first"] else x[:, 0])]
        with hs.constant_weights(lstm):
            for _ in range(2):
                got = [lstm(x), lstm(x, lengths=[T] * N), lstm(x[0] if not options["batch_first"] else x[:, 0])]
                for one, other in zip(got, want, strict=True):
                    assert all(map(torch.equal, values(one), values(other)))
            traced, plain = lstm.trace(x), lstm(x)
    assert isinstance(traced.out, Tensor)
    assert torch.equal(traced.out, plain[0])
    # Gradients are the same as in any call.
    with hs.constant_weights(lstm):
        lstm(x)[0].sum().backward()
    got_gradients = [value.grad for value in lstm.parameters()]
    lstm.zero_grad()
    lstm(x)[0].sum().backward()
    for one, value in zip(got_gradients, lstm.parameters(), strict=True):
        assert one is not None
        assert value.grad is not None
        assert torch.equal(one, value.grad)


@NEEDS_FAST_CALLS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_the_same_bits_and_takes_no_other_type(dtype: torch.dtype) -> None:
    lstm, x = hs.LSTM(4, 17, 2).to(dtype).eval(), torch.randn(9, 2, 4).to(dtype)
    full = hs.LSTM(4, 17, 2).eval()
    with torch.no_grad():
        want = lstm(x)
        with (
            mock.patch.object(native, "pack", wraps=native.pack) as pack,
            hs.constant_weights(nn.ModuleList([lstm, full])),
        ):
            assert all(map(torch.equal, values(lstm(x)), values(want)))
            assert all(map(torch.equal, values(lstm(x)), values(want)))
            assert pack.call_count == 1
            for layer, given_x in ((lstm, x.float()), (full, x)):
                with pytest.raises(DtypeError):
                    layer(given_x)


@NEEDS_FAST_CALLS
def test_weights_are_packed_once_and_again_when_they_change() -> None:
    lstm, x = hs.LSTM(4, 3, 2, bidirectional=True).eval(), torch.randn(5, 2, 4)

    def check() -> None:
        with torch.no_grad():
            got = lstm(x)
            with hs.backend("reference"):
                assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(values(got), values(lstm(x)), strict=True))

    with mock.patch.object(native, "pack", wraps=native.pack) as pack, hs.constant_weights(lstm):
        for _ in range(3):
            check()
        assert pack.call_count == 1
        torch.optim.SGD(lstm.parameters(), lr=0.1).step()  # without gradients: nothing is written
        weight: Any = lstm.weight_ih_l0
        weight.grad = torch.randn_like(weight)
        for fused in (False, True):
            torch.optim.SGD([weight], lr=0.5, fused=fused).step()
            check()
        assert pack.call_count == 3
        lstm.load_state_dict(hs.LSTM(4, 3, 2, bidirectional=True).state_dict())
        check()
        lstm.weight_hh_l1 = nn.Parameter(torch.randn(12, 3))
        check()
        lstm.bias_ih_l0.data = torch.randn(12)
        check()
        assert pack.call_count == 6
        lstm.double()
        x = x.double()
        check()
    with torch.no_grad():
        lstm(x)
    assert pack.call_count == 7


@NEEDS_FAST_CALLS
def test_weights_made_in_inference_mode_are_packed_once() -> None:
    with torch.inference_mode():
        lstm, x = hs.LSTM(4, 3, 2), torch.randn(5, 2, 4)
        want = lstm(x)
        with mock.patch.object(native, "pack", wraps=native.pack) as pack, hs.constant_weights(lstm):
            for _ in range(3):
                assert all(map(torch.equal, values(lstm(x)), values(want)))
            assert pack.call_count == 1
            lstm.bias_ih_l0 = nn.Parameter(torch.randn(12), requires_grad=False)
            changed = lstm(x)
        assert pack.call_count == 2
        assert all(map(torch.equal, values(lstm(x)), values(changed)))


def test_other_calls_in_the_block_are_as_elsewhere() -> None:
    lstm, x = hs.LSTM(4, 3).eval(), torch.randn(5, 2, 4)
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[2] = True
    with torch.no_grad():
        with lstm.edit(hs.zero("l0.f")):
            edited = lstm(x)[0]
        anew = lstm(x, reset=reset)[0]
        with hs.constant_weights(lstm):
            with lstm.edit(hs.zero("l0.f")):
                assert torch.equal(lstm(x)[0], edited)
            assert torch.equal(lstm(x, reset=reset)[0], anew)
            assert torch.equal(lstm.stream(batch=2).feed(x), lstm(x)[0])


def test_weights_that_are_computed_anew() -> None:
    lstm = hs.LSTM(4, 3).eval()
    parametrizations.weight_norm(lstm, "weight_hh_l0")
    x = torch.randn(5, 2, 4)
    with torch.no_grad():
        want = lstm(x)[0]
        with hs.constant_weights(lstm):
            assert torch.equal(lstm(x)[0], want)
            lstm.parametrizations.weight_hh_l0.original0 *= 2  # type: ignore[union-attr,operator]
            assert not torch.equal(lstm(x)[0], want)


def test_blocks_nest_and_end_and_leave_nothing() -> None:
    x = torch.randn(2, 1, 4)
    first, second = hs.LSTM(4, 3), hs.LSTM(3, 2)
    model = nn.ModuleList([first, second])
    with hs.constant_weights(model), pytest.raises(ZeroDivisionError), hs.constant_weights(first):
        raise ZeroDivisionError
    outer = hs.constant_weights(first)
    outer.__enter__()
    with torch.no_grad(), hs.constant_weights(second):
        outer.__exit__(None, None, None)  # in a different order
        assert block.packed_in_block(first) is None
        second(first(x)[0])
    assert not block.any_open
    assert not block._blocks


def test_copies_made_in_a_block_are_free_of_it() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 1, 4)
    with torch.no_grad(), hs.constant_weights(lstm):
        want = lstm(x)[0]
        for other in (copy.deepcopy(lstm), pickle.loads(pickle.dumps(lstm))):
            assert torch.equal(other(x)[0], want)
            assert block.packed_in_block(other) is None


def test_threads_share_what_is_packed() -> None:
    lstm, x = hs.LSTM(16, 33).eval(), torch.randn(3, 1, 16)
    with torch.no_grad():
        want = lstm(x)[0]
    wrong: list[int] = []

    def run() -> None:
        with torch.no_grad():
            wrong.extend(1 for _ in range(200) if not torch.equal(lstm(x)[0], want))

    with hs.constant_weights(lstm):
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_weights_that_are_written_while_another_thread_packs_are_packed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    lstm, x = hs.LSTM(4, 3).eval(), torch.randn(2, 1, 4)
    packs, goes_on, first = threading.Event(), threading.Event(), threading.Event()
    made = PackedLSTM

    def slow(*given: Any) -> Any:
        stepper = made(*given)
        if not first.is_set():  # the first thread is held up after it packed
            first.set()
            packs.set()
            assert goes_on.wait(30)
        return stepper

    monkeypatch.setattr(packed_weights, "PackedLSTM", slow)

    def run() -> None:
        with torch.no_grad():
            lstm(x)

    with hs.constant_weights(lstm), torch.no_grad():
        thread = threading.Thread(target=run)
        thread.start()
        if kernels.isa() is not None:
            assert packs.wait(30)
        lstm.get_parameter("bias_ih_l0").add_(1)
        lstm(x)
        goes_on.set()
        thread.join()
        got = lstm(x)[0]
        with hs.backend("reference"):
            assert torch.allclose(got, lstm(x)[0], atol=1e-6)


def test_a_block_that_is_refused_holds_nothing() -> None:
    good, bad = hs.LSTM(4, 3), hs.LSTM(4, 3)
    bad.hidden_size = "3"  # type: ignore[assignment]
    with pytest.raises(ArgumentTypeError, match="hidden_size"), hs.constant_weights(nn.ModuleList([good, bad])):
        pass
    assert not block._blocks
    assert not block.any_open


def test_a_size_that_is_assigned_in_the_block_holds() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(2, 1, 4)
    with torch.no_grad():
        with hs.constant_weights(lstm):
            lstm(x)
            lstm.bias = False
            inside = lstm(x)[0]
        assert torch.equal(inside, lstm(x)[0])


def test_modules_that_say_they_are_equal_have_their_own_weights() -> None:
    class Equal(hs.LSTM):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 1

    one, other, x = Equal(4, 3), Equal(4, 3), torch.randn(2, 1, 4)
    with torch.no_grad():
        want = other(x)[0]
        with hs.constant_weights(one):
            one(x)
            assert torch.equal(other(x)[0], want)


def test_what_is_no_model_with_our_lstms_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"takes a torch.nn.Module, got int"), hs.constant_weights(3):  # type: ignore[arg-type]
        pass
    with (
        pytest.raises(ArgumentError, match="no hiddenstate.LSTM, GRU or RNN"),
        hs.constant_weights(nn.LSTM(2, 2)),
    ):
        pass


def test_small_lstms_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "WORTH_PACKING", 200)
    small, large = hs.LSTM(2, 3), hs.LSTM(4, 6)
    with hs.constant_weights(nn.ModuleList([small, large])):
        assert block.packed_in_block(small) is None
        assert block.packed_in_block(large) is not None or kernels.isa() is None


def test_other_kinds_of_layers_may_be_in_the_block() -> None:
    for layer in (hs.GRU(3, 4).eval(), hs.RNN(3, 4).eval()):
        x = torch.randn(5, 2, 3)
        with torch.no_grad():
            want = layer(x)
            with hs.constant_weights(layer):
                assert all(map(torch.equal, layer(x), want))
