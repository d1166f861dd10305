"""Failure at every point: Ctrl-C at any line leaves nothing in force, nothing locked and nothing half-written.

The exceptions are kept while the state is checked, as a notebook keeps the last one: no block may rely on garbage
collection.
"""

import _thread
import importlib
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.base import scoped
from hiddenstate.base.modes import evaluating
from hiddenstate.models import model_folder as folder
from hiddenstate.nn import calls
from interrupts import interrupted_by_a_timer, interrupted_everywhere
from language_models import make

torch.manual_seed(0)
LSTM = hs.LSTM(4, 3, num_layers=2).eval()
TORCHS = nn.LSTM(4, 3, batch_first=True).eval()
MODEL = nn.Sequential(LSTM, nn.Identity())
X = torch.randn(5, 2, 4)
PLAIN, PATH = LSTM(X)[0].detach(), LSTM.path(X).name
GRU = hs.GRU(4, 3).eval()
CELLS: list[Any] = [hs.LSTMCell(4, 3), hs.GRUCell(4, 3), hs.RNNCell(4, 3)]
OTHERS = [GRU(X)[0].detach(), *(cell(X[0])[0].detach() for cell in CELLS)]
TRAINED = nn.Sequential(hs.LSTM(4, 3), nn.Dropout().eval()).train(False)
TRAINED[0].train()
THREADS = torch.get_num_threads()
VF: Any = torch._VF
SIGNALS = 600


@pytest.fixture(autouse=True)
def _grad_mode() -> Iterator[None]:
    """Restore torch's gradient mode: its own no_grad() may be interrupted at its end."""
    before = torch.is_grad_enabled()
    yield
    torch.set_grad_enabled(before)


def is_untouched() -> None:
    """Nothing is in force, and a plain call gives the same bits."""
    assert not scoped.any_open
    assert not calls.any_open
    assert not calls._blocks
    assert LSTM.path(X).name == PATH
    assert torch.equal(LSTM(X)[0], PLAIN)
    assert all(map(torch.equal, [GRU(X)[0], *(cell(X[0])[0] for cell in CELLS)], OTHERS))
    assert not {"lstm", "lstm_cell"} & vars(VF).keys()
    assert [part.training for part in TRAINED] == [True, False]
    assert torch.get_num_threads() == THREADS
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in MODEL.modules())


def edited() -> None:
    with LSTM.edit(hs.zero("l0.f")):
        LSTM(X)


def edited_in_a_model() -> None:
    with hs.edit(MODEL, hs.zero("0.l0.f"), hs.scale("0.l1.h", 2)):
        MODEL(X)


def edited_in_one_call() -> None:
    with hs.edit(MODEL, hs.zero("0.l0.f", call=0)):
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


def of_a_gru() -> None:
    with GRU.edit(hs.zero("l0.z")):
        GRU.trace(X)
        GRU(X)
    GRU.stream(batch=2).step(X[0])


def steps_of_cells() -> None:
    for cell in CELLS:
        cell(X[0])
        with cell.edit(hs.zero("h")):
            cell(X[0])


def in_eval_mode() -> None:
    with evaluating(TRAINED):
        TRAINED[0](X)


WORK: dict[str, tuple[Callable[[], Any], int]] = {
    "call": (lambda: LSTM(X), 5),
    "edit": (edited, 40),
    "edit of a model": (edited_in_a_model, 60),
    "edit of one call": (edited_in_one_call, 100),
    "reference": (on_the_reference, 40),
    "trace": (lambda: LSTM.trace(X, keep=["l0.c"]), 60),
    "trace of everything": (lambda: LSTM.trace(X), 20),
    "trace of a model": (lambda: hs.trace(MODEL, X), 100),
    "constant weights": (on_constant_weights, 20),
    "accelerate": (accelerated, 100),
    "generator": (abandoned_generator, 40),
    "eval mode": (in_eval_mode, 10),
    "GRU": (of_a_gru, 60),
    "cells": (steps_of_cells, 40),
}


def test_an_interrupted_trace_of_a_model_leaves_torchs_compiler_as_it_was() -> None:
    compiler = importlib.import_module("torch._dynamo.eval_frame")
    stance = compiler._stance

    def check(_: BaseException) -> None:
        is_untouched()
        assert compiler._stance is stance

    interrupted_everywhere(lambda: hs.trace(MODEL, X, keep=["l0.c"]), check, 100)


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
        for _ in range(3):  # the first call finds the quick path, which the next ones use
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


SAVED: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "trace": (LSTM.trace(X).save, hs.Trace.load),
    "stream": (LSTM.stream(batch=2).save, lambda path: LSTM.stream(batch=2).load(path)),
    "model": (partial(folder.save, make()), folder.load_any),
}


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("is_there", [False, True])
def test_an_interrupted_save_leaves_what_was_there_or_the_new_file(name: str, is_there: bool, tmp_path: Path) -> None:
    save, load = SAVED[name]
    path = tmp_path / "saved"
    if is_there:
        save(path)

    def check(error: BaseException) -> None:
        release(error)
        assert {each.name for each in tmp_path.iterdir()} <= {"saved"}
        assert path.exists() or not is_there
        if path.exists():
            load(path)
        if not is_there:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    interrupted_everywhere(lambda: save(path), check, 40)


def release(error: BaseException | None) -> None:
    """Release the frames of an exception: they are the last thing that may hold a temporary file."""
    while error is not None:
        if error.__traceback__ is not None:
            traceback.clear_frames(error.__traceback__)
        error.__traceback__, error = None, error.__context__


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_in_a_loop_of_blocks_leaves_nothing_in_force() -> None:
    work = [edited, edited_in_a_model, on_the_reference, on_constant_weights, accelerated]
    assert interrupted_by_a_timer(work, range(SIGNALS), is_untouched) > 0.9 * SIGNALS


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_from_another_thread_leaves_nothing_in_force() -> None:
    kept = []
    for k in range(100):
        try:
            thread = threading.Thread(target=_thread.interrupt_main)
            thread.start()
            while thread.is_alive():
                accelerated() if k % 2 else edited()
            edited()  # the signal is handled by now, even if Python dropped its exception in a destructor
        except KeyboardInterrupt as error:
            kept.append(error)
        thread.join()
        is_untouched()
    assert len(kept) > 90
