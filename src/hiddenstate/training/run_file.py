"""The description of a run as a TOML file, with its files, its settings, and texts about it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError
from hiddenstate.training.settings import S, read_toml, toml_value

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
        lists: Mapping[str, Iterable[StrPath]] | None = None,
    ) -> "RunFile[S]":
        """Make a run file from paths relative to the current folder; None and empty ones are omitted."""
        paths = {name: str(Path(path).resolve()) if path else "" for name, path in files.items()}
        several = {name: tuple(str(Path(path).resolve()) for path in each) for name, each in (lists or {}).items()}
        return cls(kind, settings, paths, about, several)

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
        return _run_file(path, data, defaults)


def _run_file(path: str | Path, data: dict[str, Any], defaults: RunFile[S]) -> RunFile[S]:
    kind = data.pop("kind", defaults.kind)
    if kind != defaults.kind:
        raise FileFormatError(f"{path} is for training a {kind!r}, expected {defaults.kind!r}")
    unknown = sorted(set(data) - {"files", "about", "settings"})
    if unknown:
        raise FileFormatError(f"{path}: unknown {unknown[0]!r}; a run file has kind, [files], [about] and [settings]")
    files = data.get("files", {})
    lists = {name: files.pop(name) for name in defaults.lists if name in files} if isinstance(files, dict) else {}
    return RunFile(
        kind,
        defaults.settings.with_data(data.get("settings", {}), f"[settings] of {path}"),
        {**defaults.files, **_texts(files, {**defaults.files, **defaults.lists}, f"[files] of {path}")},
        {**defaults.about, **_texts(data.get("about", {}), defaults.about, f"[about] of {path}")},
        {**defaults.lists, **{name: _several(paths, f"{name} in [files] of {path}") for name, paths in lists.items()}},
    )


def _several(data: Any, where: str) -> tuple[str, ...]:
    if not isinstance(data, list) or not all(isinstance(path, str) and path for path in data):
        raise FileFormatError(f"{where} must be a list of paths, got {data!r:.60}")
    return tuple(data)


def _texts(data: Any, known: Mapping[str, object], where: str) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise FileFormatError(f"{where} must map names to strings")
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise FileFormatError(f"unknown {unknown[0]!r} in {where}; expected one of {' '.join(known)}")
    return data
