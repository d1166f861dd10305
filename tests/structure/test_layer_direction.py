"""Names, suffixes and reading order of a layer in one direction, compared with torch's own names."""

import pytest
from torch import nn

from hiddenstate.structure.names import LayerDirection, layer_directions
from hiddenstate.structure.sizes import Sizes


def test_suffixes_and_their_order_are_those_of_torchs_parameters() -> None:
    lstm = nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2)
    stems = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    built = [stem + each.suffix for each in layer_directions(2, True) for stem in stems]
    assert built == [name for name, _ in lstm.named_parameters()]


def test_names_are_how_places_begin() -> None:
    assert [each.name for each in layer_directions(2, True)] == ["l0", "l0r", "l1", "l1r"]
    assert [each.name for each in layer_directions(2, False)] == ["l0", "l1"]


@pytest.mark.parametrize(("reverse", "expected"), [(False, [0, 1, 2]), (True, [2, 1, 0])])
def test_reading_order(reverse: bool, expected: list[int]) -> None:
    assert list(LayerDirection(0, reverse).order(3)) == expected


@pytest.mark.parametrize("bidirectional", [False, True])
def test_sizes_list_each_layers_directions_in_order(bidirectional: bool) -> None:
    sizes = Sizes(2, 3, num_layers=3, bidirectional=bidirectional)
    assert sizes.layer_directions == [each for layer in range(3) for each in sizes.directions_in(layer)]
    assert all(each.layer == layer for layer in range(3) for each in sizes.directions_in(layer))


def test_it_is_its_tuple() -> None:
    assert {LayerDirection(1, True): "here"}[1, True] == "here"  # type: ignore[index]
