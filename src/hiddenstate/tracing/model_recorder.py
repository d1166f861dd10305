"""Records one run of a model: chooses modules and places, collects the traces of their calls, joins successive ones."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.indexing import FrozenIndex, Index, ascending, freeze, resolve
from hiddenstate.base.messages import shorten
from hiddenstate.base.validation import map_state
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.structure.names import has_place, list_places, parse_place, split_path
from hiddenstate.tracing.record_spec import Tokens, TraceOptions, check_names, naming, resolve_tokens
from hiddenstate.tracing.trace import Trace
from hiddenstate.tracing.traceable import Traceable, find_recordable, has_keras_layers, keras_needs, modules_of


def chained(calls: Sequence[Trace]) -> list[Trace]:
    """Join successive calls into one trace as long as each continues from the final state of the previous one."""
    chains: list[list[Trace]] = []
    for call in calls:
        if chains and goes_on(chains[-1][-1], call):
            chains[-1].append(call)
        else:
            chains.append([call])
    return [joined(chain) for chain in chains]


def goes_on(before: Trace, after: Trace) -> bool:
    """Whether a call continued from another's final state, forward and without lengths."""
    if before.bidirectional or before.lengths is not None or after.lengths is not None:
        return False
    if (before.layout, before.names, set(before.carried)) != (after.layout, after.names, set(after.carried)):
        return False
    cell = before.layers.cell
    left = [part[:, None] if before.layout == "T" else part for part in cell.parts_of(before.state)]
    return all(_same(a, b) for a, b in zip(left, cell.parts_of(after.initial), strict=True))


def _same(a: Tensor, b: Tensor) -> bool:
    alike = (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
    return alike and torch.allclose(a.detach(), b.detach(), rtol=0, atol=0, equal_nan=True)


def joined(chain: Sequence[Trace]) -> Trace:
    """Return one trace of calls that each continue from the previous one."""
    first, last = chain[0], chain[-1]
    if len(chain) == 1:
        return first
    starts = accumulate((call.length for call in chain), initial=0)
    outs = [call.out for call in chain if isinstance(call.out, Tensor)]  # none is packed: packed calls have lengths
    return replace(
        first,
        out=torch.cat(outs, dim=1 if first.layout == "NT" else 0),
        state=last.state,
        values={name: torch.cat([call.values[name] for call in chain]) for name in first.values},
        carried={name: torch.cat([call.carried[name] for call in chain]) for name in first.carried},
        steps=tuple(start + t for start, call in zip(starts, chain, strict=False) for t in call.steps),
        length=sum(call.length for call in chain),
        reset=_joined_reset(chain),
        tokens=_joined_tokens(chain),
        reset_to=_joined_reset_to(chain),
    )


def _joined_reset(chain: Sequence[Trace]) -> Tensor | None:
    if all(call.reset is None for call in chain):
        return None
    device = chain[0].initial[0].device  # the states are pairs or tensors
    none = [torch.zeros(call.length, call.batch, dtype=torch.bool, device=device) for call in chain]
    return torch.cat([other if call.reset is None else call.reset for call, other in zip(chain, none, strict=True)])


def _joined_reset_to(chain: Sequence[Trace]) -> Any:
    """Return the states after all borders, for each step and row; zeros for calls without ``reset_to``."""
    if all(call.reset_to is None for call in chain):
        return None
    cell = chain[0].layers.cell
    return cell.as_given([torch.cat([_by_step(call, k) for call in chain], dim=1) for k in range(len(cell.carried))])


def _by_step(call: Trace, k: int) -> Tensor:
    cell, count = call.layers.cell, call.length * call.batch
    initial = cell.parts_of(call.initial)[k]
    if call.reset_to is None:
        return initial.new_zeros(len(initial), count, initial.shape[2])
    states = cell.parts_of(call.reset_to)[k]
    return states if states.shape[1] == count else states.repeat(1, call.length, 1)


def _joined_tokens(chain: Sequence[Trace]) -> tuple[tuple[str, ...], ...] | None:
    tokens = [call.tokens for call in chain if call.tokens is not None]
    if len(tokens) < len(chain):
        return None
    return tuple(tuple(word for piece in row for word in piece) for row in zip(*tokens, strict=True))


def narrowed(trace: Trace, steps: FrozenIndex, tokens: Tokens | None) -> Trace:
    """Return a trace reduced to the chosen steps, with a token for each; all of its steps must have been recorded."""
    times = ascending(resolve(steps, trace.length, "steps"))
    if not times:
        raise ArgumentError(f"nothing to record: 0 of {trace.length} steps (steps=)")
    every = len(times) == trace.length
    return replace(
        trace,
        values=trace.values if every else {name: value[list(times)] for name, value in trace.values.items()},
        steps=tuple(times),
        tokens=resolve_tokens(tokens, trace.length, trace.batch, None),
    )


THEIRS = (nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell, nn.RNN, nn.RNNCell)
MOST_PATHS = 8  # maximum number of paths listed in a message


class Chosen(NamedTuple):
    """The modules of a model to record, by path, and the paths of torch's own LSTMs, which are not recorded."""

    modules: Mapping[str, Traceable]
    theirs: tuple[str, ...]


def chosen_modules(model: nn.Module, paths: Sequence[str] | None) -> Chosen:
    """Find the modules to record: all, or those at or under one of the paths."""
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"trace takes a torch.nn.Module, got {type(model).__name__}")
    every = modules_of(model)
    recordable = {path: find_recordable(module) for path, module in every}
    ours = {path: traceable for path, traceable in recordable.items() if traceable is not None}
    theirs = tuple(path for path, module in every if isinstance(module, THEIRS) and path not in ours)
    if not ours:
        raise ArgumentError(_none_of_ours(model, theirs))
    if paths is None:
        return Chosen(ours, theirs)
    if isinstance(paths, str):
        raise ArgumentTypeError(f"paths must be a list of module paths, got the string {paths!r}: write [{paths!r}]")
    wanted = {module for path in paths for module in _under(path, ours, theirs)}
    return Chosen({path: module for path, module in ours.items() if module in wanted}, theirs)


def _none_of_ours(model: nn.Module, theirs: Sequence[str]) -> str:
    kind = type(model).__name__
    if not theirs and has_keras_layers(model):
        return keras_needs(model)
    if not theirs:
        return f"there is no hiddenstate layer or cell in this {kind} (modules in plain Python lists are not found)"
    return (
        f"the layers and cells of this {kind} are torch's own ({list_paths(theirs)}), which can't be recorded: open a "
        "block with hs.accelerate(), or convert them first, with model = hs.convert(model)"
    )


def _under(path: str, ours: Mapping[str, Traceable], theirs: Sequence[str]) -> list[Traceable]:
    below = [module for other, module in ours.items() if not path or f"{other}.".startswith(f"{path}.")]
    if not below:
        hint = (
            " (that is torch's own: open a block with hs.accelerate(), or convert the model)" if path in theirs else ""
        )
        raise NameUnknownError(
            f"no hiddenstate layer or cell at or under {path!r}{hint}: the model has {list_paths(ours)}"
        )
    return below


def record_specs(
    chosen: Chosen,
    keep: Sequence[str] | None,
    steps: Index,
    pre: bool,
    tokens: Tokens | Mapping[str, Tokens] | None,
    limit: int | None,
) -> dict[Traceable, TraceOptions]:
    """Return what to record of each module; modules with none of the places are omitted."""
    by_path = tokens if isinstance(tokens, Mapping) else dict.fromkeys(chosen.modules, tokens)
    unknown = [path for path in by_path if path not in chosen.modules]
    if unknown:
        raise NameUnknownError(
            f"tokens are for {list_paths(unknown)}, but the recorded modules are {list_paths(chosen.modules)}"
        )
    words = {chosen.modules[path]: own for path, own in by_path.items()}
    names: dict[Traceable, str] = {}
    for path, module in chosen.modules.items():
        names.setdefault(module, list_paths([path]))
    places = _places_by_module(chosen.modules, keep)
    return {
        module: TraceOptions(kept, steps, pre, words.get(module), limit, names[module])
        for module, kept in places.items()
    }


def _places_by_module(
    modules: Mapping[str, Traceable], keep: Sequence[str] | None
) -> Mapping[Traceable, Sequence[str] | None]:
    """Return the places of ``keep`` that each module has; a place with a module path is only for that module."""
    every = dict.fromkeys(modules.values())
    if keep is None:
        return every
    kept: dict[Traceable, dict[str, None]] = {module: {} for module in every}
    wanted = check_names(keep)
    if not wanted:
        raise ArgumentError("nothing to record: keep= is empty")
    for name in wanted:
        path, place = split_path(name) if isinstance(name, str) else ("", name)
        meant = [layer for at, layer in modules.items() if not path or at == path]
        having = [layer for layer in meant if has_place(place, *layer._traced_layers())]
        if not having:
            raise _unknown_place(name, path, modules)
        for layer in having:
            kept[layer][place] = None
    return {module: list(names) for module, names in kept.items() if names}


def _unknown_place(name: str, path: str, modules: Mapping[str, Traceable]) -> NameUnknownError:
    layers = {at: module._traced_layers() for at, module in modules.items()}
    if not path:
        try:
            parse_place(name, *max(layers.values(), key=lambda each: len(each.directions)))
        except NameUnknownError as error:  # raises an error that explains the problem with the name
            return error
    return NameUnknownError(f"no place {shorten(name)} in this model: its places are {list_places(layers, path)}")


def list_paths(paths: Iterable[str]) -> str:
    """Write module paths for a message, shortened."""
    named = [repr(path) if path else "the model itself" for path in paths]
    return ", ".join(named[:MOST_PATHS]) + (f" and {len(named) - MOST_PATHS} others" * (len(named) > MOST_PATHS))


@dataclass(eq=False)
class ModelRecording:
    """Records every call of some modules and keeps the traces."""

    asked: Mapping[Traceable, TraceOptions]
    heard: dict[Traceable, list[Trace]] = field(default_factory=dict)
    spent: int = 0
    missed: set[Traceable] = field(default_factory=set)

    def asks(self, module: Traceable) -> TraceOptions | None:
        """Return what to record of a call, and how many bytes were recorded before it."""
        asked = self.asked.get(module)
        if asked is None:
            return None
        if module._traces_steps:  # a cell's steps are chosen after the run, when all calls are known
            asked = asked._replace(steps=None, tokens=None)
        return asked._replace(spent=self.spent)

    def receive(self, module: Traceable, trace: Trace) -> None:
        """Store a copy of a record, because the model may write into its tensors."""
        self.spent += trace.nbytes
        self.heard.setdefault(module, []).append(_copied(trace))

    def miss(self, module: Traceable) -> None:
        """Note a call that this run cannot record."""
        if module in self.asked:
            self.missed.add(module)

    def warn_of_nothing(self, paths: Mapping[str, Traceable]) -> None:
        """Warn about modules that were called elsewhere, or if no module was called at all."""
        elsewhere = [path for path, module in paths.items() if module in self.missed and module not in self.heard]
        if elsewhere:
            warnings.warn(
                f"nothing was recorded of {list_paths(elsewhere)}, which was called in another thread or asyncio "
                "task: only calls in the thread of hs.trace are recorded. Call hs.trace in the thread that runs the "
                "model, or run the model in this one, with a different call=",
                stacklevel=3,
            )
        elif not self.heard:
            warnings.warn(
                "nothing was recorded: no layer or cell of the model was called in this thread. Calls in other "
                "processes, calls of copies of the model (as in DataParallel) and steps of streams are not recorded",
                stacklevel=3,
            )

    def collect(self, module: Traceable) -> tuple[Trace, ...]:
        """Return the traces of one module, in the order of its calls."""
        heard, asked = self.heard.get(module, []), self.asked[module]
        if not module._traces_steps:
            return tuple(heard)
        with naming(asked.name):
            return tuple(narrowed(trace, freeze(asked.steps, "steps"), asked.tokens) for trace in chained(heard))


def _copied(trace: Trace) -> Trace:
    out = trace.out
    copy = PackedSequence(out.data.clone(), *out[1:]) if isinstance(out, PackedSequence) else out.clone()
    return replace(trace, out=copy, state=map_state(torch.clone, trace.state))
