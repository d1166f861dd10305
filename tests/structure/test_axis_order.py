import pytest
import torch

from hiddenstate.structure.names import AxisOrder, from_time_first, to_time_first


@pytest.mark.parametrize(("layout", "shape"), [("TN", (5, 2, 3)), ("NT", (2, 5, 3)), ("T", (5, 3))])
def test_there_and_back(layout: AxisOrder, shape: tuple[int, ...]) -> None:
    value = torch.randn(shape)
    first = to_time_first(value, layout)
    assert first.shape[0] == 5
    assert first.dim() == 3
    assert torch.equal(from_time_first(first, layout), value)


@pytest.mark.parametrize("layout", ["TN", "NT"])
def test_without_rows(layout: AxisOrder) -> None:
    assert from_time_first(torch.zeros(5, 0, 3), layout).numel() == 0
