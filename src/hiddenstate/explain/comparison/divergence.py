"""How much the outputs of two runs differ, step by step."""

import torch
from torch import Tensor

from hiddenstate.explain.subject.module_output import SOFTMAX
from hiddenstate.explain.subject.outputs import needed_head, needed_probabilities
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.tracing.trace import Trace


def choose_measure(a: Subject, b: Subject) -> str:
    """Return the measure for two outputs: ``KL``, ``distance``, ``state distance``, or ``none``; see `Comparison`."""
    if a.head is not None and b.head is not None and a.head.labels == b.head.labels:
        if a.head.log_probabilities is not None and b.head.log_probabilities is not None:
            return "KL"
        if len(a.head.weight) == len(b.head.weight):
            return "distance"
    sizes = [one.sizes.output_size * one.sizes.directions for one in (a, b)]
    return "state distance" if sizes[0] == sizes[1] else "none"


def note_outputs(a: Subject, b: Subject, measure: str) -> str:
    """Return how what is compared differs from what the modules return; empty if it does not."""
    if measure in ("state distance", "none"):
        cure = "Compare two subjects with head= to compare its outputs."
        return next((f"There is no head: {subject.no_head}. {cure}" for subject in (a, b) if subject.no_head), "")
    explained = ("", *SOFTMAX) if measure == "KL" else ("",)
    for subject in (a, b):
        if subject.output is not None:
            notes = subject.output.notes([subject.row_length(n) for n in range(subject.N)], explained)
            steps, note = next(((steps, note) for note, steps in notes.items() if note), (0, ""))
            if note:
                return f"At {steps:,} of {sum(notes.values()):,} steps, what is compared is {note}."
    return ""


@torch.no_grad()
def step_differences(a: Subject, b: Subject, run_a: Trace, run_b: Trace, measure: str) -> Tensor:
    """Return how much the outputs differ at each step, ``[T, N]``; NaN beyond a row's end."""
    outs = [_out(one, run) for one, run in ((a, run_a), (b, run_b))]
    if measure == "KL":
        p, q = (needed_probabilities(needed_head(subject.head))(out) for subject, out in zip((a, b), outs, strict=True))
        differences = torch.where(p == -torch.inf, 0.0, p.double().exp() * (p.double() - q.double())).sum(-1)
    elif measure == "none":
        differences = torch.full(outs[0].shape[:2], torch.nan, dtype=torch.float64)
    else:
        if measure == "distance":
            outs = [needed_head(subject.head).logits(out) for subject, out in zip((a, b), outs, strict=True)]
        differences = (outs[0].double() - outs[1].double()).norm(dim=-1)
    ended = torch.tensor([[t >= a.row_length(n) for n in range(a.N)] for t in range(a.T)])
    return differences.cpu().masked_fill(ended, torch.nan)


def _out(one: Subject, run: Trace) -> Tensor:
    last = one.sizes.directions_in(one.sizes.num_layers - 1)
    return torch.cat([run.values[f"{each.name}.h"] for each in last], dim=-1)
