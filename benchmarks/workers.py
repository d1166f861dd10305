"""Workers: a process for each contestant.

Threads of onnxruntime and of torch spin for a while in case more work arrives, which slows everything else in their
process. So each contestant is made in its own process, where it waits for its turns and does nothing in between.

A worker ends when it is closed, and when the process that started it ends for any reason. One that dies, or does not
answer for too long, is ended too, and its caller gets a `LostError`.
"""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from contestants import Contestant, MissingPeerError
from measure import LostError, Pace, Turns

# Seconds within which a worker must answer: it makes a contestant and runs it once, or takes one turn.
PATIENCE = 300.0

# Spawned, not forked, so that nothing is inherited from this process.
PROCESSES = multiprocessing.get_context("spawn")

Make = Callable[[], Contestant]


class Entered(NamedTuple):
    """A worker's description of the contestant that it made: see `Contestant`; ``shown`` is from its first run."""

    name: str
    tolerance: float | None
    shown: Tensor


class Worker:
    """A process that makes a contestant and takes its turns. As a context manager, it ends with the block.

    Args:
        name: its name until its contestant is made. patience: seconds after which it is abandoned.
    """

    def __init__(self, name: str, patience: float = PATIENCE) -> None:
        self.name, self.patience = name, patience
        self._answers, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_serve, args=(theirs, torch.get_num_threads()), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def begin(self, make: Make) -> None:
        """Let it make a contestant, replacing any previous one; `entered` waits until that is done.

        Args:
            make: is pickled, so it must be a module's function or a `functools.partial` of one.
        """
        self._ask(make)

    def entered(self) -> Entered:
        """Return its description of the contestant that it made.

        Raises:
            MissingPeerError: there is no such contestant here.
            LostError: it died, hung or failed.
        """
        name, tolerance, shown = self._answer()
        self.name = name
        return Entered(name, tolerance, torch.from_numpy(shown))

    def turn(self, pace: Pace) -> float:
        self._ask(pace)
        seconds: float = self._answer()
        return seconds

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._answers.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: Make | Pace) -> None:
        with suppress(OSError):  # it has died, which its answer will show
            self._answers.send(request)

    def _answer(self) -> Any:
        if not self._answers.poll(self.patience):
            raise self._lost(f"did not answer for {self.patience:.0f} seconds")
        try:
            answer = self._answers.recv()
        except (EOFError, OSError):
            raise self._lost("died") from None
        if isinstance(answer, MissingPeerError):
            raise answer
        if isinstance(answer, LostError):
            raise self._lost(f"broke off: {answer}")
        return answer

    def _lost(self, how: str) -> LostError:
        self._process.kill()
        return LostError(f"{self.name} {how}, and is left out")


def _serve(requests: connection.Connection, threads: int) -> None:
    """Make contestants and take their turns, as requested by the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    Thread(target=_end_with_parent, daemon=True).start()
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    turns: Turns | None = None
    while True:
        request = requests.recv()
        try:
            if isinstance(request, Pace):
                assert turns is not None
                requests.send(turns.turn(request))
            else:
                turns = None  # frees the memory of the last one
                contestant = request()
                requests.send(_described(contestant))
                turns = Turns(contestant)
        except MissingPeerError as reason:
            requests.send(reason)
        except Exception as error:
            requests.send(LostError("".join(traceback.format_exception_only(error)).strip()))


def _described(contestant: Contestant) -> tuple[str, float | None, Any]:
    """Its name, its tolerance, and the compared results as NumPy arrays: tensors would use shared memory."""
    shown = contestant.shown(contestant.run())
    return contestant.name, contestant.tolerance, shown.detach().float().numpy()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
