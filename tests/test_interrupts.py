"""Failure at every point: Ctrl-C at any line leaves nothing in force, nothing locked and nothing half-written.

The exceptions are kept while the state is checked, as a notebook keeps the last one: no block may rely on being
collected.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.base import scoped
from hiddenstate.nn import constant_weights
from interrupts import interrupted_everywhere

torch.manual_seed(0)
LSTM = hs.LSTM(4, 3, num_layers=2).eval()
TORCHS = nn.LSTM(4, 3, batch_first=True).eval()
MODEL = nn.Sequential(LSTM, nn.Identity())
X = torch.randn(5, 2, 4)
PLAIN = LSTM(X)[0].detach()
VF: Any = torch._VF


def is_untouched() -> None:
    """Nothing is in force, and a plain call gives the same bits."""
    assert not scoped.any_open
    assert not constant_weights.any_open
    assert not constant_weights._blocks
    assert LSTM.path(X).name == "fast"
    assert torch.equal(LSTM(X)[0], PLAIN)
    assert not {"lstm", "lstm_cell"} & vars(VF).keys()
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in MODEL.modules())


def edited() -> None:
    with LSTM.edit(hs.zero("l0.f")):
        LSTM(X)


def edited_in_a_model() -> None:
    with hs.edit(MODEL, hs.zero("0.l0.f"), hs.scale("0.l1.h", 2)):
        MODEL(X)


def on_the_reference() -> None:
    with hs.backend("reference"):
        LSTM(X)


def on_constant_weights() -> None:
    with torch.no_grad(), hs.constant_weights(MODEL):
        LSTM(X)


def accelerated() -> None:
    with hs.accelerate(), hs.edit(TORCHS, hs.zero("l0.f")):
        TORCHS(X)
    hs.accelerate().close()


def generator_of_a_block() -> Iterator[None]:
    with LSTM.edit(hs.zero("l0.f")):
        yield


def abandoned_generator() -> None:
    for _ in generator_of_a_block():
        LSTM(X)
        break


WORK: dict[str, tuple[Callable[[], Any], int]] = {
    "call": (lambda: LSTM(X), 5),
    "edit": (edited, 40),
    "edit of a model": (edited_in_a_model, 60),
    "reference": (on_the_reference, 40),
    "trace": (lambda: LSTM.trace(X, keep=["l0.c"]), 60),
    "trace of everything": (lambda: LSTM.trace(X), 20),
    "trace of a model": (lambda: hs.trace(MODEL, X), 100),
    "constant weights": (on_constant_weights, 20),
    "accelerate": (accelerated, 100),
    "generator": (abandoned_generator, 40),
}


@pytest.mark.parametrize("name", WORK)
def test_an_interrupt_at_any_line_leaves_nothing_in_force(name: str) -> None:
    work, least = WORK[name]
    work()
    interrupted_everywhere(work, lambda _: is_untouched(), least)


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("is_edited", [False, True])
def test_an_interrupted_stream_has_the_state_before_or_after_a_step(in_chunks: bool, is_edited: bool) -> None:
    edits = [hs.zero("l0.f")] if is_edited else []
    begun = LSTM.stream(batch=2)
    begun.step(X[4])

    def advance(stream: hs.Stream) -> None:
        with LSTM.edit(*edits):
            stream.feed(X[:3]) if in_chunks else stream.step(X[0])

    states, moving = [], begun.fork()
    for _ in range(4):
        states.append((moving.t, *moving.state))
        advance(moving)
    stream = begun.fork()

    def work() -> None:
        for _ in range(3):  # the first finds the quick way, which the next ones go
            advance(stream)

    def check(_: BaseException | None) -> None:
        nonlocal stream
        is_untouched()
        assert any(is_same((stream.t, *stream.state), state) for state in states)
        stream.step(X[0])  # not locked
        stream = begun.fork()

    interrupted_everywhere(work, check, 50)


def is_same(got: tuple[int, Tensor, Tensor], want: tuple[int, Tensor, Tensor]) -> bool:
    return got[0] == want[0] and torch.equal(got[1], want[1]) and torch.equal(got[2], want[2])
