"""Packed weights: one copy for all streams of a layer, current after every change, freed with the last stream."""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.engine import kernels
from hiddenstate.nn.packed_weights import shared_weights
from hiddenstate.nn.quantised import WeightType

pytestmark = pytest.mark.skipif(kernels.isa() is None, reason="nothing is packed without the engine")
X = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))


def steppers(streams: list[hs.Stream]) -> set[object]:
    """The packed weights that the next steps of these streams use."""
    used = set[object]()
    for stream in streams:
        assert stream._quick is not None
        assert not stream._quick.stepper.outdated
        used.add(stream._quick.stepper)
    return used


@pytest.mark.parametrize("weights", ["float", "int8"])
def test_all_streams_of_a_layer_share_one_copy(weights: WeightType) -> None:
    lstm = hs.LSTM(40, 64, weights=weights).eval()
    streams = [lstm.stream() for _ in range(5)]
    for stream in streams:
        stream.step(X[0])
    late = lstm.stream()
    late.step(X[0])
    with torch.no_grad(), hs.constant_weights(lstm):
        lstm(X[:, None])
        assert steppers([*streams, late]) == {shared_weights(lstm).stepper()}
    streams[0].reset()
    streams[0].step(X[0])
    assert len(steppers([*streams, late])) == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not report memory this way")
def test_twenty_streams_take_the_memory_of_one_copy() -> None:
    code = """
import gc, torch, hiddenstate as hs
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
lstm, x = hs.LSTM(512, 512).eval(), torch.zeros(512)
hs.LSTM(8, 8).stream().step(x[:8])
gc.collect()
before = resident()
streams = [lstm.stream() for _ in range(20)]
for stream in streams:
    stream.step(x)
print(resident() - before)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert float(ended.stdout) < 40, "MB; one copy takes 8.4"


def test_they_are_freed_with_the_last_stream_and_with_the_layer() -> None:
    lstm = hs.LSTM(40, 64)
    first, second = lstm.stream(), lstm.stream()
    first.step(X[0])
    second.step(X[0])
    (stepper,) = steppers([first, second])
    freed = weakref.ref(stepper)
    del stepper, first
    gc.collect()
    assert freed() is not None
    del second
    gc.collect()
    assert freed() is None
    stream = lstm.stream()
    stream.step(X[0])
    freed = weakref.ref(steppers([stream]).pop())
    del stream, lstm
    gc.collect()
    assert freed() is None


def weight_of(lstm: hs.LSTM) -> Tensor:
    stored = lstm._stored()["weight_hh_l0"]
    assert stored is not None
    return stored


def in_place(lstm: hs.LSTM) -> None:
    with torch.no_grad():
        weight_of(lstm).neg_()


def loaded(lstm: hs.LSTM) -> None:
    lstm.load_state_dict(hs.LSTM(40, 64, weights=lstm.weight_format).state_dict())


def assigned(lstm: hs.LSTM) -> None:
    lstm.load_state_dict(hs.LSTM(40, 64, weights=lstm.weight_format).state_dict(), assign=True)


def other_memory(lstm: hs.LSTM) -> None:
    weight_of(lstm).data = -weight_of(lstm).data


def replaced(lstm: hs.LSTM) -> None:
    weight = weight_of(lstm)
    new = nn.Parameter(-weight) if isinstance(weight, nn.Parameter) else -weight
    setattr(lstm, "weight_hh_l0", new)  # noqa: B010 (mypy knows no such attribute)


def moved_and_back(lstm: hs.LSTM) -> None:
    in_place(lstm)
    lstm.double().float()


def uncounted(lstm: hs.LSTM) -> None:
    weight_of(lstm).data.neg_()
    hs.repack(lstm)


CHANGES = [in_place, loaded, assigned, other_memory, replaced, moved_and_back, uncounted]


@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize("change", CHANGES)
def test_live_streams_follow_every_change_and_share_again(
    change: Callable[[hs.LSTM], None], weights: WeightType
) -> None:
    lstm = hs.LSTM(40, 64, weights=weights).eval()
    streams = [lstm.stream() for _ in range(3)]
    for stream in streams:
        stream.step(X[0])
        stream.step(X[1])
    state = streams[0].state
    with torch.no_grad():
        unchanged = lstm(X[2:3, None], state)[0][0, 0]
        change(lstm)
        want = lstm(X[2:3, None], state)[0][0, 0]
    assert not torch.equal(want, unchanged)
    for stream in streams[:2]:
        assert torch.allclose(stream.step(X[2]), want, atol=1e-6)
    fresh = lstm.stream()
    fresh.state = state
    assert torch.equal(fresh.step(X[2]), streams[2].step(X[2]))
    assert steppers([*streams, fresh]) == {shared_weights(lstm).stepper()}


@pytest.mark.parametrize("weights", ["float", "int8"])
def test_a_new_stream_and_a_reset_notice_writes_that_torch_misses(weights: WeightType) -> None:
    """The other streams of the layer then follow."""
    for is_new in (True, False):
        lstm = hs.LSTM(40, 64, weights=weights).eval()
        old, other = lstm.stream(), lstm.stream()
        for stream in (old, other):
            stream.step(X[0])
        weight_of(lstm).data.neg_()
        with torch.no_grad():
            want = lstm.dequantize()(X[:1, None])[0][0, 0] if weights == "int8" else lstm(X[:1, None])[0][0, 0]
        if is_new:
            other = lstm.stream()
        else:
            other.reset()
        assert torch.allclose(other.step(X[0]), want, atol=2e-2 if weights == "int8" else 1e-6)
        old.step(X[0])
        assert len(steppers([old, other])) == 1


def test_threads_that_step_while_weights_are_packed_again_share_and_agree() -> None:
    lstm, wrong = hs.LSTM(40, 64).eval(), list[str]()
    x = X.repeat(40, 1)
    with torch.no_grad():
        want = lstm(x[:, None])[0][:, 0]
    is_over = threading.Event()

    def disturb() -> None:
        while not is_over.is_set():
            with torch.no_grad():
                weight_of(lstm).mul_(1)  # a new version with the same values
            hs.repack(lstm)
            lstm.stream().step(x[0])

    def run() -> None:
        for _ in range(3):
            stream = lstm.stream()
            out = torch.stack([stream.step(step) for step in x])
            if not torch.equal(out, want):
                wrong.append(str((out - want).abs().max()))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run) for _ in range(4)]
        disturber = threading.Thread(target=disturb)
        for thread in (disturber, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        is_over.set()
        disturber.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
    streams = [lstm.stream() for _ in range(3)]
    for stream in streams:
        stream.step(X[0])
    assert len(steppers(streams)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_goes_on_with_its_streams() -> None:
    lstm = hs.LSTM(40, 64).eval()
    streams = [lstm.stream(), lstm.stream()]
    for stream in streams:
        stream.step(X[0])
    branch = streams[0].fork()
    want = branch.step(X[1])
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        outs = [stream.step(X[1]) for stream in streams]
        late = lstm.stream()
        late.step(X[0])
        outs.append(late.step(X[1]))
        is_right = all(torch.equal(out, want) for out in outs) and len(steppers([*streams, late])) == 1
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(streams[1].step(X[1]), want)


@pytest.mark.parametrize("weights", ["float", "int8"])
@pytest.mark.parametrize("way", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_share_among_themselves_and_not_with_the_original(
    way: Callable[[Any], Any], weights: WeightType
) -> None:
    lstm = hs.LSTM(40, 64, weights=weights).eval()
    streams = [lstm.stream(), lstm.stream()]
    for stream in streams:
        stream.step(X[0])
    copies = way([lstm, *streams])
    with torch.no_grad():
        copies[0]._stored()["weight_hh_l0"].neg_()
    want, changed = streams[0].step(X[1]), copies[1].step(X[1])
    assert not torch.equal(want, changed)
    assert torch.equal(copies[2].step(X[1]), changed)
    assert torch.equal(streams[1].step(X[1]), want)
    late = copies[0].stream()
    late.step(X[0])
    assert len(steppers([copies[1], copies[2], late])) == 1
    assert steppers(streams).isdisjoint(steppers([late]))


def test_a_layer_that_holds_its_stream_is_copied() -> None:
    lstm = hs.LSTM(40, 64)
    lstm.own = lstm.stream()
    lstm.own.step(X[0])
    for copied in (copy.deepcopy(lstm), pickle.loads(pickle.dumps(lstm))):
        assert torch.equal(copied.own.step(X[1]), copy.deepcopy(lstm).own.step(X[1]))  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_bytes_of_packed_weights_are_determined_by_the_weights(dtype: torch.dtype) -> None:
    """So a layer whose weights did not change is never taken for a changed one."""
    for make in (hs.LSTM, hs.GRU, hs.RNN):
        for C, H, layers in ((1, 1, 1), (3, 17, 2), (40, 64, 1), (65, 33, 3)):
            for bias in (True, False):
                layer: Any = make(C, H, layers, bias=bias, dtype=dtype)
                variants = [layer]
                if dtype is torch.float32 and make is not hs.RNN:
                    variants.append(layer.quantize())
                for each in variants:
                    packed = shared_weights(each)
                    before = packed.stepper()
                    junk = [
                        torch.full((H * (C + H) * 4,), 7.0) for _ in range(8)
                    ]  # memory that the next copy may reuse
                    del junk
                    packed.check_again()
                    assert packed.stepper() is before
                    each._stored()[each._stored_names()[0]].data.view(-1)[-1:].add_(1)
                    assert packed.stepper() is before, "torch does not count this write"
                    packed.check_again()
                    assert packed.stepper() is not before
