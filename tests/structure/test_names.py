import pytest
from torch import nn

from hiddenstate.errors import NameUnknownError
from hiddenstate.structure import names


def test_places() -> None:
    every = names.places(2, True, ["f", "c"])
    assert [str(place) for place in every] == ["l0.f", "l0.c", "l0r.f", "l0r.c", "l1.f", "l1.c", "l1r.f", "l1r.c"]
    assert all(names.parse_place(str(place), 2, True) == place for place in every)


def test_parameter_names_are_torchs() -> None:
    lstm = nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2)
    stems = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    built = [stem + names.suffix(*track) for track in names.tracks(2, True) for stem in stems]
    assert built == [name for name, _ in lstm.named_parameters()]


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
