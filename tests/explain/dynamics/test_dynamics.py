"""Dynamics: planted time constants, Jacobians compared with finite differences, known fixed points."""

import json
import math
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, ShapeError
from hiddenstate.explain.dynamics import fixed_points
from hiddenstate.explain.dynamics.fixed_points import make_state_map
from support import SIZES


@given(st.floats(0.5, 1000))
def test_a_planted_time_constant_is_measured(constant: float) -> None:
    plant = hs.plant.integrator(constant)
    for found in (hs.explain.dynamics(plant.lstm), hs.explain.dynamics(plant.lstm, plant.inputs(0, N=3))):
        (measured,) = found.timescales().constants["l0"].tolist()
        assert measured == pytest.approx(constant, rel=1e-6)


def test_time_constants_say_what_is_left_of_a_cell() -> None:
    lstm, x = hs.LSTM(3, 5, 2, bidirectional=True), torch.randn(7, 2, 3)
    lengths = torch.tensor([7, 4])
    found = hs.explain.dynamics(lstm, x, lengths=lengths).timescales()
    f = lstm.trace(x, lengths=lengths)["l1r.f"].detach().double()
    real = torch.cat([f[:, 0], f[:4, 1]])
    left = real.prod(0)  # time constants of one cell, over all these steps
    assert torch.allclose(torch.exp(-11 / found.constants["l1r"]), left, rtol=1e-6)
    assert found.steps == 11


def test_a_gate_of_one_never_forgets() -> None:
    found = hs.explain.dynamics(hs.plant.counter().lstm).timescales()
    assert found.constants["l0"].tolist() == [math.inf]
    assert "l0.c[0] inf" in str(found)


def test_saturation_counts_steps() -> None:
    plant = hs.plant.latch()
    x = plant.inputs(0, T=10, N=4)
    found = hs.explain.dynamics(plant.lstm, x).saturation()
    assert found.open["l0.i"].tolist() == [0.1]
    assert found.shut["l0.i"].tolist() == [0.9]
    assert found.shut["l0.f"].tolist() == [0.1]
    assert found.open["l0.o"].tolist() == [1.0]
    g = plant.lstm.trace(x)["l0.g"].detach()
    assert found.shut["l0.g"].tolist() == [float((g < -0.9).double().mean())]


@settings(max_examples=15)
@given(SIZES, st.sampled_from([1, 2, 5]), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_the_map_is_the_lstm_and_its_jacobian_is_right(C: int, H: int, L: int, projects: bool, seed: int) -> None:
    torch.manual_seed(seed)
    lstm = hs.LSTM(C, H, L, proj_size=H - 1 if projects and H > 1 else 0, bias=bool(seed % 2), dtype=torch.float64)
    map_ = make_state_map(lstm)
    h, c = torch.randn(L, 2, lstm.sizes.output_size).double(), torch.randn(L, 2, H).double()
    x, z = torch.randn(2, C).double(), map_.joined((h, c))
    _, end = lstm(x[None], (h, c))
    assert torch.allclose(map_(z, x), map_.joined(end), atol=1e-12)
    jacobian = map_.jacobian(z, x)
    eye = 1e-6 * torch.eye(map_.numbers).double()
    for n in range(2):
        ends = [map_(z[n] + sign * eye, x[n].expand(map_.numbers, -1)) for sign in (1, -1)]
        assert torch.allclose((ends[0] - ends[1]).T / 2e-6, jacobian[n], atol=1e-6)


def test_bistable_has_two_stable_points_and_a_saddle() -> None:
    plant = hs.plant.bistable()
    found = hs.explain.dynamics(plant.lstm).fixed_points()
    assert [found.kind_of(k) for k in range(len(found))] == ["stable", "stable", "saddle"]
    assert found.residual <= 1e-9
    assert sorted(round(float(c), 4) for c in found.states[:, 1]) == [-1.2343, 0.0, 1.2343]
    assert float(found.eigenvalues[2, 0].real) == pytest.approx(3.2)
    for k in range(3):
        _, (h_n, c_n) = plant.lstm(torch.zeros(5, 1, 1).double(), found.state(k))
        assert torch.allclose(h_n, found.state(k)[0], atol=1e-6)
        assert torch.allclose(c_n, found.state(k)[1], atol=1e-6)


def test_a_push_leaves_one_point() -> None:
    found = hs.explain.dynamics(hs.plant.bistable().lstm).fixed_points(torch.tensor([1.0]))
    assert [found.kind_of(k) for k in range(len(found))] == ["stable"]
    assert float(found.states[0, 1]) > 0


def test_a_latch_rests_at_zero_and_comes_there_by_its_time_constant() -> None:
    found = hs.explain.dynamics(hs.plant.latch(30).lstm).fixed_points()
    assert len(found) == 1
    assert found.states.abs().max() <= 1e-6
    assert float(found.eigenvalues[0, 0].abs()) == pytest.approx(math.exp(-1 / 30), abs=1e-9)


def test_a_switch_rests_where_it_is_on_and_where_it_is_off() -> None:
    plant = hs.plant.flip_flop()
    found = hs.explain.dynamics(plant.lstm, plant.inputs(0, N=8)).fixed_points()
    resting = {
        (state,)
        for k in range(len(found))
        if found.stable[k]
        for state in plant.machine.decode(found.state(k)[0][0, 0])
    }
    assert resting == {("on",), ("off",)}


def flips(generator: torch.Generator, T: int, N: int) -> tuple[Tensor, Tensor]:
    """Pulses for three bits, and the last pulse of each."""
    signs = torch.randint(0, 2, (T, N, 3), generator=generator) * 2.0 - 1
    pulses = (torch.rand(T, N, 3, generator=generator) < 0.2) * signs
    bits, every = torch.zeros(N, 3), []
    for pulse in pulses:
        bits = torch.where(pulse != 0, pulse, bits)
        every.append(bits)
    return pulses, torch.stack(every)


def test_a_trained_flip_flop_of_three_bits_has_eight_stable_points() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    lstm, head = hs.LSTM(3, 16), nn.Linear(16, 3)
    optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=0.01)
    for _ in range(800):
        x, bits = flips(generator, 25, 32)
        optimiser.zero_grad()
        nn.functional.mse_loss(head(lstm(x)[0]), bits).backward()
        optimiser.step()
    found = hs.explain.dynamics(lstm, flips(generator, 40, 8)[0]).fixed_points(starts=128, descent=200)
    stable = [found.state(k)[0][0, 0].float() for k in range(len(found)) if found.stable[k]]
    assert len(stable) == 8
    with torch.no_grad():
        memories = {tuple(head(h).sign().int().tolist()) for h in stable}
    assert len(memories) == 8, "one for each setting of the bits"
    assert int((~found.stable).sum()) >= 1, "and saddles between them"
    assert found.residual <= 1e-6


@settings(max_examples=10)
@given(st.integers(0, 99), st.integers(1, 2))
def test_a_spectrum_is_that_of_the_jacobians_along_the_run(seed: int, L: int) -> None:
    torch.manual_seed(seed)
    lstm, x = hs.LSTM(3, 4, L, dtype=torch.float64), torch.randn(6, 2, 3).double()
    found = hs.explain.dynamics(lstm, x).spectrum(row=1)
    assert found.residual <= 1e-9
    map_, product = make_state_map(lstm), torch.eye(8 * L).double()
    z = torch.zeros(1, 8 * L).double()
    for t in range(6):
        slope = map_.jacobian(z, x[t, 1:])[0]
        assert float(found.radius[t]) == pytest.approx(float(torch.linalg.eigvals(slope).abs().max()), abs=1e-9)
        assert float(found.norms[t]) == pytest.approx(float(torch.linalg.matrix_norm(slope, 2)), abs=1e-9)
        product, z = slope @ product, map_(z, x[t, 1:])
    growth = product[:, 0].norm().log() / 6  # of one direction, which is among the orthogonal ones that are followed
    assert float((found.exponents - growth).abs().min()) <= 1e-9


def test_an_integrators_spectrum_is_its_forget_gate() -> None:
    plant = hs.plant.integrator(10)
    found = hs.explain.dynamics(plant.lstm, plant.inputs(0)).spectrum()
    assert torch.allclose(found.radius, torch.tensor(math.exp(-0.1)).double(), atol=1e-12)
    # The first step's direction is new; from then on the exponent is the logarithm of the forget gate.
    assert float(found.exponents[0]) == pytest.approx(-0.1, abs=0.1)
    assert math.isnan(found.residual), "h depends on c alone, so the Jacobian has no inverse"


def test_views_are_told_in_every_form() -> None:
    lstm, x = hs.LSTM(3, 4, 2), torch.randn(6, 1, 3)
    found = hs.explain.dynamics(lstm, x, tokens=list("abcdef"))
    assert "spectrum()" in repr(found)
    views = (found.timescales(), found.saturation(), found.fixed_points(starts=8, descent=100), found.spectrum())
    for view in views:
        assert json.loads(view.to_json())["kind"] == view.kind
        assert len(view.to_dataframe()) == len(view.rows()) > 0
        assert view.plot().axes
        assert str(view)
        assert view.cost > 0


def test_dynamics_fails() -> None:
    both, x = hs.LSTM(3, 4, bidirectional=True), torch.randn(6, 1, 3)
    with pytest.raises(ArgumentError, match="give a unidirectional one"):
        hs.explain.dynamics(both).fixed_points()
    lstm = hs.LSTM(3, 4)
    with lstm.edit(hs.zero("l0.f")), pytest.raises(ArgumentError, match="without edits"):
        hs.explain.dynamics(lstm).spectrum()
    with pytest.raises(ShapeError, match=r"input \[3\]"):
        hs.explain.dynamics(lstm).fixed_points(torch.zeros(2))
    with pytest.raises(ArgumentError, match="at least 1"):
        hs.explain.dynamics(lstm).fixed_points(starts=0)
    with pytest.raises(IndexRangeError, match="row=3"):
        hs.explain.dynamics(lstm, x).spectrum(3)
    with pytest.raises(ArgumentError, match="does not survive a reset"):
        hs.explain.dynamics(lstm, x, reset=torch.ones(6, 1, dtype=torch.bool)).spectrum()
    with pytest.raises(ArgumentError, match="too large"):
        hs.explain.dynamics(hs.LSTM(1, 2049)).fixed_points()
    with pytest.raises(ArgumentTypeError, match="expected a recurrent layer"):
        hs.explain.dynamics(3)


def test_dynamics_tell_how_far_they_are() -> None:
    found = hs.explain.dynamics(hs.LSTM(2, 3), torch.randn(5, 1, 2))
    told: list[tuple[int, int]] = []
    found.spectrum(progress=lambda done, total: told.append((done, total)))
    assert told == [(k + 1, 5) for k in range(5)]
    told.clear()
    found.fixed_points(starts=2, descent=7, progress=lambda done, total: told.append((done, total)))
    assert told == [(k + 1, 7) for k in range(7)]
    calls: list[Any] = [found.spectrum, found.fixed_points]
    for call in calls:
        with pytest.raises(ArgumentTypeError, match="progress must be a function"):
            call(progress=3)


def test_starts_that_threads_share_find_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    dynamics = hs.explain.dynamics(hs.plant.bistable().lstm)
    alone = dynamics.fixed_points()
    monkeypatch.setattr(fixed_points, "LARGE", 1)
    shared = dynamics.fixed_points()
    assert (len(shared), shared.cost > 0, shared.starts) == (len(alone), True, alone.starts)
    assert torch.allclose(shared.states.sort(0).values, alone.states.sort(0).values, atol=1e-8)
    assert int(shared.found.sum()) == int(alone.found.sum())


def threads_side_by_side() -> int:
    with fixed_points.side_by_side() as (_, threads):
        return threads


def test_torch_has_its_threads_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with fixed_points.side_by_side() as (workers, threads):
            assert threads == 3
            assert [*workers.map(lambda _: torch.get_num_threads(), range(7))] == [1] * 7
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), fixed_points.side_by_side() as (workers, _):
            list(workers.map(lambda k: 1 / k, [1, 0]))
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as other, fixed_points.side_by_side():
            found = other.submit(threads_side_by_side)
            assert not wait([found], timeout=0.2).done, "it waits for this block"
        assert found.result() == 3
    finally:
        torch.set_num_threads(before)
