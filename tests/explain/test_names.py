"""The names in `hiddenstate.explain`, which cost nothing until they are used."""

import pytest

import hiddenstate as hs


def test_every_name_is_there_and_is_itself() -> None:
    for name in hs.explain.__all__:
        assert getattr(hs.explain, name).__name__ == name
    assert set(hs.explain.__all__) <= set(dir(hs.explain))


def test_a_name_that_is_not_there_fails() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'explanation'"):
        getattr(hs.explain, "explanation")  # noqa: B009
