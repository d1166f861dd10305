"""The active recorders: traces of one LSTM, or of a whole model."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hiddenstate.base import scoped
from hiddenstate.base.native_module import InForce
from hiddenstate.base.scoped import Block, Scoped, in_force, scope
from hiddenstate.tracing.record_spec import TraceOptions
from hiddenstate.tracing.trace import Trace
from hiddenstate.tracing.traceable import Traceable


class Recorder(Protocol):
    """Requests records of some of the calls made while it is active."""

    def asks(self, module: Traceable) -> TraceOptions | None:
        """Return what to record of a call of the module, or None; without side effects."""

    def receive(self, module: Traceable, trace: Trace) -> None:
        """Receive the record of a call."""


# Stored here, not in the modules, so that nothing can be left behind in them, and other threads never see it.
_requests: Scoped[Recorder] = ContextVar("hiddenstate_requests", default=())

# Functions that are passed each module called without a recorder, in any thread, so that a trace can report missed
# calls.
_watchers: "list[InForce[Callable[[Traceable], None]]]" = []


class Requested(NamedTuple):
    """A request of a recorder, with its options for one call."""

    recorder: Recorder
    asked: TraceOptions


def requested(module: Traceable) -> Sequence[Requested]:
    """Return the requests for the call of the module that begins now; usually there are none."""
    requests = would_be_requested(module)
    if not requests:
        for block in _watchers:
            for watch in block.entries:
                watch(module)
    for request, _ in requests:
        if isinstance(request, SingleCallRecorder):
            request.taken = True
    return requests


def would_be_requested(module: Traceable) -> Sequence[Requested]:
    """Return the requests that a call would have, without counting as the beginning of a call."""
    asking = in_force(_requests) if scoped.any_open else ()
    if not asking:
        return ()
    # Of the single-call recorders, only the innermost is active: the calls of the others have already begun or are yet
    # to come.
    innermost = next((request for request in reversed(asking) if isinstance(request, SingleCallRecorder)), None)
    listening = [request for request in asking if request is innermost or not isinstance(request, SingleCallRecorder)]
    asked = [(request, request.asks(module)) for request in listening]
    return [Requested(request, options) for request, options in asked if options is not None]


def watching(watch: Callable[[Traceable], None]) -> Block:
    """Return a context manager in which a function receives every module that is called unrecorded, in any thread."""
    return Block(_watchers, (watch,))


def requesting(request: Recorder) -> Block:
    """Return a context manager in which a request is active, only in this thread (or asyncio task)."""
    return scope(_requests, [request])


@dataclass(eq=False)
class SingleCallRecorder:
    """Records a module's next call, but no calls made inside or after it."""

    module: Traceable
    asked: TraceOptions
    taken: bool = False
    trace: Trace | None = None

    def asks(self, module: Traceable) -> TraceOptions | None:
        """Return what to record of the module's next call; None after its first."""
        return self.asked if module is self.module and not self.taken else None

    def receive(self, module: Traceable, trace: Trace) -> None:
        """Store the record."""
        self.trace = trace
