"""Places inside models: a module path before the place, as in ``"encoder.rnn.l0.f"``."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from hiddenstate.structure.names import Layers

Found = TypeVar("Found")

_MOST_PATHS = 4  # maximum number of places listed in a message
_MOST_LAYER_DIRECTIONS = 6


def at_path(path: str, modules: Mapping[str, Found]) -> Found | None:
    """Return the entry for a module path, or None. An empty path also finds the only module, whatever its path."""
    if path in modules:
        return modules[path]
    distinct = {id(module): module for module in modules.values()}
    return next(iter(distinct.values())) if not path and len(distinct) == 1 else None


def list_places(layers: Mapping[str, Layers], near: str = "") -> str:
    """Format the places of several LSTMs for a message, shortened; those with similar paths come first.

    Args:
        layers: the layers at each module path.
        near: the requested path.

    >>> list_places({"encoder": Layers(2, False), "decoder": Layers(1, True)})
    'encoder.{l0,l1}.{i,f,g,o,c,h}, decoder.{l0,l0r}.{i,f,g,o,c,h}'
    """
    paths = [*dict.fromkeys([*get_close_matches(near, layers, n=_MOST_PATHS), *layers])]
    listed = [_places_at(path, layers[path]) for path in paths[:_MOST_PATHS]]
    return ", ".join([*listed, *(["..."] if len(paths) > _MOST_PATHS else [])])


def _places_at(path: str, having: Layers) -> str:
    names = [each.name for each in having.directions]
    if len(names) > _MOST_LAYER_DIRECTIONS:
        names = [*names[:2], "...", names[-1]]
    layers, quantities = _grouped(names), _grouped(having.cell.quantities)
    return f"{path}{'.' * bool(path)}{layers}.{quantities}"


def _grouped(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
