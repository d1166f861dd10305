"""Lazy imports: names and functions that are imported on first use, because their dependencies load slowly."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

TYPE_CHECKING = False  # as typing has it, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any


def homes_in_stub(file: str) -> "Mapping[str, tuple[str, str]]":
    """Map each name in a stub (one per line) to its module and its name there; ``file`` may be ``.pyc``."""
    with open(f"{file.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:  # noqa: PTH123 (pathlib takes long to load)
        lines = [line.split() for line in stub if line.startswith("from ")]
    return {words[5]: (words[1], words[3]) for words in lines}


def on_first_use(package: str, file: str) -> "tuple[Callable[[str], Any], Callable[[], list[str]]]":
    """Return ``__getattr__`` and ``__dir__`` of a package whose stub's names are imported on first use."""
    homes = homes_in_stub(file)
    return loader(package, homes), lambda: sorted({*vars(sys.modules[package]), *homes})


def loader(package: str, homes: "Mapping[str, tuple[str, str]]") -> "Callable[[str], Any]":
    """Return a function that imports one of these names, and keeps it in the package."""

    def load(name: str) -> "Any":
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, other = homes[name]
        value = import_module(f"{home}.{other}") if home == package else getattr(import_module(home), other)
        setattr(sys.modules[package], name, value)
        return value

    return load


def called_later(where: str) -> "Callable[..., Any]":
    """Return a function that imports the real one, such as ``"package.module:name"``, when it is called."""

    def call(*arguments: "Any", **options: "Any") -> "Any":
        module, _, name = where.partition(":")
        return getattr(import_module(module), name)(*arguments, **options)

    return call


# Functions of higher packages that lower ones call but can't import; ``hiddenstate/__init__.py`` registers them. The
# exact types of the functions are declared where they are called.
exporters: "list[Callable[..., Any]]" = []
stand_ins: "list[Callable[..., Any]]" = []
accelerators: "list[Callable[..., Any]]" = []
notebook_views: "list[Callable[..., Any]]" = []
index_openers: "list[Callable[..., Any]]" = []
