import math

import pytest

from hiddenstate.training.loop import learning_rate, plateaus
from hiddenstate.training.settings import TrainConfig
from hiddenstate.training.task import Epoch, Score, Step


def history(*best: bool) -> list[Epoch]:
    step = Step(1, 1, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0)
    return [Epoch(step, Score(0.0, ""), each) for each in best]


def test_cosine_is_torchs() -> None:
    config = TrainConfig(learning_rate=0.4, warmup_steps=0)
    want = [0.4 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(9)]
    assert [learning_rate(config, step, step / 8, ()) for step in range(9)] == pytest.approx(want)


def test_constant_after_the_warm_up() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_steps=1, schedule="constant")
    assert [learning_rate(config, step, step / 4, ()) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_plateau() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_steps=0, schedule="plateau", plateau_factor=0.1, plateau_patience=2)
    told = history(True, False, False, True, False, False, False, False)
    rates = [learning_rate(config, 9, 0.5, told[:k]) for k in range(9)]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
    assert plateaus(told, 1) == 6
