"""Settings: frozen data with a type and a range for each value, which are read from text, JSON or TOML."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

S = TypeVar("S", bound="Settings")
V = TypeVar("V", int, float)

_LARGEST = 2**63  # the limit for integers in TOML
_LONGEST = 60  # maximum number of characters of a value shown in a message


def number(default: V, *, least: float | None = None, above: float | None = None, below: float | None = None) -> V:
    """Declare a number with its range: from ``least``, or above ``above``, and below ``below``."""
    return field(default=default, metadata={"least": least, "above": above, "below": below})


def choice(default: str, *others: str) -> str:
    """Declare a setting with a few allowed words."""
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True)
class Settings:
    """Base of a model's settings. A field is an int, float, bool, str, or tuple of str or int, and has a default.

    Raises:
        ArgumentError: a value has a wrong type, or is out of range.
    """

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for each in fields(self):
            _check(each.name, getattr(self, each.name), types[each.name], each.metadata)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every setting, in order."""
        return tuple(each.name for each in fields(cls))

    def with_texts(self: S, texts: Mapping[str, str]) -> S:
        """Return a copy with some settings parsed from text, as on a command line.

        Values of a tuple are separated by commas; a bool is ``true`` or ``false``.

        Raises:
            ArgumentError: there is no such setting, or the text is not a value of its type and range.
        """
        types = get_type_hints(type(self))
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in types:
                raise ArgumentError(f"unknown setting {name!r}; the settings are {' '.join(types)}")
            try:
                values[name] = _PARSERS[types[name]](text)
            except (ValueError, KeyError) as error:
                raise ArgumentError(f"setting {name} must be {_kind(types[name])}, got {_format(text)}") from error
        return replace(self, **values)

    def with_data(self: S, data: Any, where: str) -> S:
        """Return a copy with the values of a JSON or TOML object; ``where`` is for messages.

        Raises:
            FileFormatError: it is not an object, or a setting is unknown or out of range.
        """
        if not isinstance(data, dict):
            raise FileFormatError(f"{where} must be an object, got {type(data).__name__}")
        unknown = sorted(set(data) - set(self.names()))
        if unknown:
            raise FileFormatError(f"unknown field {unknown[0]!r} in {where}; remove it")
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        try:
            return replace(self, **{**data, **lists})
        except ArgumentError as error:
            raise FileFormatError(f"{where}: {error}") from error

    @classmethod
    def from_data(cls: type[S], data: Any, where: str = "a model's config") -> S:
        """Read settings from such an object; omitted ones have their defaults. Raises like `with_data`."""
        return cls().with_data(data, where)

    def to_toml(self) -> str:
        """Return all settings as lines of TOML."""
        return "".join(f"{name} = {toml_value(value)}\n" for name, value in asdict(self).items())


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        FileFormatError: it is not TOML, or not UTF-8.
        OSError: it cannot be read.
    """
    text = read_text(path)
    with reading(path):
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise FileFormatError(f"{path} is not TOML: {error}") from error


def toml_value(value: Any) -> str:
    """Format a value as TOML, which is the same as JSON for strings, numbers, bools and lists of them."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def format_setting(value: object) -> str:
    """Format a setting as `Settings.with_texts` parses it."""
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, tuple) else toml_value(value)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in _words(text))


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_PARSERS: dict[Any, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    bool: _truth,
    tuple[str, ...]: _words,
    tuple[int, ...]: _integers,
}


def _kind(wanted: Any) -> str:
    if wanted is bool:
        return "true or false"
    if get_origin(wanted) is tuple:
        return f"{'integers' if get_args(wanted)[0] is int else 'words'} separated by commas"
    return f"of type {wanted.__name__}"


def _format(value: object) -> str:
    """Format a value for a message, shortened if it is long."""
    if type(value) is int and abs(value) >= _LARGEST:
        return f"a number of {value.bit_length()} bits"  # Python may refuse to convert the number to text
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _check(name: str, value: Any, wanted: Any, limits: Mapping[str, Any]) -> None:
    if not _fits(value, wanted):
        raise ArgumentError(f"{name} must be {_kind(wanted)}, got {_format(value)}")
    for each in value if isinstance(value, tuple) else (value,):
        if type(each) is int and abs(each) >= _LARGEST:
            raise ArgumentError(f"{name} must be below 2**63, got {_format(each)}")
    choices = limits.get("choices")
    if choices and value not in choices:
        raise ArgumentError(f"{name} must be one of {' '.join(choices)}, got {_format(value)}")
    if wanted in (int, float):
        _check_number(name, value, **limits)


def _fits(value: Any, wanted: Any) -> bool:
    if get_origin(wanted) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(wanted)[0]) for each in value)
    if wanted is bool:
        return isinstance(value, bool)
    return isinstance(value, (int, float) if wanted is float else wanted) and not isinstance(value, bool)


def _check_number(
    name: str, value: float, least: float | None = None, above: float | None = None, below: float | None = None
) -> None:
    if not math.isfinite(value) or (above is not None and value <= above) or (least is not None and value < least):
        lower = f"above {above}" if least is None else f"at least {least}"
        raise ArgumentError(f"{name} must be {lower} and finite, got {value}")
    if below is not None and value >= below:
        raise ArgumentError(f"{name} must be below {below}, got {value}")
