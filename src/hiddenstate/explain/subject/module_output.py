"""`ModuleOutput`: whether a module's own output is what its head gives, at which steps, and through which function."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

NEIGHBOURS = 4  # rows compared on each side; rounding can change the order of rows that are nearly equal
ROUNDING = 16  # in units of the type's precision, relative to the largest value
NUMBERS_AT_ONCE = 2**22  # bounds the memory of float64 copies
MOST_APART = 16  # parts of a result that are compared one by one
DEEPEST = 8  # levels of lists, dictionaries and dataclasses in a module's result

SOFTMAX = ("softmax", "log-softmax")
FUNCTIONS = {
    "": lambda logits: logits,
    "log-softmax": lambda logits: logits.log_softmax(-1),
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": torch.sigmoid,
    "log-sigmoid": logsigmoid,
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
            return "not an output of the module"
        if not self.steps[t, row]:
            return "not an output of the module for this row and step"
        return "" if self.function in explained else f"before the module's {self.function}"


def match_output(logits: Tensor, result: object, rows: Tensor | None = None, *, has_padding: bool) -> ModuleOutput:
    """Compare a head's outputs with what its module returned.

    A tensor in the result is the head's output if each of its rows is one of the head's rows (or a function of one):
    any selection of steps, in any layout. Selections are exact, so for a head that the module called itself, rows must
    be equal bit for bit; otherwise, and for functions of them, up to rounding.

    Args:
        logits: the head's outputs at each step, ``[T, N, K]``.
        result: what the module returned.
        rows: the head's outputs in the module's own calls, ``[M, K]``, or None if it did not call this head.
        has_padding: whether rows of zeros may be padding.
    """
    T, N, K = logits.shape
    every = logits.reshape(-1, K)
    for name, function in FUNCTIONS.items():
        if K == 1 and name in SOFTMAX:  # always 1, whatever the logit
            continue
        values = function(every)
        own = _Rows(values if rows is None else function(rows))
        matching: list[Tensor] = []
        for part in _tensors(result):
            is_exact = rows is not None and not name and part.dtype == rows.dtype
            for view in _views(part.to(logits.device), K):
                real = view[view.any(-1)] if has_padding else view
                if len(real) and own.contain_all(real, 0.0 if is_exact else None):
                    matching.append(real)
        steps = _Rows(torch.cat(matching)).contain(values) if matching else values.new_zeros(1)
        if bool(steps.any()):
            return ModuleOutput(name, steps.view(T, N).cpu())
    return ModuleOutput(None, torch.zeros(T, N, dtype=torch.bool))


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


class _Rows:
    """Rows ``[M, K]`` to look up: by their position, or by a projection that is almost surely different for each."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @cached_property
    def _sorted(self) -> tuple[Tensor, Tensor]:
        keys, order = _projected(self.rows).sort()
        return keys, order

    @cached_property
    def _largest(self) -> float:
        return float(self.rows.nan_to_num(posinf=0, neginf=0).abs().max())

    def contain_all(self, rows: Tensor, most: float | None) -> bool:
        """Whether each of other rows ``[R, K]`` is one of these; see `contain`."""
        return bool(self.contain(rows[:1], most)) and bool(self.contain(rows, most).all())

    def contain(self, rows: Tensor, most: float | None = None) -> Tensor:
        """Return whether each of other rows ``[R, K]`` is one of these, as bool ``[R]``.

        Args:
            rows: the rows.
            most: the largest difference allowed in a component; by default what rounding can make.
        """
        if most is None:
            precision = max(torch.finfo(values.dtype).eps for values in (rows, self.rows))
            most = ROUNDING * precision * self._largest
        is_here = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        if len(rows) == len(self.rows):  # most modules return all steps, in their order
            is_here = (rows - self.rows).abs().amax(-1) <= most
        left = torch.nonzero(~is_here)[:, 0]
        if not len(left):
            return is_here
        keys, order = self._sorted
        at = torch.searchsorted(keys, _projected(rows[left]))
        for shift in sorted(range(-NEIGHBOURS, NEIGHBOURS), key=abs):
            nearby = order[(at + shift).clamp(0, len(order) - 1)]
            is_near = (rows[left] - self.rows[nearby]).abs().amax(-1) <= most
            is_here[left[is_near]] = True
            left, at = left[~is_near], at[~is_near]
        return is_here


def _projected(rows: Tensor) -> Tensor:
    """Return the projection of each row on a random direction, in float64."""
    K = rows.shape[1]
    direction = torch.randn(K, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(rows.device)
    return torch.cat([part.double() @ direction for part in rows.split(max(1, NUMBERS_AT_ONCE // K))])
