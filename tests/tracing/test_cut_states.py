"""States discarded by resets, and gradients that reach them, in traces, joined traces and files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, FileFormatError, NameUnknownError
from hiddenstate.tracing.model_recorder import joined
from support import assert_all_close, assert_close, gradients, layer_options, pair, random_input, random_state


def carried_to(lstm: hs.LSTM, x: Tensor, hx: list[Tensor], reset: Tensor, t: int) -> list[Tensor]:
    """The states that a row ``[T, C]`` of one layer carried to the border before step t: only the steps on each side
    are run."""
    sides = []
    for side, cut in ((slice(None, t), reset[:t]), (slice(t, None), reset[t:].clone())):
        if len(cut):
            cut[0] &= t == 0 or side.start is None  # the border itself is no longer a reset
            sides.append(lstm(x[side], (hx[0], hx[1]), reset=cut)[1])
        else:
            sides.append((hx[0], hx[1]))
    return [torch.cat([before[:1], after[1:]]) for before, after in zip(*sides, strict=True)]


@given(layer_options(), st.integers(1, 6), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_what_came_to_each_border(options: dict[str, Any], T: int, N: int, ragged: bool, seed: int) -> None:
    """One layer: each border against runs of the steps before and after it."""
    lstm, _ = pair({**options, "num_layers": 1}, seed)
    x, hx = random_input(lstm, T, N, grad=True), random_state(lstm, N, grad=True)
    reset = torch.rand(x.shape[:2]) < 0.5
    lengths = torch.randint(0, T + 1, (N,)) if ragged else None
    trace = lstm.trace(x, hx, lengths=lengths, reset=reset)
    want = []
    for place in reset.nonzero():
        n, t = (int(k) for k in (place if lstm.batch_first else place.flip(0)))
        length = T if lengths is None else int(lengths[n])
        row, cuts = (part[n] if lstm.batch_first else part[:, n] for part in (x, reset))
        want.append(carried_to(lstm, row[:length], [part[:, n] for part in hx], cuts[:length].clone(), min(t, length)))
    if not want:
        assert [len(part) for part in trace.before_resets()] == [0, 0]
        return
    expected = [torch.stack(part) for part in zip(*want, strict=True)]
    assert_all_close(trace.before_resets(), expected)
    leaves = [x, *hx, *lstm.parameters()]
    assert_all_close(gradients(trace.before_resets(), leaves), gradients(expected, leaves), "gradients")


def test_of_several_layers_and_of_one_row() -> None:
    lstm, x = hs.LSTM(4, 5, 2, bidirectional=True), torch.randn(6, 4)
    reset = torch.tensor([0, 0, 1, 0, 1, 0]).bool()
    trace = lstm.trace(x, reset=reset)
    h, c = trace.before_resets()
    assert h.shape == c.shape == (2, 4, 5)
    for k, name in enumerate(("l0", "l0r", "l1", "l1r")):
        steps = [2, 4] if k % 2 else [1, 3]
        assert torch.equal(h[:, k], trace[f"{name}.h"][steps])
        assert torch.equal(c[:, k], trace[f"{name}.c"][steps])


def test_what_a_trace_can_not_tell_fails() -> None:
    lstm, x, reset = hs.LSTM(4, 5), torch.randn(3, 2, 4), torch.ones(3, 2, dtype=torch.bool)
    with pytest.raises(ArgumentError, match="without reset="):
        lstm.trace(x).before_resets()
    with pytest.raises(ArgumentError, match="1 of 3 steps were recorded"):
        lstm.trace(x, reset=reset, steps=1).before_resets()
    with pytest.raises(NameUnknownError, match="was not recorded"):
        lstm.trace(x, reset=reset, keep=["l0.h"]).before_resets()
    with lstm.edit(hs.zero("l0.c", scope="readout")), pytest.raises(ArgumentError, match="a readout edit"):
        lstm.trace(x, reset=reset).before_resets()


def states(*axes: int) -> tuple[Tensor, Tensor]:
    return torch.randn(*axes, 5), torch.randn(*axes, 5)


def test_calls_joined_know_what_came_in_behind_their_borders() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(7, 2, 4)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[1] = reset[4, 0] = reset[6, 1] = True
    own, stored = states(1), states(2, 2, 1)
    first = lstm.trace(x[:3], reset=reset[:3], reset_to=own)
    second = lstm.trace(x[3:5], first.state, reset=reset[3:5])
    last = lstm.trace(x[5:], second.state, reset=reset[5:], reset_to=stored)
    trace = joined([first, second, last])
    for row, t, want in ((0, 1, own[1][0]), (0, 4, torch.zeros(5)), (1, 6, stored[1][1, 1, 0])):
        assert torch.equal(trace.cell_before(row=row)[t], want)
    assert joined([second, second]).reset_to is None


@pytest.mark.parametrize("axes", [(2,), (2, 3), (4, 3, 2)])
def test_in_files(axes: tuple[int, ...], tmp_path: Path) -> None:
    lstm, x = hs.LSTM(4, 5, bidirectional=True), torch.randn(4, 3, 4)
    trace = lstm.trace(x, reset=torch.rand(4, 3) < 0.5, reset_to=states(*axes))
    trace.save(tmp_path / "trace")
    loaded = hs.Trace.load(tmp_path / "trace")
    assert trace.reset_to is not None
    assert loaded.reset_to is not None
    assert all(torch.equal(a, b) for a, b in zip(loaded.reset_to, trace.reset_to, strict=True))
    assert_close(loaded.cell_before(row=1), trace.cell_before(row=1))


def test_a_file_of_states_that_do_not_fit_fails(tmp_path: Path) -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(4, 3, 4)
    trace = lstm.trace(x, reset=torch.ones(4, 3, dtype=torch.bool), reset_to=states(1))
    for wrong, message in ((states(1, 2), "reset_h has shape"), ((torch.ones(1, 3, 5).long(),) * 2, "floating-point")):
        object.__setattr__(trace, "reset_to", wrong)
        trace.save(tmp_path / "trace")
        with pytest.raises(FileFormatError, match=message):
            hs.Trace.load(tmp_path / "trace")
