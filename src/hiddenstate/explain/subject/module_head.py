"""Finds the head of a module by what it read and gave in one call, and compares it with what the module returned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hiddenstate.explain.subject.head import Head, make_head
from hiddenstate.explain.subject.module_output import SOFTMAX, HeadRows, ModuleOutput, match_output, rows_as_bytes


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
