import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.vocabulary import PADDING, UNKNOWN, Vocabulary


def test_build() -> None:
    vocabulary = Vocabulary.build("babcabd", minimum=2)
    assert (vocabulary.tokens, vocabulary.counts) == (("b", "a"), (3, 2))
    assert len(vocabulary) == 4
    assert vocabulary.ids(["b", "a", "c", ""]) == [2, 3, UNKNOWN, UNKNOWN]
    assert "a" in vocabulary
    assert "c" not in vocabulary


def test_build_fails() -> None:
    with pytest.raises(ArgumentError, match="at least 1, got 0"):
        Vocabulary.build([], minimum=0)


def test_order_does_not_depend_on_the_order_of_the_text() -> None:
    assert Vocabulary.build("xyzz") == Vocabulary.build("zyzx")


@given(st.lists(st.text()), st.integers(1, 3))
def test_json_round_trip(tokens: list[str], minimum: int) -> None:
    vocabulary = Vocabulary.build(tokens, minimum)
    assert Vocabulary.from_data(json.loads(json.dumps(vocabulary.to_data()))) == vocabulary
    assert set(vocabulary.ids(vocabulary.tokens)).isdisjoint({PADDING, UNKNOWN})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not a vocabulary"),
        (None, "not a vocabulary"),
        ({"tokens": ["a"]}, "'counts'"),
        ({"tokens": ["a"], "counts": [1, 2]}, "1 tokens need one count each, got 2"),
        ({"tokens": ["a", "a"], "counts": [1, 2]}, "'a' occurs twice"),
        ({"tokens": [1], "counts": [1]}, "must be strings"),
        ({"tokens": ["a"], "counts": ["1"]}, "must be strings and counts integers"),
    ],
)
def test_from_data_fails(data: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        Vocabulary.from_data(data)
