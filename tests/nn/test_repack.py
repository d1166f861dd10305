"""`hs.repack`: packed copies of weights follow writes that torch does not count, once notified."""

import os
import sys
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

import hiddenstate as hs
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.nn.quantised import WeightType

X = torch.randn(6, 1, 40, generator=torch.Generator().manual_seed(0))


def by_data(weight: Tensor) -> None:
    weight.data.neg_()


def by_numpy(weight: Tensor) -> None:
    array = weight.detach().numpy()
    array *= -1


def by_dlpack(weight: Tensor) -> None:
    from_dlpack(weight.detach()).neg_()


def by_storage(weight: Tensor) -> None:
    torch.empty(0, dtype=weight.dtype).set_(weight.untyped_storage()).neg_()


def by_another_process(weight: Tensor) -> None:
    child = os.fork()
    if not child:
        weight.detach().numpy().__imul__(-1)
        os._exit(0)
    os.waitpid(child, 0)


WRITES = [by_data, by_numpy, by_dlpack, by_storage, by_another_process]
Run = Callable[[hs.LSTM], Callable[[], Tensor]]


def by_stream(lstm: hs.LSTM) -> Callable[[], Tensor]:
    stream = lstm.stream()

    def run() -> Tensor:
        stream.state = (torch.zeros(1, 1, 64), torch.zeros(1, 1, 64))
        return torch.stack([stream.step(x) for x in X])

    return run


def by_call(lstm: hs.LSTM) -> Callable[[], Tensor]:
    return lambda: lstm(X)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize("way", [by_stream, by_call])
@torch.no_grad()
def test_what_torch_does_not_count_is_used_after_repacking(
    write: Callable[[Tensor], None], weights: WeightType, way: Run
) -> None:
    lstm = hs.LSTM(40, 64, weights=weights).eval()
    written = lstm._stored()["weight_hh_l0"]
    assert written is not None
    if write is by_another_process:
        lstm.share_memory()
    run = way(lstm)
    with hs.constant_weights(lstm):
        before = run()
        write(written)
        hs.repack(nn.Sequential(lstm))
        after = run()
    assert not torch.equal(before, after)
    fresh = hs.LSTM(40, 64, weights=weights).eval()
    fresh.load_state_dict(lstm.state_dict())
    assert torch.equal(after, way(fresh)())


def test_a_stream_goes_on_from_its_state() -> None:
    lstm = hs.LSTM(4, 3)
    stream, x = lstm.stream(), torch.randn(4)
    stream.step(x)
    state = stream.state
    lstm.all_weights[0][2].data.add_(1)
    hs.repack(lstm)
    want, _ = lstm(x[None, None], state)
    assert torch.allclose(stream.step(x), want[0, 0], atol=1e-6)
    assert stream.t == 2


def test_other_modules_that_share_a_weight_follow_too() -> None:
    one, other = hs.LSTM(4, 3), hs.LSTM(4, 3)
    other.weight_ih_l0 = one.weight_ih_l0
    stream, x = other.stream(), torch.ones(4)
    before = stream.step(x)
    one.all_weights[0][0].data.zero_()
    hs.repack(one)
    stream.reset()
    assert not torch.equal(stream.step(x), before)


def test_a_stream_in_another_thread_follows() -> None:
    lstm, x, outs = hs.LSTM(4, 3), torch.ones(4), list[Tensor]()
    stream = lstm.stream()
    for _ in range(3):
        stream.step(x)
    state = stream.state
    lstm.all_weights[0][3].data.add_(1)
    hs.repack(lstm)
    thread = threading.Thread(target=lambda: outs.append(stream.step(x)))
    thread.start()
    thread.join()
    assert torch.allclose(outs[0], lstm(x[None, None], state)[0][0, 0], atol=1e-6)


def test_repack_fails() -> None:
    with pytest.raises(ArgumentTypeError, match=r"repack takes a torch\.nn\.Module, got int"):
        hs.repack(5)  # type: ignore[arg-type]
    hs.repack(nn.Linear(2, 2))  # it has nothing packed
