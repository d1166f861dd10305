from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import NameUnknownError
from hiddenstate.structure.addresses import Address, is_address, parse_address

NUMBERS = st.integers(-999, 999)
INDICES = st.one_of(
    st.none(),
    NUMBERS,
    st.lists(NUMBERS, min_size=2, max_size=4).map(tuple),
    st.builds(slice, st.none() | NUMBERS, st.none() | NUMBERS, st.none() | st.integers(1, 5)),
)


@given(place=st.sampled_from(["l0.f", "l12r.c", "l1.o_pre"]), unit=INDICES, t=INDICES, row=INDICES)
def test_an_address_is_read_as_it_is_written(place: str, unit: Any, t: Any, row: Any) -> None:
    address = Address(place, unit, t, row)
    assert parse_address(str(address)) == address
    assert is_address(str(address)) == (unit is not None or t is not None or row is not None)


def test_ranges_among_numbers_are_written_out() -> None:
    assert parse_address("l0.c[0:3,7]").unit == (0, 1, 2, 7)
    assert parse_address("l0.c[5]@2,4,n=1") == Address("l0.c", 5, (2, 4), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[3]",
        "l0.c[",
        "l0.c[]",
        "l0.c[x]",
        "l0.c@",
        "l0.c[1]@2,m=3",
        "l0.c[1:,4]",
        "l0.c@3[4]",
        "l0.c[1.5]",
        "l0.c[3:3,4]",
        "l0.c[5:2,4]",
        "l0.c[2:1,8:0,5]",
    ],
)
def test_what_is_no_address_fails(text: str) -> None:
    with pytest.raises(NameUnknownError, match="expected PLACE"):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "l0.c[0:99999999999,1]",
        "l0.c[1,0:9000000000:9]",
        "l0.c[" + "0:1000000," * 500 + "1]",
        f"l0.c[{'9' * 5000}]",
        f"l0.c@{'9' * 5000}:",
        "x" * 10**6 + "[",
    ],
)
def test_a_short_text_asks_for_no_more_than_a_layer_has(text: str) -> None:
    with pytest.raises(NameUnknownError, match="expected PLACE") as caught:
        parse_address(text)
    assert len(str(caught.value)) < 600


def test_a_number_is_no_address() -> None:
    with pytest.raises(NameUnknownError, match="cannot read 3"):
        parse_address(3)  # type: ignore[arg-type]
