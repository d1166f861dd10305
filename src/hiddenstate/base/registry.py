"""Functions that higher rooms give to lower ones, which can't import them; ``hiddenstate/__init__.py`` adds them.

Each list is typed by the room that calls its functions.
"""

from collections.abc import Callable
from typing import Any

exporters: list[Callable[..., Any]] = []
stand_ins: list[Callable[..., Any]] = []
notebook_views: list[Callable[..., Any]] = []
index_openers: list[Callable[..., Any]] = []
