"""Settings: frozen data with a type and a range for each value, read from text, JSON or TOML; run files."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_origin, get_type_hints

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
    """Base of a model's settings. A field is an int, float, bool, str, or tuple of str or int, and has a default."""

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for setting in fields(self):
            _check(setting.name, getattr(self, setting.name), types[setting.name], **setting.metadata)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every setting, in order."""
        return tuple(setting.name for setting in fields(cls))

    def with_texts(self: S, texts: Mapping[str, str]) -> S:
        """Return a copy with some settings parsed from text, as on a command line, where commas separate a tuple."""
        types = get_type_hints(type(self))
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in types:
                raise ArgumentError(f"unknown setting {name!r}; the settings are {' '.join(types)}")
            try:
                values[name] = _KINDS[types[name]].parse(text)
            except (ValueError, KeyError) as error:
                message = f"setting {name} must be {_KINDS[types[name]].name}, got {_format(text)}"
                raise ArgumentError(message) from error
        return replace(self, **values)

    def with_data(self: S, data: Any, where: str) -> S:
        """Return a copy with the values of a JSON or TOML object from an untrusted file, called ``where``."""
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
        """Read settings from such an object; omitted ones have their defaults."""
        return cls().with_data(data, where)

    def to_toml(self) -> str:
        """Return all settings as lines of TOML."""
        return "".join(f"{name} = {toml_value(value)}\n" for name, value in asdict(self).items())


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file, which is untrusted."""
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


class _Kind(NamedTuple):
    """A type of settings: its name in messages, its values' (or items') classes, and its parser."""

    name: str
    classes: type | tuple[type, ...]
    parse: Callable[[str], Any]


_KINDS: dict[Any, _Kind] = {
    int: _Kind("of type int", int, int),
    float: _Kind("of type float", (int, float), float),
    str: _Kind("of type str", str, str),
    bool: _Kind("true or false", bool, lambda text: {"true": True, "false": False}[text.lower()]),
    tuple[str, ...]: _Kind("words separated by commas", str, _words),
    tuple[int, ...]: _Kind("integers separated by commas", int, lambda text: tuple(map(int, _words(text)))),
}


def _format(value: object) -> str:
    """Format a value for a message, shortened if it is long."""
    if type(value) is int and abs(value) >= _LARGEST:
        return f"a number of {value.bit_length()} bits"  # Python may refuse to convert the number to text
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _check(
    name: str,
    value: Any,
    wanted: Any,
    *,
    choices: Sequence[str] = (),
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raise ArgumentError unless a setting has its type and is in its range."""
    kind, items = _KINDS[wanted], value if isinstance(value, tuple) else (value,)
    fits = all(isinstance(item, kind.classes) and (wanted is bool or not isinstance(item, bool)) for item in items)
    if not fits or isinstance(value, tuple) != (get_origin(wanted) is tuple):
        raise ArgumentError(f"{name} must be {kind.name}, got {_format(value)}")
    for item in items:
        if type(item) is int and abs(item) >= _LARGEST:
            raise ArgumentError(f"{name} must be below 2**63, got {_format(item)}")
    if choices and value not in choices:
        raise ArgumentError(f"{name} must be one of {' '.join(choices)}, got {_format(value)}")
    if wanted not in (int, float):
        return
    if not math.isfinite(value) or (above is not None and value <= above) or (least is not None and value < least):
        lower = f"above {above}" if least is None else f"at least {least}"
        raise ArgumentError(f"{name} must be {lower} and finite, got {value}")
    if below is not None and value >= below:
        raise ArgumentError(f"{name} must be below {below}, got {value}")


# The settings that may change when a run is resumed: its duration, its device, and what it writes along the way.
MAY_CHANGE = ("epochs", "patience", "device", "log_steps", "checkpoint_steps", "checkpoint_minutes")


@dataclass(frozen=True)
class TrainConfig(Settings):
    """The settings that the training loop reads; a model's config adds its sizes.

    Attributes:
        epochs: the maximum number of passes over the training data.
        patience: stop when the dev score has not improved on its best for this many epochs.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: the highest learning rate.
        schedule: the learning rate after the warm-up: ``cosine`` (half a cosine down to 0 at the end of the
            last epoch), ``constant``, or ``plateau`` (times ``plateau_factor`` whenever the dev score has not improved
            on its best for ``plateau_patience`` epochs).
        warmup_steps: batches over which the learning rate rises from 0.
        plateau_factor: the factor for the learning rate on a plateau.
        plateau_patience: the length of a plateau in epochs.
        beta1: the decay of AdamW's mean of gradients.
        beta2: the decay of AdamW's mean of squared gradients.
        momentum: the momentum of SGD.
        weight_decay: the weight decay per step, multiplied by the learning rate.
        clip_norm: the maximum gradient norm; 0 for no clipping.
        average: the decay of a running mean of the weights, which is evaluated and saved instead of the last weights; 0
            for none.
        seed: the seed for initial weights, dropout and the order of batches.
        precision: the precision of matrix products: ``fp32``, or ``bf16`` (torch's autocast).
        device: ``cpu``, or ``auto`` for the accelerator that torch finds, if any.
        log_steps: batches between two lines of ``metrics.jsonl``.
        checkpoint_steps: batches between two checkpoints inside an epoch; 0 for none.
        checkpoint_minutes: minutes between two checkpoints inside an epoch; 0 for none.
    """

    epochs: int = number(14, least=1)
    patience: int = number(8, least=1)
    optimizer: str = choice("adamw", "sgd")
    learning_rate: float = number(0.003, above=0)
    schedule: str = choice("cosine", "constant", "plateau")
    warmup_steps: int = number(200, least=0)
    plateau_factor: float = number(0.5, above=0, below=1)
    plateau_patience: int = number(1, least=1)
    beta1: float = number(0.9, least=0, below=1)
    beta2: float = number(0.98, least=0, below=1)
    momentum: float = number(0.0, least=0, below=1)
    weight_decay: float = number(0.0, least=0)
    clip_norm: float = number(5.0, least=0)
    average: float = number(0.0, least=0, below=1)
    seed: int = number(1, least=0, below=2**32)
    precision: str = choice("fp32", "bf16")
    device: str = choice("cpu", "auto")
    log_steps: int = number(50, least=1)
    checkpoint_steps: int = number(0, least=0)
    checkpoint_minutes: float = number(5.0, least=0)

    def fixed(self) -> dict[str, Any]:
        """Return the settings that must not change when a run is resumed: all except `MAY_CHANGE`."""
        return {name: value for name, value in asdict(self).items() if name not in MAY_CHANGE}


StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class RunFile(Generic[S]):
    """The content of a run file.

    Attributes:
        kind: the kind of model, such as ``tagger``.
        settings: the settings; those that the file omits have their defaults.
        files: paths by name: ``train``, ``dev``, ``out`` and so on.
        about: texts for a model card: ``about_data``, ``licence``, ``command``.
        lists: lists of paths by name; in the file, they are beside the other paths.
    """

    kind: str
    settings: S
    files: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        kind: str,
        settings: S,
        files: Mapping[str, StrPath | None],
        about: Mapping[str, str],
        lists: Mapping[str, Iterable[StrPath]] = {},
    ) -> "RunFile[S]":
        """Make a run file from paths relative to the current folder; None and empty ones are omitted."""
        full = {name: str(Path(path).resolve()) if path else "" for name, path in files.items()}
        full_lists = {name: tuple(str(Path(path).resolve()) for path in lists[name]) for name in lists}
        return cls(kind, settings, full, about, full_lists)

    def to_toml(self) -> str:
        """Write it as TOML."""
        lists = {name: paths for name, paths in self.lists.items() if paths}
        tables: list[tuple[str, Mapping[str, object]]] = [("files", {**self.files, **lists}), ("about", self.about)]
        text = f"kind = {toml_value(self.kind)}\n"
        for name, table in tables:
            text += f"\n[{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
        return f"{text}\n[settings]\n{self.settings.to_toml()}"


def read_run_file(path: str | Path, defaults: RunFile[S]) -> RunFile[S]:
    """Read a run file.

    Args:
        path: the file.
        defaults: the expected kind, and default values. Its ``files``, ``lists`` and ``about`` contain all allowed
            names.

    Raises:
        FileFormatError: it is not a run file, has the wrong kind, or contains an unknown name.
        OSError: it cannot be read.
    """
    data = read_toml(path)
    with reading(path):
        kind = data.pop("kind", defaults.kind)
        if kind != defaults.kind:
            raise FileFormatError(f"{path} is for training a {kind!r}, expected {defaults.kind!r}")
        unknown = sorted(set(data) - {"files", "about", "settings"})
        if unknown:
            message = f"{path}: unknown {unknown[0]!r}; a run file has kind, [files], [about] and [settings]"
            raise FileFormatError(message)
        files = data.get("files", {})
        lists = {name: files.pop(name) for name in defaults.lists if name in files} if isinstance(files, dict) else {}
        settings = defaults.settings.with_data(data.get("settings", {}), f"[settings] of {path}")
        texts = _texts(files, {**defaults.files, **defaults.lists}, f"[files] of {path}")
        about = _texts(data.get("about", {}), defaults.about, f"[about] of {path}")
        for name, paths in lists.items():
            if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
                raise FileFormatError(f"{name} in [files] of {path} must be a list of paths, got {paths!r:.60}")
            lists[name] = tuple(paths)
        return RunFile(
            kind, settings, {**defaults.files, **texts}, {**defaults.about, **about}, {**defaults.lists, **lists}
        )


def _texts(data: Any, known: Mapping[str, object], where: str) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise FileFormatError(f"{where} must map names to strings")
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise FileFormatError(f"unknown {unknown[0]!r} in {where}; expected one of {' '.join(known)}")
    return data
