"""Found layers: listed, chosen, built on access."""

import warnings

import pytest

from hiddenstate import LSTM
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.interop.found import Found


def refuse() -> LSTM:
    raise ArgumentError("it has peepholes")


def warn() -> LSTM:
    warnings.warn("a state", stacklevel=1)
    return LSTM(4, 3)


def test_each_is_built_when_it_is_asked_for() -> None:
    built = []

    def build() -> LSTM:
        built.append(1)
        return LSTM(4, 3)

    found = Found("here", {"a": build, "b": refuse})
    assert list(found) == ["a", "b"]
    assert len(found) == 2
    assert "a" in found
    assert not built
    assert found["a"].input_size == found.one("a").input_size == 4
    assert found["a"] is not found["a"]


def test_listing() -> None:
    found = Found("here", {"a": warn, "b": refuse}, {"g": "it is a GRU"})
    assert str(found) == "here holds 2 LSTMs\n  'a': LSTM(4, 3)\n  'b': refused: it has peepholes"
    assert str(Found("here", {"a": warn})) == "here holds 1 LSTM\n  'a': LSTM(4, 3)"
    assert str(Found("here", {}, {"g": "it is a GRU"})) == "here holds no LSTMs\n  'g' is not an LSTM: it is a GRU"


def test_the_only_one_needs_no_name() -> None:
    with pytest.warns(UserWarning, match="a state"):
        assert Found("here", {"a": warn}).one(None).input_size == 4


def test_choosing_fails() -> None:
    found = Found("here", {"a": warn, "b": refuse}, {"g": "it is a GRU"}, chooser="prefix")
    with pytest.raises(ArgumentError, match="(?s)here holds 2 LSTMs.*Choose one with prefix="):
        found.one(None)
    with pytest.raises(ArgumentError, match="it has peepholes"):
        found.one("b")
    with pytest.raises(ArgumentError, match="'g' in here is not an LSTM: it is a GRU"):
        found.one("g")
    with pytest.raises(NameUnknownError, match="no LSTM 'c': here holds 2 LSTMs"):
        found["c"]
    with pytest.raises(NameUnknownError, match="here holds no LSTMs"):
        Found("here", {}).one(None)
