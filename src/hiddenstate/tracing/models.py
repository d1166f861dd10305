"""Traces of whole models: records every LSTM and cell inside in one run, as plain Python even if it is compiled."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from torch import nn

from hiddenstate.base.forks import in_forked_children
from hiddenstate.base.indexing import Index, freeze
from hiddenstate.base.native_module import InForce, Switch
from hiddenstate.base.scoped import Block
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.structure.names import at_path, split_path
from hiddenstate.tracing.model_recorder import (
    MOST_PATHS,
    ModelRecording,
    chosen_modules,
    goes_on,
    joined,
    list_paths,
    record_specs,
)
from hiddenstate.tracing.record_spec import DEFAULT_TRACE_LIMIT, Tokens
from hiddenstate.tracing.recorders import requesting, watching
from hiddenstate.tracing.trace import Trace

# The stance of torch's compiler while any block is open, which all threads share, and the open blocks.
_stance: Switch | None = None
_blocks: "list[InForce[None]]" = []


def as_written() -> Block:
    """Return a block that runs compiled code as it is written, so that even ``fullgraph=True`` can be recorded."""
    # If torch's compiler is not loaded, nothing is compiled, and loading it would take seconds.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is None:
        return Block()
    compiler._set_stance(compiler._stance)  # raises if called inside a compiled function, in any thread
    return Block(_blocks, (None,), (_forced_eager(compiler),))


def _forced_eager(compiler: Any) -> Switch:
    # `torch.compiler.set_stance` runs several lines of Python, which Ctrl-C could interrupt midway.
    global _stance
    if _stance is None:
        _stance = Switch(vars(compiler), "_stance", compiler.DynamoStance("force_eager"))
    return _stance


def _end_all() -> None:
    """In a forked process, end the blocks of threads that do not exist there."""
    for block in [*_blocks]:
        block.close()


in_forked_children(_end_all)


@dataclass(frozen=True, eq=False, repr=False)
class ModelTrace(Mapping[str, Trace]):
    """The values that a model's layers and cells computed in one run. Created by `hiddenstate.trace`.

    A mapping from module paths to traces: ``run["encoder.lstm"]``. It contains the modules that were called; a module
    with several paths in the model can be looked up by any of them.

    Attributes:
        out: the model's return value.
        by_path: maps each path to the traces of the module's calls, in their order; empty if it was not called.
        theirs: the paths of torch's own layers and cells, which are not recorded.
    """

    out: Any
    by_path: Mapping[str, tuple[Trace, ...]]
    theirs: tuple[str, ...] = ()

    def calls(self, path: str) -> tuple[Trace, ...]:
        """Return the traces of a module, one for each of its calls, in their order; empty if it was not called.

        Successive steps of a cell that carry the state form one trace.

        Raises:
            NameUnknownError: no layer or cell was recorded under this path.
        """
        if path not in self.by_path:
            raise NameUnknownError(self._unknown(path))
        return self.by_path[path]

    def joined(self, path: str) -> Trace:
        """Return the calls of a module as one trace; each call must continue from the final state of the previous one.

        Raises:
            NameUnknownError: no layer or cell was recorded under this path, or it was not called.
            ArgumentError: a call did not continue from the previous one, the layer is bidirectional, or rows have
            lengths.
        """
        calls = self._called(path)
        for k, (before, after) in enumerate(pairwise(calls), start=1):
            if not goes_on(before, after):
                raise ArgumentError(
                    f"run.calls({path!r})[{k}] does not continue from the previous call: it began with a different "
                    "state or layout, or the layer is bidirectional, or rows have lengths"
                )
        return joined(calls)

    def trace_at(self, path: str) -> Trace:
        """Return the trace of a module, like ``run[path]``; with an empty path, the only layer's."""
        only = "" not in self.by_path and at_path("", self.by_path) is not None
        return self[next(iter(self.by_path)) if path == "" and only else path]

    def __getitem__(self, path: str) -> Trace:
        calls = self._called(path)
        if len(calls) > 1:
            raise ArgumentError(
                f"{path!r} was called {len(calls)} times in this run: run.calls({path!r}) returns each trace, and "
                f"run.joined({path!r}) joins them if the state was carried"
            )
        return calls[0]

    def __contains__(self, path: object) -> bool:
        return bool(self.by_path.get(path))  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[str]:
        return (path for path, calls in self.by_path.items() if calls)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def nbytes(self) -> int:
        """The size of the recorded values in bytes."""
        sizes = {id(call): call.nbytes for calls in self.by_path.values() for call in calls}
        return sum(sizes.values())

    # Runs are compared by identity, like traces, because the mapping's comparison would compare tensors.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        lines = [f"  {path!r}: {_summary(calls)}" for path, calls in self.by_path.items()]
        lines += [f"  {path!r}: not recorded, since it is torch's own" for path in self.theirs]
        return "\n".join([f"ModelTrace of {len(self)} modules, {self.nbytes:,} bytes", *lines])

    def _called(self, path: str) -> tuple[Trace, ...]:
        calls = self.calls(path)
        if not calls:
            raise NameUnknownError(
                f"{path!r} was not called in this run, or called where it cannot be recorded: in another thread, as a "
                "replica, or as a stream"
            )
        return calls

    def _unknown(self, path: str) -> str:
        if path in self.theirs:
            return f"{path!r} is torch's own, which is not recorded: use hs.accelerate() or hs.convert(model)"
        module, place = split_path(str(path))
        if module in self.by_path and place:
            return f"{path!r} is a place, not the path of a module: write run[{module!r}][{place!r}]"
        near = get_close_matches(str(path), self.by_path, n=MOST_PATHS) or self.by_path
        if path == "":
            return f"this run recorded several modules: {list_paths(near)}. Write the path before the place"
        return f"no layer or cell was recorded as {path!r}: the run has {list_paths(near)}"


def _summary(calls: Sequence[Trace]) -> str:
    if not calls:
        return "not called"
    times = ", ".join(f"{len(call.steps)} of {call.length}" for call in calls[:4]) + (", ..." if calls[4:] else "")
    count = "1 trace" if len(calls) == 1 else f"{len(calls)} traces"
    return f"{count}, {times} steps, {calls[0].batch} rows, {len(calls[0].names)} places"


def trace(
    model: nn.Module,
    /,
    *args: Any,
    keep: Sequence[str] | None = None,
    steps: Index = None,
    pre: bool = False,
    tokens: Tokens | Mapping[str, Tokens] | None = None,
    limit: int | None = DEFAULT_TRACE_LIMIT,
    paths: Sequence[str] | None = None,
    call: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> ModelTrace:
    """Run a model once and record every `hiddenstate` layer and cell inside it.

    Differentiable; the results equal those of a plain run. Only calls made in this thread (or asyncio task) are
    recorded. A cell's successive calls form one trace, with a time step for each call, as long as each is given the
    state that the previous one returned. Changes that forward hooks make to a layer's output are not in its trace.

    Args:
        model: any module. torch's own layers in it are recorded while `hiddenstate.accelerate` is active;
            `hiddenstate.convert` converts them to ours.
        args: positional arguments of the model.
        keep: the places to record, such as ``["l0.f", "l1.c"]``, in each layer that has them, or with a module path,
            such as ``["encoder.l0.f"]``, only in that module. All if None.
        steps: the time steps of each call to record; all if None.
        pre: whether to record the gates' pre-activations as well.
        tokens: a word for each step, as in `hiddenstate.LSTM.trace`: the same for every layer, or a mapping from paths.
        limit: the maximum size of all records together in bytes; None for no limit.
        paths: the paths of the modules to record, or of modules that contain them; all if None.
        call: the function to run instead of the model itself, such as ``model.generate``. It must call the model in
            this thread; a warning is issued if nothing was recorded.
        kwargs: keyword arguments of the model.

    Returns:
        The `ModelTrace`.

    Raises:
        ArgumentTypeError: the model is not a `torch.nn.Module`, or an argument has a wrong type.
        ArgumentError: the model contains no layer or cell of ours, or there is nothing to record.
        NameUnknownError: ``keep`` names a place that no layer has, or ``paths`` or ``tokens`` an unknown path.
        TraceTooLargeError: the record would take more than ``limit`` bytes. The run stops at that call.
        ShapeError, IndexRangeError: tokens or steps do not fit a call; the message names the module.
    """
    chosen = chosen_modules(model, paths)
    run = ModelRecording(record_specs(chosen, keep, freeze(steps, "steps"), pre, tokens, limit))
    with requesting(run), watching(run.miss), as_written():
        out = (model if call is None else call)(*args, **kwargs)
    run.warn_of_nothing(chosen.modules)
    traces = {module: run.collect(module) for module in run.asked}
    by_path = {path: traces[module] for path, module in chosen.modules.items() if module in traces}
    return ModelTrace(out, by_path, chosen.theirs)
