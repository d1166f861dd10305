"""`selfcheck`: its verdicts on methods with known merits and faults; the table of expected verdicts is right."""

import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ShapeError
from hiddenstate.plant import EXPECTED
from hiddenstate.structure.addresses import parse_address

Method = Callable[[hs.LSTM, Tensor, str], Tensor]


def target(lstm: hs.LSTM, x: Tensor, of: str) -> Tensor:
    place, unit, t, _ = parse_address(of)
    assert isinstance(unit, int)
    assert isinstance(t, int)
    return lstm.trace(x, keep=[place])[place][t, :, unit]


def gradient(lstm: hs.LSTM, x: Tensor, of: str) -> Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(target(lstm, x, of).sum(), x)
    return (slope * x).sum((1, 2))


@torch.no_grad()
def occlusion(lstm: hs.LSTM, x: Tensor, of: str) -> Tensor:
    without = x.repeat(1, len(x), 1)
    without[range(len(x)), range(len(x))] = 0
    return target(lstm, x, of) - target(lstm, without, of)


def ledger(lstm: hs.LSTM, x: Tensor, of: str) -> Tensor:
    track, unit = of[:2], int(of.split("[")[1].split("]")[0])
    i, f, g = (lstm.trace(x)[f"{track}.{gate}"][:, 0, unit].detach() for gate in "ifg")
    kept = torch.cat([f.flip(0).cumprod(0).flip(0)[1:], torch.ones_like(f[:1])])
    return kept * i * g


@pytest.mark.parametrize("method", [gradient, occlusion, ledger])
def test_the_table_holds_for_methods_written_in_three_lines(method: Method) -> None:
    found = hs.explain.selfcheck(method)
    want = {plant: EXPECTED[method.__name__][plant].verdict for plant in hs.plant.garden("LSTM")}
    assert found.verdicts == want


def test_the_cost_is_what_the_method_ran() -> None:
    found = hs.explain.selfcheck(occlusion, T=6, inputs=4)
    assert found.cost == len(hs.plant.garden("LSTM")) * 4 * (6 + 6 * 6)
    assert found.inputs == 4


def test_noise_finds_nothing_and_silence_sees_nothing() -> None:
    noise = hs.explain.selfcheck(lambda lstm, x, of: torch.randn(len(x)), T=16, inputs=12)
    assert "finds" not in noise.verdicts.values()
    silence = hs.explain.selfcheck(lambda lstm, x, of: [0.0] * len(x))
    assert set(silence.verdicts.values()) == {"sees nothing"}
    assert silence.residual == 0.0


def test_a_sign_turned_is_misled() -> None:
    turned = hs.explain.selfcheck(lambda lstm, x, of: -occlusion(lstm, x, of))
    assert set(turned.verdicts.values()) == {"misled"}
    assert turned.residual == pytest.approx(2.0, abs=1e-6)


def test_a_plant_of_ones_own_goes() -> None:
    found = hs.explain.selfcheck(occlusion, plants={"slow": hs.plant.integrator(100)})
    assert found.verdicts == {"integrator": "finds"}
    assert found.scores[0].agreement == pytest.approx(1.0, abs=1e-9)


def test_it_is_told_in_every_form() -> None:
    found = hs.explain.selfcheck(occlusion, inputs=2)
    assert "latch, gate" in str(found)
    assert "row-steps" in str(found)
    assert len(found.to_dataframe()) == len(hs.plant.garden("LSTM"))
    assert json.loads(found.to_json())["plants"][0]["verdict"] == "finds"
    assert found.plot().axes


def test_selfcheck_fails() -> None:
    with pytest.raises(ShapeError, match="one finite number per step"):
        hs.explain.selfcheck(lambda lstm, x, of: torch.zeros(3))
    with pytest.raises(ShapeError, match="infinite"):
        hs.explain.selfcheck(lambda lstm, x, of: torch.full((len(x),), torch.nan))
    with pytest.raises(ArgumentError, match="unknown method 'guess'"):
        hs.explain.selfcheck("guess")
    with pytest.raises(ArgumentError, match="at least one"):
        hs.explain.selfcheck(occlusion, inputs=0)


@pytest.mark.parametrize("method", EXPECTED)
def test_the_table_holds_for_every_method_of_the_library(method: str) -> None:
    found = hs.explain.selfcheck(method, T=8, inputs=4)
    assert found.verdicts == {plant: expectation.verdict for plant, expectation in EXPECTED[method].items()}, str(found)
    assert "NOT as expected" not in str(found)
    assert found.scores[0].why == EXPECTED[method]["latch"].why


def test_a_surprise_is_told() -> None:
    turned = hs.plant.integrator()
    backwards = hs.plant.Plant(**{**vars(turned), "tell": lambda x: -turned.tell(x)})
    found = hs.explain.selfcheck("occlusion", plants={"integrator": backwards}, inputs=2)
    assert found.verdicts == {"integrator": "misled"}
    assert "NOT as expected" in str(found)
