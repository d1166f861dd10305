"""Places inside models: a module path before the place, as in ``"encoder.rnn.l0.f"``."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from hiddenstate.structure.layer_direction import layer_directions
from hiddenstate.structure.names import QUANTITIES

Found = TypeVar("Found")

_MOST_PATHS = 4  # in a message
_MOST_LAYER_DIRECTIONS = 6


def at_path(path: str, modules: Mapping[str, Found]) -> Found | None:
    """Return the entry for a module path, or None. An empty path also means the only module, whatever its path."""
    if path in modules:
        return modules[path]
    distinct = {id(module): module for module in modules.values()}
    return next(iter(distinct.values())) if not path and len(distinct) == 1 else None


def list_places(layers: Mapping[str, tuple[int, bool]], near: str = "") -> str:
    """Format the places of several LSTMs for a message, shortened; those with similar paths come first.

    Args:
        layers: maps module paths to the number of layers and whether there is a reverse direction.
        near: the requested path.

    >>> list_places({"encoder": (2, False), "decoder": (1, True)})
    'encoder.{l0,l1}.{i,f,g,o,c,h}, decoder.{l0,l0r}.{i,f,g,o,c,h}'
    """
    paths = [*dict.fromkeys([*get_close_matches(near, layers, n=_MOST_PATHS), *layers])]
    listed = [_places_at(path, *layers[path]) for path in paths[:_MOST_PATHS]]
    return ", ".join([*listed, *(["..."] if len(paths) > _MOST_PATHS else [])])


def _places_at(path: str, num_layers: int, bidirectional: bool) -> str:
    names = [each.name for each in layer_directions(num_layers, bidirectional)]
    if len(names) > _MOST_LAYER_DIRECTIONS:
        names = [*names[:2], "...", names[-1]]
    layers = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
    return f"{path}{'.' * bool(path)}{layers}.{{{','.join(QUANTITIES)}}}"
