import pytest

from hiddenstate.errors import NameUnknownError
from hiddenstate.structure import names
from hiddenstate.structure.names import LayerDirection


def test_places() -> None:
    every = names.places(2, True, ["f", "c"])
    assert [str(place) for place in every] == ["l0.f", "l0.c", "l0r.f", "l0r.c", "l1.f", "l1.c", "l1r.f", "l1r.c"]
    assert all(names.parse_place(str(place), 2, True) == place for place in every)


def test_a_place_knows_its_layer_and_direction() -> None:
    assert names.Place(1, True, "f").layer_direction == LayerDirection(1, reverse=True)


@pytest.mark.parametrize("name", ["", "f", "l0", "l0.", "l.f", "l0.x", "l0.f ", "l0rr.f", "L0.f", "l-1.f", "l0.c_pre"])
def test_bad_places_fail(name: str) -> None:
    with pytest.raises(NameUnknownError, match="unknown place .*: expected LAYER.QUANTITY"):
        names.parse_place(name, 2, True)


def test_a_name_of_another_type_fails() -> None:
    with pytest.raises(NameUnknownError, match="unknown place 3"):
        names.parse_place(3, 2, True)  # type: ignore[arg-type]


def test_a_place_that_the_lstm_lacks_fails() -> None:
    with pytest.raises(NameUnknownError, match="^no place 'l2.f' in this LSTM: its layers and directions are l0 l1$"):
        names.parse_place("l2.f", 2, False)
