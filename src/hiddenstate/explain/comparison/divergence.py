"""How much the outputs of two runs differ, step by step."""

import torch
from torch import Tensor

from hiddenstate.explain.subject.subject import Subject
from hiddenstate.tracing.trace import Trace


def choose_measure(a: Subject, b: Subject) -> str:
    """Return the measure for two outputs: ``KL``, ``distance``, or ``none`` if they cannot be compared."""
    heads = a.head, b.head
    if all(head is not None and head.log_probabilities is not None for head in heads):
        labels = [head.labels for head in heads if head is not None]
        if labels[0] == labels[1]:
            return "KL"
    sizes = [one.sizes.output_size * one.sizes.directions for one in (a, b)]
    return "distance" if sizes[0] == sizes[1] else "none"


@torch.no_grad()
def step_differences(a: Subject, b: Subject, run_a: Trace, run_b: Trace, measure: str) -> Tensor:
    """Return how much the outputs differ at each step, ``[T, N]``; NaN beyond a row's end."""
    outs = [_out(one, run) for one, run in ((a, run_a), (b, run_b))]
    if measure == "KL":
        assert a.head is not None
        assert b.head is not None
        assert a.head.log_probabilities is not None
        assert b.head.log_probabilities is not None
        p, q = a.head.log_probabilities(outs[0]).double(), b.head.log_probabilities(outs[1]).double()
        found = torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum(-1)
    elif measure == "distance":
        found = (outs[0].double() - outs[1].double()).norm(dim=-1)
    else:
        found = torch.full(outs[0].shape[:2], torch.nan, dtype=torch.float64)
    ended = torch.tensor([[t >= a.row_length(n) for n in range(a.N)] for t in range(a.T)])
    return found.cpu().masked_fill(ended, torch.nan)


def _out(one: Subject, run: Trace) -> Tensor:
    last = one.sizes.directions_in(one.sizes.num_layers - 1)
    return torch.cat([run.values[f"{each.name}.h"] for each in last], dim=-1)
