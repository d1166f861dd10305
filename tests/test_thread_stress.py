"""Threads that share layers and cells, with very frequent switches: every result is compared, to the last bit."""

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs

ROUNDS = int(os.environ.get("ROUNDS", "60"))  # per thread
THREADS = 4

torch.manual_seed(0)
LSTM = hs.LSTM(4, 3, num_layers=2).eval()
INT8 = hs.LSTM(40, 64, weights="int8").eval()
GRU = hs.GRU(4, 3).eval()
CELLS: list[Any] = [hs.LSTMCell(4, 3), hs.GRUCell(4, 3), hs.RNNCell(4, 3)]
X, X8 = torch.randn(5, 2, 4), torch.randn(5, 1, 40)
UPDATE, ZERO, SET = hs.zero("l0.z"), hs.zero("l0.f"), hs.set("l1.c", to=0.5, unit=[0, 2], t=[1, 3])


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def plain() -> list[Tensor]:
    out, (h, c) = LSTM(X)
    return [out, h, c]


def without_gradients() -> list[Tensor]:
    with torch.no_grad():
        return [LSTM(X)[0], INT8(X8)[0]]


def gradients() -> list[Tensor]:
    return list(torch.autograd.grad(LSTM(X)[0].sum(), list(LSTM.parameters())))


def streamed() -> list[Tensor]:
    stream, rounded = LSTM.stream(batch=2), INT8.stream()
    return [*(stream.step(x) for x in X), stream.feed(X), *stream.state, rounded.feed(X8)]


def traced() -> list[Tensor]:
    trace, part = LSTM.trace(X), LSTM.trace(X, keep=["l1.c"], steps=[1, 4])
    return [trace["l0.c"], trace["l1.o"], trace["l1.h"], part["l1.c"]]


def edited() -> list[Tensor]:
    with LSTM.edit(ZERO):
        inside = LSTM(X)[0]
        with LSTM.edit(SET):
            inner = LSTM.trace(X)["l1.c"]
    return [inside, inner, LSTM(X)[0]]


def by_reference() -> list[Tensor]:
    with hs.backend("reference"):
        return [LSTM(X)[0]]


def on_constant_weights() -> list[Tensor]:
    with torch.no_grad(), hs.constant_weights(LSTM):
        return [LSTM(X)[0]]


def of_a_gru() -> list[Tensor]:
    with GRU.edit(UPDATE):
        inside = GRU(X)[0]
    return [inside, GRU(X)[0], GRU.trace(X)["l0.n"], GRU.stream(batch=2).step(X[0])]


def steps_of_cells() -> list[Tensor]:
    found: list[Tensor] = []
    for cell in CELLS:
        state = cell(X[1], cell(X[0]))
        h = state[0] if isinstance(state, tuple) else state
        found += [h.detach(), *torch.autograd.grad(h.sum(), list(cell.parameters()))]
    return found


# What runs, and its numbers of calls, steps, gradients, traces and blocks.
WORK: dict[Callable[[], list[Tensor]], int] = {
    plain: 1,
    without_gradients: 2,
    gradients: 2,
    streamed: 10,
    traced: 2,
    edited: 5,
    by_reference: 2,
    on_constant_weights: 2,
    of_a_gru: 5,
    steps_of_cells: 9,
}


def test_threads_on_one_lstm_get_the_bits_of_one_thread() -> None:
    run_in_threads(ROUNDS)


def run_in_threads(rounds: int, seed: int = 0) -> int:
    """Let each thread do random work; return the number of operations."""
    wants = {work: work() for work in WORK}
    start, errors, counts = threading.Barrier(THREADS), [], []

    def run(number: int) -> None:
        draw, count = random.Random(seed * THREADS + number), 0
        try:
            start.wait()
            for _ in range(rounds):
                work = draw.choice(list(WORK))
                assert all(map(torch.equal, work(), wants[work])), work.__name__
                count += WORK[work]
            counts.append(count)
        except BaseException as error:
            errors.append(error)

    in_threads([partial(run, number) for number in range(THREADS)])
    assert not errors, errors[0]
    return sum(counts)


def test_threads_that_start_loops_on_the_same_cells_at_once_get_the_bits_of_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sys.setswitchinterval(1e-6)
    monkeypatch.setattr(sys.modules[__name__], "WORK", {steps_of_cells: 9})
    for seed in range(20):
        run_in_threads(20, seed)


def test_blocks_that_other_threads_close_leave_nothing_in_force() -> None:
    """Each block is opened in one thread and closed in the next, by a generator that is passed on."""
    want, errors = LSTM(X)[0], []

    def block() -> Iterator[Tensor]:
        with LSTM.edit(ZERO):
            yield LSTM(X)[0]

    changed = next(block())
    opened: list[Any] = [None] * THREADS

    def run(number: int) -> None:
        try:
            for _ in range(ROUNDS):
                opened[number] = generator = block()
                assert torch.equal(next(generator), changed)
                del generator
                opened[number - 1] = None  # ends the neighbour's block, unless it is just being replaced
                opened[number] = None
                assert torch.equal(LSTM(X)[0], want)
        except BaseException as error:
            errors.append(error)

    in_threads([partial(run, number) for number in range(THREADS)])
    assert not errors, errors[0]
    assert torch.equal(LSTM(X)[0], want)


def in_threads(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
