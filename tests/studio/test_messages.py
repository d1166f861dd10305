import json
import math
import struct
from typing import Any

import numpy as np
import pytest
import torch

from hiddenstate.errors import MessageError
from hiddenstate.studio.messages import (
    MOST_BYTES,
    VIEW,
    BeginMessage,
    StepMessage,
    ViewMessage,
    decode,
    encode,
    frame,
    read,
)


def floats(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_frame() -> None:
    data = frame(StepMessage(7, "wörd", floats(2), floats(1, 3), floats(1, 2)))
    (length,) = struct.unpack("<I", data[:4])
    header = json.loads(data[4 : 4 + length])
    assert header == {"type": "step", "t": 7, "token": "wörd", "arrays": {"x": [2], "h": [1, 3], "c": [1, 2]}}
    assert struct.unpack("<7f", data[4 + length :]) == (0, 1, 0, 1, 2, 0, 1)


def test_encode() -> None:
    header, numbers = encode(BeginMessage(0, floats(1, 2), floats(1, 2)))
    assert header == {"type": "begin", "t": 0, "arrays": {"h": (1, 2), "c": (1, 2)}}
    assert len(numbers) == 16
    assert encode(ViewMessage({"step": 1})) == ({"type": "view", "view": {"step": 1}}, b"")


EDIT = {"place": "l1.f", "kind": "set", "value": 0.5, "unit": [1], "t": None, "scope": "write"}


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"step": 3, "unit": 0, "tour": -1},
        {"pinned": [1, 2], "text": "</script>", "edits": [EDIT]},
        {"page": "read", "sort": "tag:NOUN"},
    ],
)
def test_decode(view: dict[str, Any]) -> None:
    assert decode(json.dumps({"type": "view", "view": view})).view == view


@pytest.mark.parametrize(
    "view",
    [
        [],
        None,
        "text",
        {"unknown": 1},
        {"__proto__": 1},
        {"step": "3"},
        {"step": True},
        {"step": 1.5},
        {"step": -2},
        {"step": 2**31},
        {"text": 3},
        {"text": "x" * 20_001},
        {"pinned": 3},
        {"pinned": [1.5]},
        {"pinned": list(range(1001))},
        {"edits": [{}]},
        {"edits": [{**EDIT, "value": "0"}]},
        {"edits": [{**EDIT, "value": True}]},
        {"edits": [{**EDIT, "unit": [None]}]},
        {"edits": [{**EDIT, "more": 1}]},
        {"edits": [3]},
    ],
)
def test_view_fails(view: Any) -> None:
    with pytest.raises(MessageError) as caught:
        decode(json.dumps({"type": "view", "view": view}))
    assert len(str(caught.value)) < 500  # the message is not quoted back in full


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "null",
        '{"type": "view"}',
        '{"type": "step", "view": {}}',
        '{"type": "view", "view": {}, "more": 1}',
        '{"type": "view", "view": {"edits": [{"value": NaN}]}}',
        "[" * 100_000,
        '{"type": "view", "view": {"text": "' + "x" * MOST_BYTES + '"}}',
        b'{"type": "view", "view": {}}',
    ],
)
def test_decode_fails(text: str | bytes) -> None:
    with pytest.raises(MessageError):
        decode(text)


def test_read_fails() -> None:
    with pytest.raises(MessageError, match="expected"):
        read({"type": object(), "view": {}})


NUMPYS = {
    "unit": np.int64(3),
    "step": torch.tensor(2),
    "tour": np.int8(-1),
    "pinned": np.array([1, 2]),
    "edits": [{**EDIT, "value": np.float32(0.5), "unit": [np.uint8(1)], "t": range(2)}],
}
PLAIN = {"unit": 3, "step": 2, "tour": -1, "pinned": [1, 2], "edits": [{**EDIT, "t": [0, 1]}]}


def test_numbers_of_other_types_become_those_of_json() -> None:
    header, _ = encode(ViewMessage(NUMPYS))
    assert json.loads(json.dumps(header)) == {"type": "view", "view": PLAIN}


@pytest.mark.parametrize(
    "wrong", [np.True_, torch.tensor(True), 1.0, np.float64(1), np.array([1]), "1", None, slice(2)]
)
def test_a_count_that_is_none_is_refused(wrong: Any) -> None:
    for view in ({"unit": wrong}, {"pinned": [wrong]}):
        with pytest.raises(MessageError, match="of the view must be a "):
            ViewMessage(view)


def test_messages_are_frozen() -> None:
    with pytest.raises(AttributeError):
        ViewMessage({}).view = {}  # type: ignore[misc]


@pytest.mark.parametrize("name", [name for name, part in VIEW.items() if part.choices])
def test_a_choice_that_the_page_lacks_is_refused(name: str) -> None:
    choices = VIEW[name].choices
    for choice in choices:
        assert ViewMessage({name: choice}).view == {name: choice}
    for wrong in ("nowhere", 1, ["read"]):
        with pytest.raises(MessageError, match=f"{name} of the view must be one of {', '.join(choices)}, got "):
            ViewMessage({name: wrong})


@pytest.mark.parametrize("value", ["1e999", "-1e999", "1" + "0" * 400])
def test_a_number_that_no_json_can_give_back_is_refused(value: str) -> None:
    text = json.dumps({"type": "view", "view": {"edits": [{**EDIT, "value": 7.25}]}}).replace("7.25", value)
    with pytest.raises(MessageError, match="edits of the view must be"):
        decode(text)
    with pytest.raises(MessageError):
        ViewMessage({"edits": [{**EDIT, "value": math.nan}]})


def test_half_a_character_in_a_token() -> None:
    data = frame(StepMessage(0, "\ud83d", floats(1), floats(1, 1), floats(1, 1)))
    assert json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])["token"] == "\ud83d"
