"""Finds the head of a module by what it read and gave in one call, and compares that with what the module returned."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from hiddenstate.explain.subject.head import Head, make_head

NEIGHBOURS = 4  # rows compared on each side; rounding can change the order of rows that are nearly equal
ROUNDING = 16  # in units of the type's precision, relative to the largest value
SUM_ERROR = 0.1  # of probabilities in half precision
NUMBERS_AT_ONCE = 2**22  # bounds the memory of float64 copies
MOST_APART = 16  # parts of a result that are compared one by one
DEEPEST = 8  # levels of lists, dictionaries and dataclasses in a module's result

SOFTMAX = ("softmax", "log-softmax")


class _Function(NamedTuple):
    """A function of a head's outputs, and a cheap check that values can be its results; NaN passes."""

    apply: Callable[[Tensor], Tensor]
    is_possible: Callable[[Tensor], Tensor]


FUNCTIONS = {
    "": _Function(lambda logits: logits, lambda _: torch.tensor(True)),
    "log-softmax": _Function(
        lambda logits: logits.log_softmax(-1), lambda y: ~((y.exp().sum(-1) - 1).abs() > SUM_ERROR).any()
    ),
    "softmax": _Function(
        lambda logits: logits.softmax(-1), lambda y: ~((y < 0).any() | ((y.sum(-1) - 1).abs() > SUM_ERROR).any())
    ),
    "sigmoid": _Function(torch.sigmoid, lambda y: ~((y < 0) | (y > 1)).any()),
    "log-sigmoid": _Function(logsigmoid, lambda y: ~(y > 0).any()),
}


@dataclass(frozen=True, eq=False)
class ModuleOutput:
    """How a module's own output, in the call that is explained, follows from its head's outputs.

    Attributes:
        function: ``""`` if the module gives the head's outputs themselves; ``"softmax"``, ``"log-softmax"``,
            ``"sigmoid"`` or ``"log-sigmoid"`` if it gives that function of them; None if it gives anything else.
        steps: bool ``[T, N]``, the steps whose output the module gives, such as only the last ones.
    """

    function: str | None
    steps: Tensor

    def note(self, t: int, explained: Sequence[str], row: int = 0) -> str:
        """Return how an explained value of a step differs from the module's output; empty if it is equal.

        Args:
            t: the step.
            explained: the functions of the head's outputs that are explained as they are.
            row: the batch row.
        """
        if self.function is None:
            return "not known to be returned by the module"
        if not self.steps[t, row]:
            return "not returned by the module for this row and step"
        return "" if self.function in explained else f"before the module's {self.function}"

    def notes(self, lengths: Sequence[int], explained: Sequence[str]) -> dict[str, int]:
        """Return the notes for the steps of rows of some lengths, and the number of steps of each."""
        is_real = torch.arange(len(self.steps))[:, None] < torch.tensor(lengths)
        places = [torch.nonzero(is_real & is_one) for is_one in (self.steps, ~self.steps)]
        return {self.note(int(at[0, 0]), explained, int(at[0, 1])): len(at) for at in places if len(at)}


class HeadRows(NamedTuple):
    """Inputs ``[M, D*P]`` of a head and its outputs ``[M, K]`` for them."""

    read: Tensor
    outputs: Tensor


def match_output(
    states: Tensor, head: HeadRows, result: object, *, is_observed: bool, has_padding: bool
) -> ModuleOutput:
    """Find in a result the head's rows, or a function of them, exactly or up to rounding, in any layout."""
    T, N = states.shape[:2]
    K = head.outputs.shape[1]
    for name, function in FUNCTIONS.items():
        if K == 1 and name in SOFTMAX:  # always 1, whatever the logit
            continue
        is_returned = torch.zeros(len(head.outputs), dtype=torch.bool)
        for part in _tensors(result):
            for view in _views(part.to(head.outputs.device), K):
                real = view[view.any(-1)] if has_padding else view
                few = real[:: max(1, len(real) // 2)]
                if len(few) and bool(function.is_possible(few.float())):
                    rounding = "none" if is_observed and not name else "function" if is_observed else "any"
                    own = _RowIndex(*_comparable(head.outputs, function.apply, part.dtype, rounding))
                    if bool(own.contain(few).all()) and bool(own.contain(real).all()):
                        is_returned |= _RowIndex(real, own.absolute, own.relative).contain(own.rows).cpu()
        if bool(is_returned.any()):
            returned = set(rows_as_bytes(head.read[is_returned.to(head.read.device)]))
            steps = torch.tensor(
                [row in returned for row in rows_as_bytes(states.to(head.read.dtype))], dtype=torch.bool
            )
            if bool(steps.any()):
                return ModuleOutput(name, steps.view(T, N))
    return ModuleOutput(None, torch.zeros(T, N, dtype=torch.bool))


def rows_as_bytes(values: Tensor) -> Iterator[bytes]:
    """Yield the rows of a tensor of any type as bytes, for fast comparison."""
    flat = values.detach().reshape(-1, values.shape[-1]).cpu().contiguous()
    return (row.tobytes() for row in flat.view(torch.uint8).numpy())


def _comparable(
    outputs: Tensor, function: Callable[[Tensor], Tensor], dtype: torch.dtype, rounding: str
) -> tuple[Tensor, float, float]:
    """Return a function of a head's outputs in the type of a result, and the absolute and relative error to expect."""
    if rounding == "none":
        return outputs.to(dtype), 0.0, 0.0
    wide = torch.promote_types(torch.promote_types(outputs.dtype, dtype), torch.float32)
    values = function(outputs.to(wide))
    precisions = [torch.finfo(kind).eps for kind in (outputs.dtype, dtype)]
    half = max(precisions) if max(precisions) > torch.finfo(torch.float32).eps else 0.0
    largest = float(values.nan_to_num(0, 0, 0).abs().max())
    absolute = ROUNDING * (torch.finfo(torch.float32).eps if half else max(precisions)) * largest
    return values, absolute + (2 * half * largest if rounding == "any" else 0.0), half


def _tensors(result: object, depth: int = 0) -> Iterator[Tensor]:
    """Yield the floating-point tensors in a module's result; the items of a long list, such as its steps, as one."""
    if isinstance(result, Tensor):
        if result.is_floating_point() and result.numel():
            yield result.detach()
        return
    parts: Sequence[object] = ()
    if isinstance(result, Mapping):
        parts = list(result.values())
    elif isinstance(result, tuple | list):
        parts = result
    elif is_dataclass(result):
        parts = [getattr(result, field.name, None) for field in fields(result)]
    if depth < DEEPEST:
        inside = (tensor for part in parts for tensor in _tensors(part, depth + 1))
        if len(parts) <= MOST_APART:
            yield from inside
        elif rows := [tensor.reshape(-1, tensor.shape[-1] if tensor.dim() else 1) for tensor in inside]:
            same = [part for part in rows if part.shape[1] == rows[0].shape[1] and part.device == rows[0].device]
            yield torch.cat(same)


def _views(values: Tensor, K: int) -> Iterator[Tensor]:
    """Yield a tensor as rows ``[M, K]``, in each way in which an axis can be that of the head's outputs."""
    if values.numel() % K == 0:
        yield values.reshape(-1, K)
    for axis, size in enumerate(values.shape[:-1]):
        if size == K > 1:
            yield values.movedim(axis, -1).reshape(-1, K)


class _RowIndex:
    """Rows to look up by position or by a projection that is almost surely different for each."""

    def __init__(self, rows: Tensor, absolute: float, relative: float) -> None:
        self.rows, self.absolute, self.relative = rows, absolute, relative

    @cached_property
    def _sorted(self) -> tuple[Tensor, Tensor]:
        keys, order = _projected(self.rows).sort()
        return keys, order

    def contain(self, rows: Tensor) -> Tensor:
        """Return whether each of other rows ``[R, K]`` is one of these, as bool ``[R]``."""
        rows = rows.to(self.rows.dtype)
        is_here = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        if len(rows) == len(self.rows):  # most modules return all steps, in their order
            is_here = self._are_equal(rows, self.rows)
        left = torch.nonzero(~is_here)[:, 0]
        if not len(left):
            return is_here
        keys, order = self._sorted
        at = torch.searchsorted(keys, _projected(rows[left]))
        for shift in sorted(range(-NEIGHBOURS, NEIGHBOURS), key=abs):
            nearby = order[(at + shift).clamp(0, len(order) - 1)]
            is_near = self._are_equal(rows[left], self.rows[nearby])
            is_here[left[is_near]] = True
            left, at = left[~is_near], at[~is_near]
        return is_here

    def _are_equal(self, a: Tensor, b: Tensor) -> Tensor:
        """Return whether rows are equal up to the error, as bool ``[R]``; NaN equals NaN."""
        is_near = (a == b) | (a.isnan() & b.isnan())
        if self.absolute or self.relative:
            is_near |= (a - b).abs() <= self.absolute + self.relative * b.nan_to_num(0, 0, 0).abs()
        return is_near.all(-1)


def _projected(rows: Tensor) -> Tensor:
    """Return the projection of each row on a random direction, in float64; NaN and infinity count as 0."""
    K = rows.shape[1]
    direction = torch.randn(K, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(rows.device)
    parts = rows.split(max(1, NUMBERS_AT_ONCE // K))
    return torch.cat([part.double().nan_to_num(0, 0, 0) @ direction for part in parts])


class LinearCall(NamedTuple):
    """One call of a linear layer: copies of its input and output, which the module may overwrite."""

    layer: nn.Linear
    read: Tensor
    output: Tensor


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """What was observed in one call of a module."""

    model: nn.Module  # the module
    states: Tensor  # the outputs of the LSTM's first call, time first, [T, N, D*P]
    has_padding: bool  # whether rows have different lengths
    linear: Sequence[LinearCall]  # the calls of linear layers that read as many features
    result: object  # what the module returned

    def match(self, head: Head) -> ModuleOutput:
        """Compare a head's outputs with what the module returned."""
        calls = [call for call in self.linear if _is_layer(call.layer, head)]
        if calls:
            rows = HeadRows(
                torch.cat([call.read.flatten(0, -2) for call in calls]),
                torch.cat([call.output.flatten(0, -2) for call in calls]),
            )
        else:
            read = self.states.flatten(0, 1).to(head.weight.dtype)
            rows = HeadRows(read, head.logits(read))
        return match_output(self.states, rows, self.result, is_observed=bool(calls), has_padding=self.has_padding)


class ObservedHead(NamedTuple):
    """The head of a module, with the module's output; or the reason why there is none."""

    head: Head | None
    output: ModuleOutput | None = None
    no_head: str = ""


def find_head(call: ModuleCall, labels: Sequence[str] | None, *, softmax: bool | None) -> ObservedHead:
    """Return the only linear layer that reads the LSTM's unchanged outputs and gives the module's output."""
    rows = {dtype: set(rows_as_bytes(call.states.to(dtype))) for dtype in {linear.read.dtype for linear in call.linear}}
    readers = dict.fromkeys(linear.layer for linear in call.linear if _reads_only(linear.read, rows[linear.read.dtype]))
    kind = type(call.model).__name__
    if not readers:
        return ObservedHead(None, no_head=f"no linear layer of this {kind} reads the LSTM's outputs unchanged")
    outputs = {layer: call.match(make_head(layer, None)) for layer in readers}
    heads = [layer for layer, output in outputs.items() if output.function is not None]
    if len(heads) == 1:
        return with_softmax(heads[0], outputs[heads[0]], labels, softmax=softmax)
    names = [repr(name) for name, part in call.model.named_modules() if part in readers]
    what = f"{', '.join(names)} {'reads' if len(names) == 1 else 'read'} the LSTM's outputs"
    if heads:
        return ObservedHead(
            None, no_head=f"{what}, and this {kind} returns the outputs of {len(heads)} of these layers"
        )
    outputs_of = "that layer's outputs" if len(names) == 1 else "those layers' outputs"
    return ObservedHead(None, no_head=f"{what}, but this {kind} returns {outputs_of} changed, in part or not at all")


def with_softmax(
    head: nn.Linear | Head, output: ModuleOutput, labels: Sequence[str] | None, *, softmax: bool | None
) -> ObservedHead:
    """Return a head that feeds a softmax if the caller says so or, by default, if the module's output shows it."""
    if isinstance(head, nn.Linear):
        head = make_head(head, labels, softmax=output.function in SOFTMAX if softmax is None else softmax)
    return ObservedHead(head, output)


def _is_layer(layer: nn.Linear, head: Head) -> bool:
    """Whether a head has the weight and the bias of a layer; layers may share a weight and differ in their bias."""
    pairs = (layer.weight, head.weight), (layer.bias, head.bias)
    return all(
        (a is None and b is None)
        or (a is not None and b is not None and a.data_ptr() == b.data_ptr() and a.shape == b.shape)
        for a, b in pairs
    )


def _reads_only(values: Tensor, rows: set[bytes]) -> bool:
    """Whether all rows of a tensor are among these, except for zeros that may be padding."""
    reads = set(rows_as_bytes(values))
    return bool(reads & rows) and reads - rows <= {bytes(len(next(iter(reads))))}
