"""Runs the module on an example and on copies of it that differ in one row, one step or the padding, and compares."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.doctor.example import Example, Part, read_example
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.interop.torch.accelerate.acceleration import accelerate
from hiddenstate.tracing.models import as_written
from hiddenstate.tracing.traceable import has_keras_layers
from hiddenstate.tracing.watch import (
    LayerCall,
    Run,
    Snapshot,
    Watch,
    failing_line,
    hidden_modules,
    is_other,
    leaves_in,
    map_tree,
    tensors_in,
)

SEED = 0
_SAME_ROW = 1e-6  # differences up to this part of the largest value are rounding, such as of a scale for a whole batch
_EXTRA_PADDING = 3
_STATE_NAMES = ("state", "states", "hidden", "hx", "hidden_state", "hidden_states", "h", "hc", "rnn_state", "memory")
STEPS = {"first": 0, "before the last": -2, "last": -1}


@dataclass
class Question:
    """The arguments of `check`."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Any = None
    loss: Callable[..., Any] | None = None
    layout: str | None = None
    lengths: Any = None
    causal: bool | None = None


class Chunked(NamedTuple):
    """A run in two chunks, the second starting from the state that the first returned, and a run of the whole."""

    argument: str
    whole: Tensor
    chunks: Tensor
    fresh: Tensor  # the second chunk from no state


@dataclass
class Observations:
    """All runs of a module. A value is an index of ``base.values``, and means the same in all runs."""

    question: Question
    example: Example
    base: Run
    runner: "Runner"
    row_runs: list[Run] = field(default_factory=list)
    step_runs: dict[str, Run] = field(default_factory=dict)
    again: Run = field(default_factory=Run)  # the same again, without putting back what the model keeps
    reseeded: Run = field(default_factory=Run)
    kept_graph: bool = False  # whether the second call's results go back to the first call
    padded: Run | None = None  # with other values after the end of each row
    lengthened: Run | None = None  # with more padding
    restated: Run | None = None  # with other initial states, if the example has some
    chunked: Chunked | None = None
    single: Run | None = None  # with one row, if something is squeezed
    untested: dict[str, str] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    example_shape: tuple[int, ...] = ()
    noise: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(SEED))
    layer_gradients: dict[int, Tensor | None] = field(default_factory=dict)  # by input or output
    parameter_gradients: dict[str, Tensor | None] = field(default_factory=dict)
    state_gradients: list[Tensor | None] = field(default_factory=list)  # of the states that are passed in

    @property
    def model(self) -> nn.Module:
        """The module."""
        return self.question.model

    def rerun(self, example: Example) -> Run:
        """Run the module on a changed copy of the example."""
        return self.runner.run(example, self.base)

    @cached_property
    def without_longest(self) -> Run | None:
        """A run in which the longest rows are replaced; None if all are as long, it fails, or draws random numbers."""
        lengths = self.example.lengths
        if lengths is None or int(lengths.min()) == int(lengths.max()) or not self.reseeded.is_as(self.base):
            return None
        run = self.runner.run(self.example.without_longest())
        return None if run.error else run

    def is_read(self, path: str) -> bool:
        """Whether other outputs of a recurrent module change a result, even where nothing recorded leads there."""
        run = self.runner.run(self.example, self.base, shifted=self.by_layer[path][0].layer)
        pairs = zip(self.base.results, run.results, strict=False)
        return bool(run.error) or any(is_other(run.values[k].tensor, self.base.values[old].data) for old, k in pairs)

    @cached_property
    def by_layer(self) -> dict[str, list[LayerCall]]:
        """The calls of each recurrent module by path, in order."""
        calls: dict[str, list[LayerCall]] = {}
        for call in self.base.calls:
            calls.setdefault(call.path, []).append(call)
        return calls

    @cached_property
    def used(self) -> set[int]:
        """The values from which the results were computed."""
        return self.base.ancestors(self.base.results)

    def owners(self, value: int) -> Tensor | None:
        """Return the row of the example that each element depends on: -1 for none, -2 for several."""
        masks = [run.change_of(value) for run in self.row_runs]
        if len(masks) < 2 or any(mask is None for mask in masks):
            return None
        shape = self.base.values[value].data.shape
        stacked = torch.stack([mask.expand(shape).cpu() for mask in masks if mask is not None])
        count = stacked.sum(0)
        owner = stacked.long().argmax(0)
        return torch.where(count == 0, -1, torch.where(count == 1, owner, -2))

    def is_mixed(self, value: int) -> bool:
        """Whether an element depends on several rows."""
        owners = self.owners(value)
        return owners is not None and bool((owners == -2).any())

    def has_rows(self, value: int) -> bool:
        """Whether a value has elements of several rows."""
        owners = self.owners(value)
        return owners is not None and int((owners.unique() >= 0).sum()) > 1

    def depends_on_rows(self, value: int) -> bool:
        """Whether a value depends on the example at all."""
        owners = self.owners(value)
        return owners is not None and bool((owners != -1).any())

    def row_axes(self, value: int) -> dict[int, list[int]]:
        """Return the axes along which each slice belongs to one row, and which; -1 for none."""
        owners = self.owners(value)
        return {} if owners is None else axes_of_rows(owners, len(self.row_runs))

    def changed(self, name: str, value: int) -> Tensor | None:
        """Return which elements depend on a step, one of STEPS."""
        run = self.step_runs.get(name)
        mask = None if run is None else run.change_of(value)
        return mask if mask is None else mask.expand(self.base.values[value].data.shape)

    def depends(self, name: str, value: int) -> bool | None:
        """Whether a value depends on a step at all; None if unknown."""
        mask = self.changed(name, value)
        return None if mask is None else bool(mask.any())

    def depends_on_steps(self, value: int) -> bool:
        """Whether a value is known to depend on one of the steps that were changed."""
        return any(run.is_changed(value) for run in self.step_runs.values())

    def result_axes(self, value: int) -> tuple[int | None, int | None]:
        """Return the axes of rows and of time steps of a result; None if it has no such axis."""
        shape = self.base.values[value].data.shape
        rows = next(iter(self.row_axes(value)), None)
        if rows is None and self.example.rows in shape and len(self.row_runs) < 2:
            rows = [*shape].index(self.example.rows)
        return rows, next(iter(self.step_axes(value, rows)), None)

    def step_axes(self, value: int, rows: int | None) -> list[int]:
        """Return the axes that are as long as the example, and only that of time if changes of the last step tell."""
        shape = self.base.values[value].data.shape
        axes = [axis for axis, size in enumerate(shape) if size == self.example.steps and axis != rows]
        mask = self.changed("last", value) if len(axes) > 1 else None
        if mask is None or not bool(mask.any()):
            return axes
        start = self.example.steps - 1 if self.example.lengths is None else int(self.example.lengths.min()) - 1
        told = [axis for axis in axes if start and not bool(mask.narrow(axis, 0, start).any())]
        return told if len(told) == 1 else axes

    def gradients(self, of: Tensor, to: Mapping[Any, Tensor]) -> dict[Any, Tensor | None]:
        """Return the gradient of a number with respect to each tensor; None if there is none."""
        gradients: dict[Any, Tensor | None] = dict.fromkeys(to)
        leading = {key: tensor for key, tensor in to.items() if tensor.requires_grad and of.requires_grad}
        if leading:
            try:
                parts = torch.autograd.grad(of, [*leading.values()], retain_graph=True, allow_unused=True)
            except RuntimeError as error:  # an operation has no derivative, or changed what it needs in place
                self.untested["gradients"] = f"the backward pass fails: {str(error).splitlines()[0]}"
            else:
                gradients |= dict(zip(leading, parts, strict=True))
        return gradients

    def weighted_sum(self, pick: Callable[[int, Tensor], Tensor | None] = lambda _, tensor: tensor) -> Tensor | None:
        """Return the sum of all results, or of what is picked from each, with random weights, if it has gradients."""
        total = None
        generator = torch.Generator().manual_seed(SEED + 1)
        for value in self.base.results:
            tensor = pick(value, self.base.values[value].tensor)
            if tensor is not None and tensor.requires_grad and tensor.is_floating_point():
                weights = torch.randn(tensor.shape, generator=generator).to(tensor)
                part = (torch.nan_to_num(tensor) * weights).sum()
                total = part if total is None else total + part
        return total

    def take_gradients(self) -> None:
        """Set `layer_gradients` and `parameter_gradients`, before a later run changes in place what they need."""
        values = {k: self.base.values[k].tensor for call in self.base.calls for k in (call.x, *call.outputs) if k >= 0}
        weights = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        leaves = zip(self.example.leaves, self.example.parts, strict=True)
        parts = [part for leaf, part in leaves if isinstance(leaf, (Tensor, PackedSequence))]
        passed = [k for k, part in zip(self.base.inputs, parts, strict=False) if (part.kind, part.rows) == ("rows", 1)]
        states = {f"state {k}": self.base.values[k].tensor for k in passed}
        total = self.weighted_sum()
        if total is not None:  # in one backward pass, which takes longer than a run
            gradients = self.gradients(total, {**values, **weights, **states})
            self.layer_gradients = {k: gradients[k] for k in values}
            self.state_gradients = [gradients[name] for name in states]
            self.parameter_gradients = {name: gradients[name] for name in weights}

    def lengths_along(self, value: int, rows: int) -> Tensor:
        """Return the true length of each slice along a value's axis of rows, which may be in a different order."""
        lengths = self.example.lengths
        size = self.base.values[value].data.shape[rows]
        if lengths is None:
            return torch.full((size,), self.example.steps)
        order = self.row_axes(value).get(rows, [])
        if len(order) == size and -1 not in order:
            return lengths[order]
        return lengths if len(lengths) == size else torch.full((size,), self.example.steps)

    def operation(self, value: int) -> str:
        """Name the operation that computed a value, with the line of the user's code."""
        return self.base.values[value].place

    def module_of(self, value: int) -> str:
        """Return the path of the module in which a value was computed."""
        return self.base.values[value].module


def by_row_and_step(tensor: Tensor, rows: int, steps: int) -> Tensor:
    """Return a tensor as [rows, steps, all other axes]."""
    return tensor.movedim((rows, steps), (0, 1)).flatten(2) if tensor.dim() > 2 else tensor.movedim(rows, 0)[..., None]


def axes_of_rows(owners: Tensor, rows: int) -> dict[int, list[int]]:
    """Return the axes along which each slice belongs to one row, and the row of each slice."""
    axes: dict[int, list[int]] = {}
    if not owners.numel() or bool((owners == -2).any()):
        return axes
    for axis in range(owners.dim()):
        lines = owners.movedim(axis, 0).reshape(owners.shape[axis], -1)
        present = torch.stack([(lines == row).any(1) for row in range(rows)])
        if int(present.sum(0).max()) <= 1 and int(present.any(1).sum()) > 1:
            axes[axis] = torch.where(present.any(0), present.long().argmax(0), -1).tolist()
    return axes


class Runner:
    """Runs the module in eval mode, each time from its original state."""

    def __init__(self, question: Question, snapshot: Snapshot) -> None:
        self._question, self._snapshot = question, snapshot
        self.with_gradient = True  # to the example

    def run(
        self,
        example: Example,
        against: Run | None = None,
        tolerance: float = 0.0,
        *,
        seed: int = SEED,
        keeps: bool = False,
        shifted: nn.Module | None = None,
    ) -> Run:
        """Run it once, without resetting what it ``keeps`` from the last run, or with 1 added to a module's outputs."""
        if not keeps:
            self._snapshot.put_back()
        if shifted is not None:
            shifted.register_forward_hook(_plus_one)  # put back with the rest
        self._snapshot.set_seed(seed)
        model = self._question.model.eval()
        for _, module in hidden_modules(model):
            module.eval()
        watch = Watch(model, against, tolerance)
        try:
            # On the CPU, torch's layers take a fraction of the time on the engine.
            with as_written(), accelerate(), torch.enable_grad(), warnings.catch_warnings(), _without_cudnn():
                warnings.simplefilter("ignore")
                with watch.watching():
                    self._call(watch, model, example)
        except Exception as error:
            where = watch.where()
            watch.run.error = f"{type(error).__name__} in {f'`{where}`' if where else 'its forward'}: {error}"
            watch.run.line = failing_line(error)
        return watch.run

    def _call(self, watch: Watch, model: nn.Module, example: Example) -> None:
        differentiable = example.mapped(lambda leaf, _: self._prepared(leaf))
        for tensor in tensors_in([differentiable.args, differentiable.kwargs]):
            watch.run.inputs.append(watch.record("input", (), tensor))
        run = watch.run
        run.out = model(*differentiable.args, **differentiable.kwargs)
        results = [watch.index_of(tensor) for tensor in tensors_in(run.out)]
        plain = [k for k in results if not run.is_state(k) and k not in run.inputs]
        run.results = [*dict.fromkeys(plain or results)]
        run.loss_from = len(run.values)
        if self._question.loss is not None and example.targets is not None:
            try:
                loss = self._question.loss(run.out, differentiable.targets)
            except Exception as error:  # the model itself can still be tested
                pair = run.out, differentiable.targets
                sizes = [
                    ", ".join(str([*tensor.shape]) for tensor in tensors_in(tree)) or f"of type {type(tree).__name__}"
                    for tree in pair
                ]
                run.loss_error = f"results {sizes[0]} and targets {sizes[1]}: {type(error).__name__}: {error}"
            else:
                run.loss = loss if isinstance(loss, Tensor) else None

    def _prepared(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or not self.with_gradient:
            return leaf
        return leaf.detach().clone().requires_grad_() * 1


def _plus_one(_: nn.Module, __: Any, out: Any) -> Any:
    return map_tree(out, lambda x: x._replace(data=x.data + 1) if isinstance(x, PackedSequence) else x + 1)


def _without_cudnn() -> AbstractContextManager[Any]:
    """Return a context manager in which cuDNN is off, because it computes no gradients in eval mode."""
    return torch.backends.cudnn.flags(enabled=False) if torch.cuda.is_available() else nullcontext()


def observe(question: Question, snapshot: Snapshot) -> Observations:
    """Run the module as often as needed, and return what was seen."""
    seen = _begin(question, snapshot, question.layout)
    if question.layout is None and not seen.base.error and seen.example.layout == "NT":
        if _is_channels_first(seen):
            seen = _begin(question, snapshot, "NCT")
        elif _may_be_time_first(seen):
            other = _begin(question, snapshot, "TN")
            if not other.base.error:
                layers = ", ".join(f"`{path}`" for path in seen.by_layer)
                other.assumptions.append(
                    f"The example is read as time first, since {layers} reads it so (batch_first=False). If its first "
                    'axis is the batch axis, this is a mistake: pass layout="NT" to see it.'
                )
                seen = other
    if not seen.base.error:
        _finish(seen)
    if not seen.base.calls and has_keras_layers(question.model):
        seen.untested |= dict.fromkeys(("recurrence", "gradients"), "Keras' layers are seen from outside")
    if question.loss is not None and seen.base.loss is None:
        why = "the loss fails" if seen.base.loss_error else "the loss returned no tensor"
        why = "no targets were given: pass targets=" if question.targets is None else why
        seen.untested["loss"] = seen.untested["loss or its error"] = why
    return seen


def _is_channels_first(seen: Observations) -> bool:
    """Whether the first thing that happens to the example is a convolution over its last axis."""
    users = [value for value in seen.base.values if seen.base.inputs[0] in value.inputs]
    return bool(users) and users[0].op == "conv1d" and seen.example.sequence.dim() == 3


def _may_be_time_first(seen: Observations) -> bool:
    """Whether the first layer takes the example's first axis for time, and nothing shows that it is the batch axis."""
    if not seen.base.calls or seen.example.lengths is not None or seen.example.sequence.dim() < 2:
        return False
    call = seen.base.calls[0]
    axes = seen.row_axes(call.x)
    owners = seen.owners(call.x)
    # An element that depends on no row, such as that of a unit that is 0, doesn't count.
    is_slice = owners is not None and len(owners.unique()[owners.unique() != -1]) == 1 and int(owners.max()) >= 0
    if call.is_cell:
        exchanged = is_slice
    elif is_slice:  # a loop over steps: each call reads one step of several rows
        shape = seen.base.values[call.x].data.shape
        exchanged = len(shape) == 3 and shape[1 - call.row_axis] == 1
    else:
        exchanged = bool(axes) and call.row_axis not in axes and 1 - call.row_axis in axes
    if not exchanged:
        return False
    shapes = [seen.base.values[k].data.shape for k in seen.base.results]
    rows, steps = seen.example.rows, seen.example.steps
    targets = seen.question.targets
    if isinstance(targets, Tensor) and targets.dim() == 1 and targets.shape[0] != seen.example_shape[1]:
        return False
    return not any(rows in shape and steps not in shape for shape in shapes)


def _begin(question: Question, snapshot: Snapshot, layout: str | None) -> Observations:
    """Run the module as often as it takes to tell which axis is the batch axis."""
    runner = Runner(question, snapshot)
    embeddings = [part for part in question.model.modules() if isinstance(part, nn.Embedding)]
    padding = embeddings[0].padding_idx if embeddings else None
    whole = read_example(question.args, question.kwargs, question.targets, layout, question.lengths, padding)
    example, base, untested = _first_run(runner, whole)
    seen = Observations(question, example, base, runner, untested=untested)
    seen.example_shape = tuple(whole.sequence.shape)
    if base.error:
        return seen
    if not base.results:
        raise ArgumentTypeError(
            f"the model returned {type(base.out).__name__}, which contains no tensor: wrap it in one that returns "
            "tensors, or tuples, lists or dicts of them"
        )
    seen.take_gradients()
    first = base
    seen.again = seen.reseeded = runner.run(example, base, keeps=True, seed=SEED + 1)
    if not seen.again.is_as(base):  # because of what the model keeps, or of the seed
        first = runner.run(example)
        seen.again = runner.run(example, base, keeps=True)
        seen.reseeded = runner.run(example, base, seed=SEED + 1)
    last = seen.again.results[-1:] and seen.again.values[seen.again.results[-1]].tensor
    seen.kept_graph = isinstance(last, Tensor) and _goes_back(last, first)
    if example.rows > 1:
        seen.row_runs = [
            runner.run(example.with_row_changed(row, seen.noise), base, _SAME_ROW) for row in range(example.rows)
        ]
    return seen


def _finish(seen: Observations) -> None:
    """Run the module with changes to steps, states and padding, and in chunks."""
    example = seen.example
    if example.rows > 1 and any(value.op == "squeeze" for value in seen.base.values):
        seen.single = seen.runner.run(example.cut(1, example.steps))
    if example.steps > 1:
        seen.step_runs = {
            name: seen.rerun(example.with_step_changed(step, seen.noise))
            for name, step in STEPS.items()
            if step >= -example.steps
        }
    if any(part.kind == "rows" and part.rows == 1 for part in example.parts):
        seen.restated = seen.rerun(example.with_states_changed(seen.noise))
    _try_padding(seen)
    seen.chunked = _try_chunks(seen)


def _first_run(runner: Runner, whole: Example) -> tuple[Example, Run, dict[str, str]]:
    """Run the module on a small part of the example; if it can't run on that, on all of it."""
    small = whole.small().with_constant_padding()
    examples = [small]
    if whole.rows > 1 or small.steps < whole.steps:
        examples += [whole.cut(small.rows, whole.steps), whole.cut(whole.rows, small.steps)]
    runs: list[Run] = []
    without_loss: list[tuple[Example, Run, bool]] = []
    for example in [*examples, whole]:
        for runner.with_gradient in (True, False):
            runs.append(runner.run(example))
            if not runs[-1].error and not (example.steps < whole.steps and _has_one_step(runs[-1])):
                if runs[-1].loss_error:
                    without_loss.append((example, runs[-1], runner.with_gradient))
                    continue
                is_alone = example is whole and whole.rows < 2
                why = f"the example has one row, and the module does not run on {small.rows} ({runs[0].error})"
                return example, runs[-1], {"rows": why} if is_alone else {}
    if without_loss:
        example, run, runner.with_gradient = without_loss[0]
        run.loss_error = without_loss[-1][1].loss_error  # on the whole example, if it runs on that
        return example, run, {}
    return whole, runs[-2], {}


def _has_one_step(run: Run) -> bool:
    """Whether a layer, called once, is given one step: after strided convolutions, what is left of a cut example."""
    calls = [call for call in run.calls if [other.path for other in run.calls].count(call.path) == 1]
    return any(not call.is_cell and call.rows is None and run.steps_of(call) == 1 for call in calls)


def _goes_back(tensor: Tensor, run: Run) -> bool:
    """Whether gradients of a tensor go back to an earlier run."""
    graph = {value.tensor.grad_fn for value in run.values if value.tensor.grad_fn is not None}
    todo, reached = [tensor.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in reached:
            continue
        if node in graph:
            return True
        reached.add(node)
        todo += [other for other, _ in node.next_functions]
    return False


def _try_padding(seen: Observations) -> None:
    example = seen.example
    if example.lengths is None:
        seen.untested["padding"] = "rows have no lengths: pass lengths=, if they are padded"
    elif int(example.lengths.min()) == example.steps:
        seen.untested["padding"] = "no row is padded"
    else:
        seen.padded = seen.rerun(example.with_padding_changed(seen.noise))
        is_random = not seen.reseeded.is_as(seen.base)  # more steps would draw other numbers
        if isinstance(example.leaves[example.primary], Tensor) and not is_random:
            longer = seen.runner.run(example.lengthened(_EXTRA_PADDING))
            seen.lengthened = None if longer.error else longer


def _try_chunks(seen: Observations) -> Chunked | None:
    """Hand the state that the model returns back to it, if it takes one."""
    states = [part for part in _parts_of(seen.base.out) if _is_state(part, seen.base)]
    names = [*inspect.signature(seen.model.forward).parameters]
    name = next((name for name in _STATE_NAMES if name in names), None)
    if len(states) != 1 or name is None or seen.example.steps < 4:
        return None
    _, steps = seen.result_axes(seen.base.results[0])
    if name in seen.question.kwargs or len(seen.question.args) > names.index(name) or steps is None:
        return None
    middle = seen.example.steps // 2
    first = seen.runner.run(seen.example.first_steps(0, middle))
    if first.error:
        return None
    state = next(part for part in _parts_of(first.out) if _is_state(part, first))
    rest = seen.example.first_steps(middle, seen.example.steps)
    carried, fresh = (seen.runner.run(part) for part in (_with(rest, name, state), rest))
    if carried.error or fresh.error:
        return None
    whole, chunks, alone = (run.values[run.results[0]].data for run in (seen.base, carried, fresh))
    return Chunked(name, whole.narrow(steps, middle, seen.example.steps - middle), chunks, alone)


def _parts_of(out: Any) -> list[Any]:
    return [*out] if isinstance(out, (tuple, list)) else [*out.values()] if isinstance(out, Mapping) else []


def _is_state(part: Any, run: Run) -> bool:
    tensors = {id(tensor) for tensor in tensors_in(part)}
    states = {id(run.values[k].tensor) for call in run.calls for k in call.final}
    return bool(tensors) and tensors <= states


def _with(example: Example, name: str, state: Any) -> Example:
    detached = map_tree(state, lambda tensor: tensor.detach())
    # the leaves of the arguments come before those of the targets
    split = len(example.parts) - len(leaves_in(example.targets))
    parts = (*example.parts[:split], *[Part()] * len(leaves_in(detached)), *example.parts[split:])
    return replace(example, kwargs={**example.kwargs, name: detached}, parts=parts)
