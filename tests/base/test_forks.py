"""Functions that run in forked processes; tested in a separate process, since they stay registered."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hiddenstate
import programs
from hiddenstate.engine import kernels

PACKAGE = Path(hiddenstate.__file__).parent
NATIVE = Path(__file__).parents[2] / "native"
CODE = """
import os
{without}
from hiddenstate.base.forks import in_forked_children
in_forked_children(lambda: os.write(1, b"in the child "))
{fork}
"""
FORK = "child = os.fork()\nos._exit(0) if child == 0 else os.waitpid(child, 0)\nos.write(1, b'over')"


def told(without: str, fork: str) -> str:
    code = CODE.format(without=without, fork=fork)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_runs_it() -> None:
    assert told("", FORK) == "in the child over"


def test_a_system_without_fork_has_nothing_to_run() -> None:
    # torch also looks for them, if the system should have them.
    without = "import torch\nfor name in ('fork', 'register_at_fork'): vars(os).pop(name, None)"
    assert told(without, "import hiddenstate\nos.write(1, b'over')") == "over"


def test_every_lock_of_the_package_is_fork_safe() -> None:
    """A lock made elsewhere could stay locked in a child."""
    made = re.compile(
        r"(?<!asyncio\.)\b(threading\.)?(File)?(Lock|RLock|Condition|\w*Semaphore|Event|Barrier)\(|\bqueue\.\w*Queue\("
    )
    found = {
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if made.search(line) and "ForkSafeLock" not in line
    }
    assert found == {
        "base/forks.py: self.lock = threading.RLock()",
        # Only threads of the parent wait for it, which a child does not have.
        "studio/view.py: self._opened, self._ready = threading.Event(), threading.Event()",
        # A file's lock, which the system releases with the process.
        "corpus/shards/run.py: with FileLock(folder / LOCK, timeout=0.5):",
        "training/checkpoint.py: lock, is_new = FileLock(self.path / LOCK), not (self.path / LOCK).exists()",
    }


def test_no_native_lock_is_waited_for_by_a_child() -> None:
    """Mutexes are tried, never waited for, except in the team of a call, which a child creates again."""
    lines = [line for path in sorted(NATIVE.rglob("*.[hc]*")) for line in path.read_text(encoding="utf-8").splitlines()]
    locks = [line.strip() for line in lines if re.search(r"(unique_lock|lock_guard|scoped_lock)<[^>]*>\s*\w*\(", line)]
    waited = [line for line in locks if "try_to_lock" not in line]
    assert waited == [
        "const std::lock_guard<std::mutex> lock(mutex_);",
        "std::unique_lock<std::mutex> lock(mutex_);",
    ]


IN_THE_CHILD = """
import os, signal, sys, threading
import torch
import torch._dynamo.eval_frame
import hiddenstate as hs
from hiddenstate.base import forks
from hiddenstate.studio.messages import Audience, Subscriber
from hiddenstate.studio.messages import ViewMessage
from torch import nn

torch.set_num_threads(1)
audience, looker = Audience(), Subscriber(lambda: None)
lstm, cell, theirs, x = hs.LSTM(4, 3), hs.LSTMCell(4, 3), nn.LSTM(4, 3), torch.zeros(5, 2, 4)

def everything():
    audience.join(looker)
    audience.tell(ViewMessage({}))
    with torch.no_grad(), hs.constant_weights(lstm), lstm.edit(hs.zero("l0.f")), hs.backend("reference"):
        lstm(x)
    with hs.accelerate():
        hs.trace(theirs, x)
    hs.trace(lstm, x)
    lstm.stream().step(torch.zeros(4))
    with cell.edit(hs.zero("f")):
        cell(x[0])

everything()
locks = list(forks.locks)
for lock in locks:
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock.lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that hangs
        everything()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, lock
    done.set()
    thread.join()
print(len(locks))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_beside_any_held_lock_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", IN_THE_CHILD], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    made = [path for path in PACKAGE.rglob("*.py") if "= ForkSafeLock()" in path.read_text(encoding="utf-8")]
    assert int(done.stdout) >= len(made) - 1, "the blocks in Python are used on other machines only"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_enters_blocks_goes_on() -> None:
    code = """
import os, signal, sys, threading
import torch
import hiddenstate as hs
from torch import nn

sys.setswitchinterval(1e-5)
torch.set_num_threads(1)
lstm, theirs, x = hs.LSTM(4, 3), nn.LSTM(4, 3), torch.zeros(5, 2, 4)
is_over = threading.Event()

def enter():
    with hs.constant_weights(lstm), hs.accelerate(), lstm.edit(hs.zero("l0.f")):
        pass

def enter_all():
    while not is_over.is_set():
        enter()

thread = threading.Thread(target=enter_all)
thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        enter()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
is_over.set()
thread.join()
"""
    done = programs.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


BEFORE_THE_ENGINE = """
import os, signal, sys
{imports}
engine = "hiddenstate.engine.kernels"
assert engine not in sys.modules

def child(then):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # ends a child that hangs
        then()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def run():
    import torch
    from hiddenstate.engine import kernels
    torch.set_num_threads(2)
    lstm, x = hs.LSTM(256, 256).eval(), torch.randn(50, 32, 256)
    with torch.no_grad():
        out, stream = lstm(x)[0], lstm.stream(32)
        steps = [stream.step(step) for step in x]
        os.write(1, b"%d threads " % kernels.threads(50, 32, 256, 256))
        torch.set_num_threads(1)  # before torch's own operations
        assert torch.equal(out, lstm(x)[0]) and torch.equal(out, torch.stack(steps))

child(run)
child(lambda: child(run))
assert engine not in sys.modules  # a fork loads nothing
"""
WITH_TORCH = """
import torch, hiddenstate as hs
torch.set_num_threads(2)
torch.randn(1000, 1000).exp() @ torch.randn(1000, 1000)  # starts torch's threads
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.skipif(kernels.isa() is None, reason="the engine's threads are tested")
def test_a_child_forked_before_the_engine_is_loaded_does_not_wait_for_torchs_threads() -> None:
    for imports, threads in ((WITH_TORCH, 1), ("import hiddenstate as hs", 2)):
        code = BEFORE_THE_ENGINE.format(imports=imports)
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
        assert (ended.stdout, ended.stderr) == (f"{threads} threads " * 2, "")
