"""The numbers of the lesson: torch.nn.LSTM(4, 3) under seed 2, to four digits."""

import pytest
import torch
from torch import Tensor

import hiddenstate as hs

Lesson = tuple[hs.LSTM, list[Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


@pytest.fixture
def lesson() -> Lesson:
    torch.manual_seed(2)
    lstm = hs.LSTM(4, 3, 1)
    inputs = [torch.randn(1, 4) for _ in range(5)]
    first = (torch.randn(1, 1, 3), torch.randn(1, 1, 3))
    second = (torch.randn(1, 1, 3), torch.randn(1, 1, 3))
    return lstm, inputs, first, second


def digits(value: Tensor) -> list[float]:
    return [round(v, 4) for v in value.flatten().tolist()]


@pytest.fixture(params=["auto", "reference"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_first_input(lesson: Lesson) -> None:
    assert digits(lesson[1][0]) == [1.4934, 0.4987, 0.2319, 1.1746]


def test_every_step_from_the_same_state(lesson: Lesson, path: hs.engine.dispatch.Backend) -> None:
    lstm, inputs, start, _ = lesson
    with hs.backend(path):
        results = [lstm(x.view(1, 1, -1), start) for x in inputs]
    assert [digits(h_n) for _, (h_n, _) in results[:3]] == [
        [-0.4372, 0.2583, 0.2947],
        [-0.2836, 0.1314, 0.4133],
        [-0.3404, 0.4880, 0.1949],
    ]
    assert [digits(c_n) for _, (_, c_n) in results[:2]] == [[-0.7344, 0.6209, 0.4191], [-0.5041, 0.2672, 0.6370]]


def test_all_steps_at_once(lesson: Lesson, path: hs.engine.dispatch.Backend) -> None:
    lstm, inputs, _, start = lesson
    with hs.backend(path):
        out, (h_n, c_n) = lstm(torch.cat(inputs).view(5, 1, -1), start)
    assert [digits(step) for step in out] == [
        [0.1611, 0.2200, 0.2213],
        [0.0364, -0.0390, 0.2638],
        [-0.1425, -0.0174, 0.1504],
        [-0.1583, 0.1264, 0.1709],
        [-0.2007, -0.1559, 0.2489],
    ]
    assert digits(c_n) == [-0.4429, -0.2975, 0.3252]
    assert torch.equal(out[-1], h_n[-1])


def test_one_at_a_time_with_the_state_carried_is_all_at_once(lesson: Lesson) -> None:
    lstm, inputs, _, start = lesson
    stream = lstm.stream()
    stream.state = start
    assert digits([stream.step(x) for x in inputs][-1]) == [-0.2007, -0.1559, 0.2489]
    assert digits(stream.state[1]) == [-0.4429, -0.2975, 0.3252]
