"""Workers: a process for each contestant.

Threads of onnxruntime and of torch spin for a while in the hope of more work, and whoever shares their process pays for
it. So each contestant is made in a process of its own, where it waits for its turns and does nothing in between.

A worker ends when it is closed, and when the process that started it ends, however that does. One that dies, or that
does not answer for too long, is ended too, and whoever waits for it gets a `LostError`.
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

# Seconds in which a worker answers: it makes a contestant and runs it once, or takes one turn.
PATIENCE = 300.0

# Spawned, not forked: nothing of what ran in this process before is there.
PROCESSES = multiprocessing.get_context("spawn")

Make = Callable[[], Contestant]


class Entered(NamedTuple):
    """What a worker says of the contestant that it made: see `Contestant`; ``shown`` is of its first run."""

    name: str
    tolerance: float | None
    shown: Tensor


class Worker:
    """A process that makes a contestant and takes its turns. As a block, it ends with it.

    Args:
        name: what it is called until its contestant is made.
        patience: seconds after which it is given up.
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
        """Let it make a contestant, instead of one that it may have had; `entered` waits until that is done.

        Args:
            make: is pickled, and so is a function of a module, or a `functools.partial` of one.
        """
        self._ask(make)

    def entered(self) -> Entered:
        """Return what it says of the contestant that it made.

        Raises:
            MissingPeerError: there is no such contestant here.
            LostError: it died, hangs or broke off.
        """
        name, tolerance, shown = self._answer()
        self.name = name
        return Entered(name, tolerance, torch.from_numpy(shown))

    def turn(self, pace: Pace) -> float:
        self._ask(pace)
        seconds: float = self._answer()
        return seconds

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self._answers.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: Make | Pace) -> None:
        with suppress(OSError):  # of one that died, which its answer will show
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
    """Make contestants, and take their turns, as the process that started this one asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started it
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
                turns = None  # frees what the last one had
                contestant = request()
                requests.send(_described(contestant))
                turns = Turns(contestant)
        except MissingPeerError as reason:
            requests.send(reason)
        except Exception as error:
            requests.send(LostError("".join(traceback.format_exception_only(error)).strip()))


def _described(contestant: Contestant) -> tuple[str, float | None, Any]:
    """Its name, its tolerance, and what is shown of a run, as NumPy's: torch's own would go through shared memory."""
    shown = contestant.shown(contestant.run())
    return contestant.name, contestant.tolerance, shown.detach().float().numpy()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
