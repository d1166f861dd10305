import pytest
import torch

import floors
import layers
from ceilings import Ceilings, Level, Rate
from contestants import Contestant, if_it_runs, itself
from regime import Regime, enter
from regimes import INFERENCE, REGIMES
from shapes import Case, Shape

SMALL = Shape(T=5, N=3, H=8, L=2, bidirectional=True)


def test_regimes_of_the_table_are_told_apart() -> None:
    assert len({regime.name for regime in REGIMES}) == len(REGIMES)
    assert any(regime.quick for regime in REGIMES)


def test_peers_give_our_numbers() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    entered = enter(Regime("sequence", SMALL, INFERENCE))
    assert [contestant.name for contestant in entered.contestants[:3]] == [
        "hiddenstate",
        "torch, no_grad",
        "onnxruntime",
    ]
    assert not entered.wrong


def test_a_peer_of_other_numbers_is_not_measured() -> None:
    def other(case: Case) -> Contestant:
        return Contestant("other", lambda: torch.ones(SMALL.T, SMALL.N, 2 * SMALL.H), itself)

    entered = enter(Regime("sequence", SMALL, (layers.ours, other)))
    assert [contestant.name for contestant in entered.contestants] == ["hiddenstate"]
    assert "other differs by" in entered.wrong[0]


def test_a_peer_that_does_not_run_on_this_processor_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", refuse)
    entries = (layers.ours_bfloat16, layers.torch_bfloat16, layers.torch_autocast, layers.torch_stream_bfloat16)
    entered = enter(Regime("bfloat16", SMALL, entries))
    assert [contestant.name for contestant in entered.contestants] == ["hiddenstate, bfloat16"]
    assert len(entered.missing) == 3
    assert "could not create a primitive descriptor" in entered.missing[0]


def test_a_peer_is_tried_apart_from_what_is_measured() -> None:
    """A stream's state goes on with each run: one that was tried is a step ahead of ours."""
    made: list[list[None]] = []

    def make() -> Contestant:
        runs: list[None] = []
        made.append(runs)
        return Contestant("peer", lambda: runs.append(None), itself)

    if_it_runs(make)
    assert [len(runs) for runs in made] == [1, 0]


def test_floor_of_a_step_is_its_weights_read_once_and_of_a_batch_its_operations() -> None:
    near, far = Level("L1", 1 << 10, Rate(1e9, 2e9)), Level("memory", 1 << 40, Rate(1e8, 1e8))
    ceilings = Ceilings(2, Rate(1e11, 2e11), [near, far])
    assert floors.forward(Shape(1, 1, 64), ceilings) == pytest.approx(4 * 64 * (64 + 64) * 4 / 1e8)
    assert floors.forward(Shape(1, 1, 4), ceilings) == pytest.approx(4 * 4 * (4 + 4) * 4 / 2e9)
    assert floors.forward(Shape(10, 10**6, 64), ceilings) == pytest.approx(8 * 10 * 10**6 * 64 * (64 + 64) / 2e11)
