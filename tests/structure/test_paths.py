"""Places prefixed with their module's path."""

import pytest

from hiddenstate.structure.names import Layers, at_path, list_places, split_path


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("l0.f", ("", "l0.f")),
        ("rnn.l0.f", ("rnn", "l0.f")),
        ("encoder.rnn.l1r.c_pre", ("encoder.rnn", "l1r.c_pre")),
        ("f", ("", "f")),
        ("", ("", "")),
    ],
)
def test_a_path_comes_before_the_last_two_names(place: str, parts: tuple[str, str]) -> None:
    assert split_path(place) == parts


def test_an_empty_path_means_the_only_module() -> None:
    one, two = [1], [2]
    assert at_path("", {"a": one}) is one
    assert at_path("", {"a": one, "alias": one}) is one
    assert at_path("", {"a": one, "b": two}) is None
    assert at_path("", {"": one, "b": two}) is one
    assert at_path("c", {"a": one}) is None


def test_places_are_listed_shortly() -> None:
    assert list_places({"": Layers(12, True)}) == "{l0,l0r,...,l11r}.{i,f,g,o,c,h}"
    many = {f"part{k}": Layers(1, False) for k in range(9)}
    listed = list_places(many, near="part7")
    assert listed.startswith("part7.l0.{i,f,g,o,c,h}, ")
    assert listed.endswith(", ...")
    assert listed.count("part") == 4
