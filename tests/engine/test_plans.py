"""Plans: how the native engine divides a call. Which one runs is decided by time, so all must give the same bits."""

from collections.abc import Iterator

import pytest
import torch

import hiddenstate as hs
from support import diagonal

CALLS = 30  # more than the first calls, which try each plan


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# Weights that exceed a core's cache, and numbers of rows for which several plans are close.
@pytest.mark.parametrize(
    ("kind", "sizes"), diagonal([hs.LSTM, hs.GRU], [(8, 300), (17, 300), (40, 300), (65, 300), (17, 65)])
)
def test_all_plans_give_the_same_bits(two_threads: None, kind: type[hs.LSTM], sizes: tuple[int, int]) -> None:
    N, H = sizes
    torch.manual_seed(0)
    layer, x = kind(H, H), torch.randn(6, N, H)
    with torch.no_grad():
        first = layer(x)[0]
        plans = {layer.path(x).plan}
        for _ in range(CALLS):
            assert torch.equal(layer(x)[0], first)
            plans.add(layer.path(x).plan)
        torch.set_num_threads(1)
        assert torch.equal(layer(x)[0], first)
    assert None not in plans


def test_the_path_says_the_plan(two_threads: None) -> None:
    lstm = hs.LSTM(64, 64)
    small, wide = torch.randn(2, 1, 64), torch.randn(50, 256, 64)
    with torch.no_grad():
        assert lstm.path(small).plan == "one thread; inputs are multiplied before the hidden states"
        lstm(wide)
        report = lstm.path(wide)
    assert report.plan is not None
    assert report.plan.endswith("inputs are multiplied together with the hidden states")
    assert f"plan: {report.plan}" in str(report)
    with torch.no_grad(), hs.backend("reference"):
        assert lstm.path(wide).plan is None
