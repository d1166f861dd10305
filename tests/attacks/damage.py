"""Damages files: bytes are changed, lost or repeated, numbers and texts are replaced, inside archives too."""

import io
import random
import re
import zipfile

# Replacements for a number or a text in JSON and similar formats.
EXTREMES = (
    *("-1", "0", "1", "2", "65536", "99999999999", "9223372036854775808", "1e400", "-1e-400", "NaN", "Infinity"),
    *("9" * 400, "9" * 5000, "0x" + "f" * 5000, "null", "true", '"abcde"', '""', '"\\ud800"', "[]", "{}", '[[1,"a"]]'),
    *('{"config":{"layers":[{}]}}', "[" * 3000, '{"a":' * 3000),
)
NUMBERS = (
    b"\x00" * 8,
    b"\xff" * 8,
    b"\xff" * 7 + b"\x7f",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x40",
    b"\x00" * 7 + b"\x01",
)
_VALUE = re.compile(rb'-?\d+(?:\.\d+)?|"[^"\n]{0,40}"|true|false')


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return damaged content; in archives, the files inside are damaged too."""
    if data[:4] == b"PK\x03\x04" and draw.random() < 0.5:
        return _rezipped(data, draw)
    header = int.from_bytes(data[:8], "little") if data[8:9] == b"{" else 0  # as in safetensors
    if header and draw.random() < 0.7:
        inside = _other(data[8 : 8 + header], draw)
        return len(inside).to_bytes(8, "little") + inside + data[8 + header :]
    return _other(data, draw)


def _rezipped(data: bytes, draw: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = draw.choice(old.namelist())
        for name in old.namelist():
            content = old.read(name)
            new.writestr(zipfile.ZipInfo(name), damaged(content, draw) if name == chosen else content)
    return made.getvalue()


def _other(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, other = draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)
        first, last = min(at, other), min(max(at, other), min(at, other) + 64)
        way = draw.randrange(10)
        value = (_VALUE.search(data, at) or _VALUE.search(data)) if way >= 8 else None
        if way <= 1 or (way >= 8 and value is None):
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        elif way == 2:
            data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)] if at < len(data) else b"") + data[at + 1 :]
        elif way == 3:
            number = draw.choice(NUMBERS)
            data = data[:at] + number + data[at + len(number) :]
        elif way == 4:
            data = data[:first] + data[last:]
        elif way == 5:
            data = data[:other] + data[first:last] * draw.choice((1, 2, 100)) + data[other:]
        elif way == 6:
            data = data[:at]
        elif way == 7:  # a word in place of another: for example, the address of something else
            at, other = at // 8 * 8, other // 8 * 8
            data = data[:at] + data[other : other + 8] + data[at + 8 :]
        elif value is not None:
            start, stop = value.span()
            data = data[:start] + draw.choice(EXTREMES).encode() + data[stop:]
    return data
