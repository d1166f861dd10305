"""torch's functions beneath recurrent layers, computed by the engine where it supports a call."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base import scoped
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.messages import with_article
from hiddenstate.cells.cell import Cell, Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine import cell_steps, dispatch, inputs, kernels
from hiddenstate.engine.call import weights_of_flat
from hiddenstate.engine.cell_steps import CellStep
from hiddenstate.engine.dispatch import ComputedBy
from hiddenstate.engine.inputs import Arguments
from hiddenstate.engine.paths import fast
from hiddenstate.errors import ArgumentError, HiddenStateError
from hiddenstate.interop.torch.accelerate import stand_ins
from hiddenstate.interop.torch.accelerate.stand_ins import StandIn, TorchArguments, name_arguments
from hiddenstate.structure.sizes import ParameterNames, Sizes, parameter_names

MOST_REASONS = 50  # maximum number of distinct reasons, so that a long-running program does not fill memory with them
_NO_CALLS = (
    "None of torch's recurrent layers and cells was called in this process. (Processes that it spawned count for "
    "themselves. Keras models compiled with jit_compile=True run Keras' code and are not counted. TorchScript modules, "
    "and those that torch has quantised, call other operators: use the model from before that.)"
)


@dataclass(frozen=True)
class AccelerationReport:
    """Counts of calls that ran on the engine or not, with reasons; ``print`` shows a table.

    Attributes:
        served: calls that ran on the engine, by path name.
        left: calls that torch or Keras computed, by reason.
        reference: calls with some or all layers computed by the reference in plain torch, by reason.
    """

    served: dict[str, int]
    left: dict[str, int]
    reference: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of all calls that ran on the engine, 0 to 1; 0 without calls."""
        return sum(self.served.values()) / (self._calls or 1)

    @property
    def _calls(self) -> int:
        return sum(sum(counts.values()) for counts in (self.served, self.reference, self.left))

    def __str__(self) -> str:
        if not self._calls:
            return _NO_CALLS
        lines = [f"{sum(self.served.values()):,} of {self._calls:,} calls ran on the engine ({self.share:.1%})"]
        lines += [f"  {count:>9,}  on the path {name!r}" for name, count in _by_count(self.served)]
        owners = "torch and Keras" if any(why.startswith("Keras") for why in self.left) else "torch"
        for title, counts in (("computed by the reference:", self.reference), (f"left to {owners}:", self.left)):
            if counts:
                lines += [title, *(f"  {count:>9,}  {why}" for why, count in _by_count(counts))]
        return "\n".join(lines)


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


class Counts:
    """Counts calls as they are made, from any thread."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start counting from zero; earlier counts are not changed."""
        self.now = AccelerationReport(Counter(), Counter(), Counter())

    def add(self, by: ComputedBy) -> None:
        """Count a call."""
        now = self.now
        if by.name == "engine":
            now.served[by.detail] += 1
            return
        counts = now.left if by.name == "torch" else now.reference
        counts[by.detail if by.detail in counts or len(counts) < MOST_REASONS else "other reasons"] += 1


Results = tuple[Any, ...]

_FAST, _OF_CELLS = ComputedBy("engine", "fast"), ComputedBy("engine", "cell")


def layer_function(cell: str, torch_function: Callable[..., Any], counts: Counts) -> Callable[..., Any]:
    """Return the replacement for ``torch_function``, such as ``torch._VF.lstm``, for a kind of cell."""

    def layer(*arguments: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling():
            # Dynamo runs torch's LSTMs uncompiled, but would compile this function: with gradients, that fails below
            # torch's function, and active edits and records would be ignored. Exporters and allow_rnn need torch's
            # function.
            computes = torch_function if _is_wanted_whole() else torch.compiler.disable(layer)
            return computes(*arguments, **named)
        if named or not _is_a_run(cell, arguments):
            result, by = None, _by_torch("arguments are passed by name, or are not those of torch's layers")
        else:
            result, by = serve(name_arguments(cell, arguments))
        counts.add(by)
        if result is None:
            _refuse_freed(arguments)
            return torch_function(*arguments, **named)
        return result

    return layer


def _is_a_run(cell: str, arguments: Sequence[Any]) -> bool:
    """Whether the arguments have the types that torch's layers pass. torch rejects others with its own errors."""
    if len(arguments) != 9:
        return False
    is_pair = len(CELLS[cell].carried) > 1
    # A state that is not a pair is itself a tensor, so only the arguments after it show whether the input is packed.
    is_packed = isinstance(arguments[1], Tensor) and (is_pair or isinstance(arguments[2], Tensor))
    hx, flat, *options = arguments[2 if is_packed else 1 :]
    fits = isinstance(hx, (tuple, list)) == is_pair and isinstance(flat, (tuple, list))
    if not fits or not isinstance(options[1], int):
        return False
    tensors = all(isinstance(value, Tensor) for value in (arguments[0], *(hx if is_pair else [hx]), *flat))
    return tensors and all(isinstance(value, (int, float)) for value in options)


def _is_wanted_whole() -> bool:
    """Whether torch compiles its LSTMs into the graph."""
    is_exported = torch.compiler.is_exporting() or not torch.compiler.is_dynamo_compiling()
    return is_exported or bool(torch._dynamo.config.allow_rnn)


def cell_function(cell: str, torch_function: Callable[..., Any], counts: Counts) -> Callable[..., Any]:
    """Return the replacement for ``torch_function``, such as ``torch._VF.lstm_cell``, for a kind of cell."""
    kind = CELLS[cell]

    def step(*arguments: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling():
            result, by = None, _by_torch("torch.compile traces the call")
        elif named or not _is_a_step(kind, arguments):
            result, by = None, _by_torch("arguments are given by name, or are not those of torch's cells")
        else:
            x, hx, *weights = arguments
            sizes = x.shape[-1], kind.parts_of(hx)[0].shape[-1]
            result, by = _serve_cell(CellStep(kind, x, kind.parts_of(hx), Weights._make([*weights, None]), sizes))
        counts.add(by)
        if result is None:
            _refuse_freed(arguments)
            return torch_function(*arguments, **named)
        return kind.as_given(result)

    return step


def _refuse_freed(arguments: Sequence[Any]) -> None:
    """Reject tensors whose memory was freed, because torch's functions read them without a check."""
    check_memory_of(("an argument of torch's function", argument) for argument in arguments)


def _is_a_step(kind: Cell, arguments: Sequence[Any]) -> bool:
    """Whether the arguments are input, state and four weights, as torch's cells pass. torch rejects others."""
    if len(arguments) != 6:
        return False
    x, hx, *weights = arguments
    if len(kind.carried) == 1:
        states = isinstance(hx, Tensor)
    else:
        states = isinstance(hx, (tuple, list)) and len(hx) == 2 and all(isinstance(state, Tensor) for state in hx)
    return states and isinstance(x, Tensor) and x.dim() == 2 and isinstance(weights[0], Tensor)


def _by_torch(why: str) -> ComputedBy:
    return ComputedBy("torch", why)


def _serve_cell(step: CellStep) -> tuple[tuple[Tensor, ...] | None, ComputedBy]:
    """Compute a step on the engine, or by the stand-in of an edited or traced cell; or return None and the reason."""
    if scoped.any_open:
        cell = stand_ins.find_cell(step.weights.ih)
        if cell is None:
            return None, _by_torch(fast.OPEN_BLOCK)
        observed = replace(step, is_observed=cell.is_asked())
        by = dispatch.computed_by(observed, *dispatch.choose_cell(observed))
        return cell.step(step), _OF_CELLS if by.name == "engine" else by
    after = cell_steps.compute(step.kind, *step.arguments)
    if after is None:
        _, reasons = dispatch.choose_cell(step)
        return None, _by_torch(reasons.get("native", "another thread changed a weight"))
    return step.kind.parts_of(after), _OF_CELLS


def serve(args: TorchArguments, stand_in: StandIn | None = None) -> tuple[Results | None, ComputedBy]:
    """Compute a call on the engine: return the results, or None if torch has to, and what computes it."""
    if stand_in is None and scoped.any_open:
        stand_in = stand_ins.find_layer(args.flat)
    if not args.x.is_cpu and not (stand_in is not None and stand_in.is_asked()):
        return None, _by_torch(f"the input is on {args.x.device.type}")
    if stand_in is not None:
        received: list[ComputedBy] = []
        results = _flat_results(args, *stand_in.run(_arguments(args), args, received.append))
        return results, received[0]
    try:
        return _serve_plain(args)
    except HiddenStateError as error:  # torch's function raises torch's own error
        return None, _by_torch(str(error))


def _serve_plain(args: TorchArguments) -> tuple[Results | None, ComputedBy]:
    if args.cell not in kernels.CELLS:
        return None, _by_torch(str(kernels.why_not(args.cell, None)))
    other = next((weight for weight in args.flat if type(weight) not in (Tensor, Parameter)), None)
    if other is not None:  # such as per-sample weights, which support this function but few others
        name = type(other).__name__
        return None, _by_torch(f"a weight is of the class {name}, which may have its own rule for torch's function")
    sizes, names, flat_names = _infer_layout(args)
    options = args.options
    if args.batch_sizes is None and fast.why_not_plain(args.cell, options) is None:
        parameters = dict(zip(flat_names, args.flat, strict=True))
        result = fast.run_differentiable((args.x, _state(args), args.lengths), parameters, names, sizes, options)
        if result is not None:
            out = result[0].transpose(0, 1) if args.batch_first else result[0]
            return _flat_results(args, out, result[1]), _FAST
    return _serve_generally(args, sizes)


def _serve_generally(args: TorchArguments, sizes: Sizes) -> tuple[Results | None, ComputedBy]:
    call, form = inputs.read(_arguments(args), sizes, weights_of_flat(args.flat, sizes), args.options)
    name, reasons = dispatch.choose(call)
    by = dispatch.computed_by(call, name, reasons)
    if by.name != "engine" and not dispatch.uses_reference():
        return None, _by_torch(by.detail)
    result = dispatch.PATHS[name].run(call)
    return _flat_results(args, form.give_out(result.out), form.give_state(result.h_n, result.c_n)), by


def _arguments(args: TorchArguments) -> Arguments:
    if args.batch_sizes is None:
        return Arguments(args.x, _state(args), args.lengths, order=args.order)
    return Arguments(PackedSequence(args.x, args.batch_sizes), _state(args))


def _state(args: TorchArguments) -> Any:
    return CELLS[args.cell].as_given(args.hx)


def _flat_results(args: TorchArguments, out: Tensor | PackedSequence, state: Any) -> Results:
    return (out.data if isinstance(out, PackedSequence) else out), *CELLS[args.cell].parts_of(state)


def _infer_layout(args: TorchArguments) -> tuple[Sizes, ParameterNames, list[str]]:
    """Infer the sizes from the weights; torch's function is called without them."""
    flat = args.flat
    if len(flat) < 2 or not flat[0].dim() == flat[1].dim() == 2:
        raise ArgumentError(f"the weights are not those of {with_article(args.cell)}")
    options = int(args.num_layers), bool(args.bias), bool(args.bidirectional)
    hidden_size = flat[1].shape[0] // len(CELLS[args.cell].gates)
    return _layout(args.cell, len(flat), flat[0].shape[1], hidden_size, flat[1].shape[1], *options)


@lru_cache(maxsize=256)
def _layout(
    cell: str,
    weights: int,
    input_size: int,
    hidden_size: int,
    output_size: int,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
) -> tuple[Sizes, ParameterNames, list[str]]:
    stacked, per_direction = num_layers * (1 + bidirectional), 2 + 2 * bias
    projects = weights == stacked * (per_direction + 1)  # only a projection has a third matrix
    # Checked before layers are named, because num_layers may be absurdly large.
    if not projects and weights != stacked * per_direction:
        raise ArgumentError(f"{weights} weights do not make {with_article(cell)} of {num_layers} layers")
    sizes = Sizes(input_size, hidden_size, num_layers, bias, bidirectional, output_size if projects else 0, cell)
    names = parameter_names(sizes)
    return sizes, names, [name for stems in names for name in stems if name is not None]
