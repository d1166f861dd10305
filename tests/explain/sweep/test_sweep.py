"""Sweeps: each row equals a single edit; the slope of every value; rejected arguments."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, IndexRangeError, NameUnknownError, ShapeError
from hiddenstate.explain.subject.target import resolve_target
from hiddenstate.explain.sweep.run import slopes
from support import layer_options, pair, random_input, random_state


def late(run: hs.explain.Outputs) -> Tensor:
    """A target that depends on every step from the third on, and on the final state."""
    return run.out[2:].sin().sum((0, 2)) + run.state[1].square().sum((0, 2))


def targets(lstm: hs.LSTM, data: st.DataObject) -> Any:
    layer, reverse = data.draw(st.sampled_from(lstm.sizes.layer_directions))
    quantity = data.draw(st.sampled_from("ifgoch"))
    unit, t = data.draw(st.integers(0, lstm.sizes.units(quantity) - 1)), data.draw(st.integers(0, 4))
    return data.draw(st.sampled_from([f"l{layer}{'r' if reverse else ''}.{quantity}[{unit}]@{t}", late]))


def small(options: dict[str, Any]) -> dict[str, Any]:
    """The same options, no larger than 5 units, in float64."""
    hidden = min(options["hidden_size"], 5)
    return {
        **options,
        "hidden_size": hidden,
        "proj_size": min(options["proj_size"], hidden - 1),
        "dtype": torch.float64,
    }


@settings(max_examples=12)
@given(layer_options(), st.data(), st.sampled_from(["noising", "denoising"]), st.booleans())
def test_each_patch_is_what_its_edit_gives(
    options: dict[str, Any], data: st.DataObject, direction: Any, resets: bool
) -> None:
    lstm, _ = pair(small(options), 0)
    pair_x, hx = [random_input(lstm, 5, 1) for _ in range(2)], random_state(lstm, 1)
    reset: dict[str, Any] = {"reset": torch.rand(pair_x[0].shape[:2]) < 0.3} if resets else {}
    of = targets(lstm, data)
    found = hs.explain.sweep(lstm, *pair_x, of=of, places="*.*", direction=direction, hx=hx, **reset)
    patched = hs.explain.subject(lstm, pair_x[direction == "denoising"], hx=hx, **reset)
    target = resolve_target(of, patched)
    with torch.no_grad():
        assert float(target.of(patched.run(keep=target.keep, steps=target.steps))) == pytest.approx(
            found.base, abs=1e-12
        )
        for one in [found.top(1)[0], *found.top(10**6)[:: max(1, len(found.top(10**6)) // 25)]]:
            with lstm.edit(found.edit(one.place, one.t, one.unit)):
                value = target.of(patched.run(keep=target.keep, steps=target.steps))
            assert float(value) - found.base == pytest.approx(one.effect, abs=1e-10)
    assert found.residual <= 1e-10
    assert found.complete


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("hidden", [3, 17, 65])
def test_in_single_precision_each_patch_is_what_its_edit_gives(hidden: int, bidirectional: bool) -> None:
    lstm, x = hs.LSTM(4, hidden, 2, bidirectional=bidirectional), torch.randn(2, 7, 1, 4)
    found = hs.explain.sweep(lstm, x[0], x[1], of="l1.h[1]@5")
    subject = hs.explain.subject(lstm, x[0])
    for one in found.top(40):
        with torch.no_grad(), lstm.edit(found.edit(one.place, one.t, one.unit)):
            value = float(subject.run().out[5, 0, 1])
        assert value - found.base == pytest.approx(one.effect, abs=1e-6)
    assert found.residual <= 1e-6


@settings(max_examples=12)
@given(layer_options(), st.data(), st.booleans())
def test_a_slope_is_that_of_the_edit(options: dict[str, Any], data: st.DataObject, resets: bool) -> None:
    lstm, _ = pair(small(options), 0)
    x, hx = random_input(lstm, 5, 1), random_state(lstm, 1)
    reset: dict[str, Any] = {"reset": torch.rand(x.shape[:2]) < 0.3} if resets else {}
    subject = hs.explain.subject(lstm, x, hx=hx, **reset)
    target, trace = resolve_target(targets(lstm, data), subject), subject.trace()
    found = slopes(subject, target)
    assert set(found) == set(trace)
    for name in data.draw(st.permutations(list(found)))[:4]:
        t, unit = data.draw(st.integers(0, 4)), data.draw(st.integers(0, found[name].shape[1] - 1))
        ends = []
        for step in (1e-6, -1e-6):
            value = float(trace.values[name][t, 0, unit]) + step
            with torch.no_grad(), lstm.edit(hs.set(name, to=value, unit=unit, t=t)):
                ends.append(float(target.of(subject.run(keep=target.keep, steps=target.steps))))
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float(found[name][t, unit]), abs=1e-7, rel=1e-6)


def test_slopes_are_computed_from_tensors_of_inference_mode() -> None:
    lstm = hs.LSTM(3, 4)
    with torch.inference_mode():
        x, hx = random_input(lstm, 5, 1), random_state(lstm, 1)
    plain = x.clone(), tuple(part.clone() for part in hx)
    cases = [hs.explain.subject(lstm, data, hx=state) for data, state in ((x, hx), plain)]
    found = [slopes(case, resolve_target("l0.h[0]", case)) for case in cases]
    assert all(torch.equal(slope, found[1][name]) for name, slope in found[0].items())
    assert found[0]["l0.c"].any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_full_patch_is_the_other_run_and_a_null_patch_is_none(bidirectional: bool) -> None:
    lstm = hs.LSTM(4, 7, 2, bidirectional=bidirectional)
    x, head = torch.randn(2, 6, 1, 4), nn.Linear(7 * (1 + bidirectional), 3)
    of, places = hs.explain.logit(1, word=3), "l1.h,l1r.h" if bidirectional else "l1.h"
    found = hs.explain.sweep(lstm, x[0], x[1], of=of, places=places, units="all", head=head)
    whole = found.effect[:, 3, 0].sum()  # a logit is a sum over directions
    assert whole == pytest.approx(found.other - found.base, abs=1e-5)
    same = hs.explain.sweep(lstm, x[0], x[0], of=of, head=head)
    assert np.abs(same.effect).max() <= 1e-6
    assert found.labels == ("all",)


def test_rows_begin_where_they_are_patched() -> None:
    lstm, x = hs.LSTM(3, 4, 2), torch.randn(2, 10, 1, 3)
    found = hs.explain.sweep(lstm, x[0], x[1], of="l1.c[0]@7")
    patches = 4 * 4 * sum(8 - t for t in range(8))
    assert found.cost == 2 * 10 + patches + 8, "two runs, each patch from its step to the target's, and one of nothing"
    assert found.effect.shape == (4, 10, 4)
    assert not found.effect[:, 8:].any(), "what comes after the target does not move it"


def test_groups_units_and_steps_are_chosen() -> None:
    lstm, x = hs.LSTM(3, 5, proj_size=2), torch.randn(2, 6, 1, 3)
    found = hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", units=[[0, 3], [1]], steps=[-1, 2])
    assert found.labels == ("0,3", "1")
    assert found.steps == (5, 2)
    both = found.effect[found.places.index("l0.c"), 1, 0]
    subject = hs.explain.subject(lstm, x[0])
    with torch.no_grad(), lstm.edit(hs.patch("l0.c", source=lstm.trace(x[1]), unit=[0, 3], t=2)):
        assert float(subject.trace()["l0.c"][-1, 0, 0]) - found.base == pytest.approx(both, abs=1e-6)
    wide = hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]")
    assert np.isnan(wide.effect[wide.places.index("l0.h"), :, 2:]).all(), "h has two units with this projection"
    assert len(wide.rows()) == 6 * (5 + 2)


def test_an_estimate_chooses_what_is_run() -> None:
    lstm, x = hs.LSTM(4, 9, 2, dtype=torch.float64), torch.randn(6, 1, 4, dtype=torch.float64)
    other = x + 0.02 * torch.randn_like(x)
    found = hs.explain.sweep(lstm, x, other, of="l1.h[2]", mode="gradient+exact", top=30)
    exact = hs.explain.sweep(lstm, x, other, of="l1.h[2]")
    assert found.estimate is not None
    ran = ~np.isnan(found.effect)
    assert ran.sum() == 30
    assert np.abs(found.estimate[ran]).min() >= np.abs(found.estimate[~ran]).max()
    assert np.allclose(found.effect[ran], exact.effect[ran], atol=1e-12)
    assert np.abs(found.estimate - exact.effect).max() <= 0.02 * np.abs(exact.effect).max(), "near, so nearly linear"
    assert found.rank_correlation is not None
    assert found.rank_correlation > 0.95
    assert "Rank correlation" in str(found)


def test_spearman_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    from hiddenstate.explain.sweep.run import rank_correlation

    a, b = np.random.default_rng(0).integers(0, 6, (2, 50)).astype(float)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert np.isnan(rank_correlation(a, np.zeros(50)))


def test_a_unit_that_is_not_read_has_no_effect() -> None:
    plant = hs.plant.copied_unread()
    x = plant.inputs(0, T=8)
    found = hs.explain.sweep(plant.lstm, x, plant.inputs(1, T=8), of="l1.c[0]")
    by_place = dict(zip(found.places, found.effect, strict=True))
    assert np.abs(by_place["l0.h"][:, 1]).max() == 0.0
    assert np.abs(by_place["l0.h"][:, 0]).max() > 0.01


def test_it_tells_how_far_it_is_and_can_be_stopped() -> None:
    lstm, x, told = hs.LSTM(3, 4), torch.randn(2, 6, 1, 3), list[tuple[int, int]]()
    found = hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", progress=lambda *now: told.append(now))
    assert told[-1][0] == found.cost
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(done: int, _total: int) -> None:
        if done > 90:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", progress=lambda *_: stop(99, 0))  # before anything was run
    stopped = hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", progress=once(stop))
    assert not stopped.complete
    assert 0 < (~np.isnan(stopped.effect)).sum() < stopped.effect.size
    assert "Stopped" in str(stopped)


def once(call: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Call until it raises, but not after that."""
    raised: list[int] = []

    def run(done: int, total: int) -> None:
        if not raised:
            try:
                call(done, total)
            except KeyboardInterrupt:
                raised.append(done)
                raise

    return run


def test_edits_in_force_hold_in_a_sweep() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(2, 6, 1, 3)
    with lstm.edit(hs.zero("l0.f", t=3), hs.zero("l0.h", t=2)):
        found = hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", places="l0.c")
        assert not found.effect[0, :3].any(), "nothing comes over step 3 but by way of these two"
        assert found.effect[0, 3:].any()
    with lstm.edit(hs.zero("l0.f", t=3)), pytest.raises(ArgumentError, match="does not support edits"):
        hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", mode="gradient+exact")
    with lstm.edit(hs.zero("l0.f", row=0)), pytest.raises(ArgumentError, match="selects rows"):
        hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]")


def test_it_is_told_in_every_form() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(2, 6, 1, 3)
    found = hs.explain.sweep(lstm, x[0], x[1], of="l0.c[0]", tokens=list("abcdef"))
    array = found.to_xarray()
    assert array["effect"].dims == ("place", "step", "unit")
    assert float(array["effect"].sel(place="l0.h", step=2, unit="3")) == found.effect[1, 2, 3]
    assert array["word"].values.tolist() == list("abcdef")
    data = json.loads(found.to_json())
    assert data["kind"] == "sweep"
    assert np.allclose(data["effect"], found.effect)
    assert found.to_csv().splitlines()[0] == "place,t,unit,effect,estimate"
    assert len(found.plot().axes) == 4
    assert "l0." in str(found)
    with pytest.raises(NameUnknownError, match="no patch"):
        found.edit("l0.f", 0, 0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mode": "fast"}, ArgumentError, "mode must be one of"),
        ({"direction": "up"}, ArgumentError, "direction must be one of"),
        ({"places": "l3.*"}, NameUnknownError, "no place matches"),
        ({"units": "some"}, ArgumentError, "units must be None"),
        ({"units": []}, ArgumentError, "units= is empty"),
        ({"units": [9]}, IndexRangeError, "units=9"),
        ({"steps": 7}, IndexRangeError, "steps=7"),
        ({"of": "l0.c[9]"}, IndexRangeError, "unit=9"),
        ({"corrupt": torch.zeros(5, 1, 3)}, ShapeError, "the same number of steps"),
    ],
)
def test_sweep_fails(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"clean": torch.zeros(6, 1, 3), "corrupt": torch.ones(6, 1, 3), "of": "l0.c[0]", **change}
    with pytest.raises(error, match=message):
        hs.explain.sweep(hs.LSTM(3, 4), **given)


def test_two_subjects_are_swept_as_a_model_with_two_inputs_is() -> None:
    torch.manual_seed(0)
    lstm, clean, corrupt, of = hs.LSTM(3, 4), torch.randn(4, 1, 3), torch.randn(4, 1, 3), "l0.h[1]"
    one, two = (hs.explain.subject(lstm, x) for x in (clean, corrupt))
    want = hs.explain.sweep(lstm, clean, corrupt, of=of).to_json()
    for pair_of in ((one, two), (lstm, one, two), (lstm, one, corrupt)):
        assert hs.explain.sweep(*pair_of, of=of).to_json() == want
    for too_few in ((lstm, clean), (one,), (one, clean), (lstm, None, corrupt)):
        with pytest.raises(ArgumentError, match="two subjects"):
            hs.explain.sweep(*too_few, of=of)


def test_a_sweeps_edit_goes_into_the_model_by_its_path() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": hs.LSTM(3, 4)})
    model.forward = lambda x: model["rnn"](x)[0]
    clean, corrupt = torch.randn(4, 1, 3), torch.randn(4, 1, 3)
    found = hs.explain.sweep(model, clean, corrupt, of="rnn.l0.h[1]", places="rnn.l0.c")
    one = found.top(1)[0]
    assert (one.place, found.places) == ("l0.c", ("l0.c",))
    with torch.no_grad(), hs.edit(model, found.edit(f"rnn.{one.place}", one.t, one.unit)):
        assert float(model(clean)[-1, 0, 1]) - found.base == pytest.approx(one.effect, abs=1e-6)
