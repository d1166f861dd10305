"""Who wants a record of the calls that are made now: a trace of one LSTM, or of a whole model."""

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
    """Wants a record of some of the calls that are made while it holds."""

    def asks(self, module: Traceable) -> TraceOptions | None:
        """Say what to record of a call of the module, or None; changes nothing."""

    def take(self, module: Traceable, trace: Trace) -> None:
        """Receive the record of a call."""


# Kept here and not in the modules, so nothing can be left behind in them, and other threads never see it.
_requests: Scoped[Recorder] = ContextVar("hiddenstate_requests", default=())

# Called with modules that are called unrecorded; for all threads, so that a trace can tell what it does not see.
_watchers: "list[InForce[Callable[[Traceable], None]]]" = []


class Requested(NamedTuple):
    """A request, and what it asks of one call."""

    request: Recorder
    asked: TraceOptions


def requested(module: Traceable) -> Sequence[Requested]:
    """Return what is to be recorded of the module's call that begins now, and for whom: usually nothing."""
    found = would_be_requested(module)
    if not found:
        for block in _watchers:
            for watch in block.entries:
                watch(module)
    for request, _ in found:
        if isinstance(request, SingleCallRecorder):
            request.taken = True
    return found


def would_be_requested(module: Traceable) -> Sequence[Requested]:
    """Return the same of a call that does not begin: no recorder takes it for its call."""
    asking = in_force(_requests) if scoped.any_open else ()
    if not asking:
        return ()
    # Of traces of single calls only the innermost is at work: the others' calls have begun or are yet to come.
    innermost = next((request for request in reversed(asking) if isinstance(request, SingleCallRecorder)), None)
    listening = [request for request in asking if request is innermost or not isinstance(request, SingleCallRecorder)]
    asked = [(request, request.asks(module)) for request in listening]
    return [Requested(request, found) for request, found in asked if found is not None]


def watching(watch: Callable[[Traceable], None]) -> Block:
    """Return a block in which a function is called, in any thread, with every module whose call nobody records."""
    return Block(_watchers, (watch,))


def requesting(request: Recorder) -> Block:
    """Return a block in which a request is in force, in this thread (or asyncio task) only."""
    return scope(_requests, [request])


@dataclass(eq=False)
class SingleCallRecorder:
    """Wants the record of a module's next call; those that are made inside or after it are plain again."""

    module: Traceable
    asked: TraceOptions
    taken: bool = False
    trace: Trace | None = None

    def asks(self, module: Traceable) -> TraceOptions | None:
        """Say what to record of the module's call, until one has begun."""
        return self.asked if module is self.module and not self.taken else None

    def take(self, module: Traceable, trace: Trace) -> None:
        """Keep the record."""
        self.trace = trace
