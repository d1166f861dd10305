"""When an allocation of the native code fails, that is a MemoryError: nothing aborts, and nothing is left half done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[1] / "native"
PROGRAM = """
import ctypes, sys
import torch
import hiddenstate as hs

failing = ctypes.CDLL(sys.argv[1])
torch.manual_seed(0)
lstm, x = hs.LSTM(4, 3, 2), torch.randn(5, 2, 4)
edit = hs.set("l0.f", to=0.5, unit=[0, 2], t=[1, 3])


def stream():
    stream = lstm.stream(2)
    return torch.stack([stream.step(one) for one in x])


def some_rows():
    stream = lstm.stream(2)
    stream.step(x[0])
    return stream.step(x[1, :1], rows=[1])


def traced():
    return lstm.trace(x)["l1.c"]


def edited():
    with lstm.edit(edit):
        return lstm(x)[0]


def backward():
    return torch.autograd.grad(lstm(x)[0].sum(), lstm.weight_ih_l0)[0]


def plain():
    with torch.no_grad():
        return lstm(x)[0]


for work in (stream, some_rows, traced, edited, backward, plain):
    want, failed, n = work(), 0, 0
    while True:
        failing.arm(n)
        try:
            work()
        except MemoryError:
            failed += 1
        finally:
            seen = failing.disarm()
        assert torch.equal(work(), want), (work.__name__, n)
        if seen <= n:
            break
        n += 1
    print(work.__name__, n, failed)
    assert failed > 0, work.__name__
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes allocations fail."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C++ compiler")
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("a sanitizer is preloaded already")
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    source = NATIVE / "failing_new.cpp"
    subprocess.run([compiler, "-std=c++17", "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
    return library


def test_each_allocation_that_fails_is_a_memory_error(failing: Path) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(failing)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, failing], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
