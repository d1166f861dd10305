import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.training.settings import Settings, choice, format_setting, number, read_toml


@dataclass(frozen=True)
class Sizes(Settings):
    units: int = number(3, least=1)
    rate: float = number(0.5, above=0, below=1)
    kind: str = choice("a", "b")
    name: str = "x"
    fast: bool = False
    columns: tuple[str, ...] = ("upos",)


OTHER = Sizes(7, 1e-9, "b", 'a "quoted" é \t', True, ("upos", "xpos"))


def test_defaults_and_names() -> None:
    assert asdict(Sizes()) == {
        "units": 3, "rate": 0.5, "kind": "a", "name": "x", "fast": False, "columns": ("upos",)
    }  # fmt: skip
    assert Sizes.names() == ("units", "rate", "kind", "name", "fast", "columns")


def test_with_texts() -> None:
    texts = {"units": "7", "rate": "1e-9", "kind": "b", "fast": "True", "columns": "upos, xpos,"}
    assert Sizes(name=OTHER.name).with_texts(texts) == OTHER


def test_texts_round_trip() -> None:
    assert Sizes().with_texts({name: format_setting(value) for name, value in asdict(OTHER).items()}) == OTHER


def test_toml_round_trip(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(OTHER.to_toml(), encoding="utf-8")
    assert Sizes.from_data(read_toml(tmp_path / "a.toml")) == OTHER


def test_json_round_trip() -> None:
    assert Sizes.from_data(json.loads(json.dumps(asdict(OTHER)))) == OTHER
    assert Sizes(units=9).with_data({"fast": True}, "here") == Sizes(units=9, fast=True)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"wings": "2"}, "unknown setting 'wings'; the settings are units rate kind"),
        ({"units": "many"}, "setting units must be of type int, got 'many'"),
        ({"units": "0"}, "units must be at least 1 and finite, got 0"),
        ({"rate": "0"}, "rate must be above 0 and finite, got 0.0"),
        ({"rate": "nan"}, "rate must be above 0 and finite, got nan"),
        ({"rate": "1"}, "rate must be below 1, got 1.0"),
        ({"kind": "c"}, "kind must be one of a b, got 'c'"),
        ({"units": "9" * 5000}, r"setting units must be of type int, got '9+\.\.\.$"),
        ({"units": "9" * 4000}, "units must be below 2\\*\\*63, got a number of 13288 bits"),
        ({"kind": "c" * 5000}, r"kind must be one of a b, got 'c+\.\.\.$"),
        ({"fast": "maybe"}, "setting fast must be true or false, got 'maybe'"),
    ],
)
def test_with_texts_fails(texts: dict[str, str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Sizes().with_texts(texts)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "here must be an object, got NoneType"),
        ({"wings": 2}, "unknown field 'wings' in here; remove it"),
        ({"units": 1.5}, "here: units must be of type int, got 1.5"),
        ({"units": True}, "units must be of type int, got True"),
        ({"units": 16**50_000}, "here: units must be below 2\\*\\*63, got a number of 200001 bits"),
        ({"rate": 10**400}, "here: rate must be below 2\\*\\*63"),
        ({"fast": 1}, "fast must be true or false, got 1"),
        ({"columns": "upos"}, "columns must be words separated by commas, got 'upos'"),
        ({"columns": [1]}, "columns must be words separated by commas"),
        ({"name": ["a"]}, "name must be of type str"),
    ],
)
def test_from_data_fails(data: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        Sizes.from_data(data, "here")


def test_read_toml_fails(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("units =\n")
    with pytest.raises(FileFormatError, match=r"a\.toml is not TOML: Invalid value \(at line 1"):
        read_toml(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read_toml(tmp_path / "b.toml")
    (tmp_path / "c.toml").write_text("a = " + "[" * 50_000 + "]" * 50_000)
    with pytest.raises(FileFormatError, match=r"c\.toml is not TOML"):
        read_toml(tmp_path / "c.toml")
    (tmp_path / "d.toml").write_text("a = " + "9" * 5000)
    with pytest.raises(FileFormatError, match=r"d\.toml is damaged: Exceeds the limit"):
        read_toml(tmp_path / "d.toml")
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "none.toml")
