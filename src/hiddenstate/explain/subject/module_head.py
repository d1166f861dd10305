"""Finds the head of a module by what it read and gave in one call, and compares it with what the module returned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hiddenstate.explain.subject.head import Head, make_head
from hiddenstate.explain.subject.module_output import SOFTMAX, ModuleOutput, match_output


class LinearCall(NamedTuple):
    """One call of a linear layer: copies of its input and output, which the module may overwrite."""

    layer: nn.Linear
    read: Tensor
    output: Tensor


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """What was observed in one call of a module.

    Attributes:
        model: the module.
        states: the outputs of the LSTM's first call, time first, ``[T, N, D*P]``.
        has_padding: whether rows have different lengths.
        linear: the calls of linear layers that read as many features.
        result: what the module returned.
    """

    model: nn.Module
    states: Tensor
    has_padding: bool
    linear: Sequence[LinearCall]
    result: object

    def match(self, head: Head) -> ModuleOutput:
        """Compare a head's outputs with what the module returned."""
        calls = [call.output.flatten(0, -2) for call in self.linear if _shares_weight(call.layer, head)]
        logits = head.logits(self.states.to(head.weight.dtype))
        return match_output(logits, self.result, torch.cat(calls) if calls else None, has_padding=self.has_padding)


class ObservedHead(NamedTuple):
    """The head of a module, with the module's output; or the reason why there is none."""

    head: Head | None
    output: ModuleOutput | None = None
    no_head: str = ""


def find_head(call: ModuleCall, labels: Sequence[str] | None, *, softmax: bool | None) -> ObservedHead:
    """Return the only linear layer that reads the LSTM's unchanged outputs and gives the module's output."""
    rows = set(_rows_as_bytes(call.states))
    readers = dict.fromkeys(linear.layer for linear in call.linear if _reads_only(linear.read, rows))
    if not readers:
        return ObservedHead(None)
    outputs = {layer: call.match(make_head(layer, None)) for layer in readers}
    heads = [layer for layer, output in outputs.items() if output.function is not None]
    if len(heads) == 1:
        return with_softmax(heads[0], outputs[heads[0]], labels, softmax=softmax)
    names = [repr(name) for name, part in call.model.named_modules() if part in readers]
    what = f"{', '.join(names)} {'reads' if len(names) == 1 else 'read'} them"
    kind = type(call.model).__name__
    if heads:
        return ObservedHead(None, no_head=f"{what}, and this {kind} returns the outputs of more than one")
    return ObservedHead(
        None, no_head=f"{what}, but this {kind} returns something other than that layer's outputs or their softmax"
    )


def with_softmax(
    head: nn.Linear | Head, output: ModuleOutput, labels: Sequence[str] | None, *, softmax: bool | None
) -> ObservedHead:
    """Return a head that feeds a softmax if the caller says so or, by default, if the module's output shows it."""
    if isinstance(head, nn.Linear):
        head = make_head(head, labels, softmax=output.function in SOFTMAX if softmax is None else softmax)
    return ObservedHead(head, output)


def _shares_weight(layer: nn.Linear, head: Head) -> bool:
    return layer.weight.data_ptr() == head.weight.data_ptr() and layer.weight.shape == head.weight.shape


def _reads_only(values: Tensor, rows: set[bytes]) -> bool:
    """Whether all rows of a tensor are among these, except for zeros that may be padding."""
    reads = set(_rows_as_bytes(values))
    return bool(reads & rows) and reads - rows <= {bytes(len(next(iter(reads))))}


def _rows_as_bytes(values: Tensor) -> Iterator[bytes]:
    """Yield the rows of a tensor of any type as bytes, for fast comparison."""
    flat = values.detach().reshape(-1, values.shape[-1]).cpu().contiguous()
    return (row.tobytes() for row in flat.view(torch.uint8).numpy())
