"""What a run is to do, as a TOML file: which files, which settings, what to say of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError
from hiddenstate.training.settings import S, read_toml, toml_value


@dataclass(frozen=True)
class RunFile(Generic[S]):
    """The content of such a file.

    Attributes:
        kind: what is trained: ``tagger``, say.
        settings: the settings; those that the file leaves out have their defaults.
        files: paths by name: ``train``, ``dev``, ``out`` and so on.
        about: what a model card tells: ``about_data``, ``licence``, ``command``.
    """

    kind: str
    settings: S
    files: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, kind: str, settings: S, files: Mapping[str, str | os.PathLike[str] | None], about: Mapping[str, str]
    ) -> "RunFile[S]":
        """Make one of paths as a caller has them, seen from where it is now; None or an empty one is left out."""
        paths = {name: str(Path(path).resolve()) if path else "" for name, path in files.items()}
        return cls(kind, settings, paths, about)

    def to_toml(self) -> str:
        """Write it as TOML."""
        tables = [("files", self.files), ("about", self.about)]
        text = f"kind = {toml_value(self.kind)}\n"
        for name, table in tables:
            text += f"\n[{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
        return f"{text}\n[settings]\n{self.settings.to_toml()}"


def read_run_file(path: str | Path, defaults: RunFile[S]) -> RunFile[S]:
    """Read such a file.

    Args:
        path: the file.
        defaults: the kind that is expected, and what holds where the file says nothing. Its ``files`` and ``about``
            name all that there may be.

    Raises:
        FileFormatError: it is not such a file, of another kind, or names what there is not.
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
    return RunFile(
        kind,
        defaults.settings.with_data(data.get("settings", {}), f"[settings] of {path}"),
        {**defaults.files, **_texts(data.get("files", {}), defaults.files, f"[files] of {path}")},
        {**defaults.about, **_texts(data.get("about", {}), defaults.about, f"[about] of {path}")},
    )


def _texts(data: Any, known: Mapping[str, str], where: str) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise FileFormatError(f"{where} must be texts by name")
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise FileFormatError(f"unknown {unknown[0]!r} in {where}; there is {' '.join(known)}")
    return data
