"""Contestants without this library: the equations in a Python loop over the steps."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

import hiddenstate as hs
from contestants import Contestant, itself, without_gradient
from layers import PATCHED_STEP, Patch, patches
from shapes import Case

SAMPLED_RUNS = 4


def recording_loop(case: Case) -> Contestant:
    """A loop that keeps every gate and state."""
    run = without_gradient(lambda: loop_of_cells(case.ours, case.x))
    return Contestant("Python loop that records", run, lambda result: result[0])


def patching_loop(case: Case) -> Contestant:
    """One run of the loop for each patch, a few of which are timed."""
    name = f"Python loop, one run a patch (scaled from {SAMPLED_RUNS})"
    sample = list(enumerate(patches(case)))[:SAMPLED_RUNS]

    def run() -> Tensor:
        outs = [loop_of_cells(case.ours, case.x[:, row : row + 1], patch)[0] for row, patch in sample]
        return torch.cat(outs, dim=1)

    return Contestant(name, without_gradient(run), itself, scale=case.shape.N / len(sample))


def loop_of_cells(lstm: hs.LSTM, x: Tensor, patch: Patch | None = None) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Output ``[T, N, H]``, and ``i f g o c h`` of every layer and step."""
    record: list[tuple[Tensor, ...]] = []
    for layer, weights in enumerate(lstm.all_weights):
        closed = patch.unit if patch and patch.layer == layer else None
        x = _one_layer(weights, x, record, closed)
    return x, record


def _one_layer(
    weights: Sequence[Tensor], x: Tensor, record: list[tuple[Tensor, ...]], closed_unit: int | None
) -> Tensor:
    w_ih, w_hh, b_ih, b_hh = weights
    h = c = x.new_zeros(x.shape[1], w_hh.shape[1])
    outs = []
    for t, x_t in enumerate(x):
        i, f, g, o = (linear(x_t, w_ih, b_ih) + linear(h, w_hh, b_hh)).chunk(4, dim=1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        if closed_unit is not None and t == PATCHED_STEP:
            f[:, closed_unit] = 0
        c = f * c + i * g
        h = o * c.tanh()
        record.append((i, f, g, o, c, h))
        outs.append(h)
    return torch.stack(outs)
