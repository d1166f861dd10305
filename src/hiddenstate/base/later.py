"""Lazy imports: names and functions that are imported on first use, because their dependencies load slowly."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package, which imports each of these names on first use and caches it.

    Args:
        package: the package's full name.
        homes: maps each name to its module, relative to the package: ``"module:other"`` if it is called ``other``
            there, ``"module:"`` if it is the module itself.
    """

    def found(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path, colon, other = homes[name].partition(":")
        module = import_module(f"{package}.{path}")
        value = module if colon and not other else getattr(module, other or name)
        setattr(sys.modules[package], name, value)
        return value

    return found


def called_later(where: str) -> Callable[..., Any]:
    """Return a function that imports the real one, such as ``"package.module:name"``, when it is called."""

    def call(*arguments: Any, **options: Any) -> Any:
        module, _, name = where.partition(":")
        return getattr(import_module(module), name)(*arguments, **options)

    return call


# Functions of higher packages that lower ones call but can't import; ``hiddenstate/__init__.py`` registers them. The
# exact types of the functions are declared where they are called.
exporters: list[Callable[..., Any]] = []
stand_ins: list[Callable[..., Any]] = []
notebook_views: list[Callable[..., Any]] = []
index_openers: list[Callable[..., Any]] = []
