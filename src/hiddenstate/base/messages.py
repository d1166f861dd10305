"""Formats values for messages, and for JSON."""

import math
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor


class _Short(reprlib.Repr):
    def repr_instance(self, x: object, level: int) -> str:
        # A tensor's memory may have been freed, and printing it would then crash.
        return f"<a tensor of {x.dtype}>" if isinstance(x, Tensor) else super().repr_instance(x, level)


_SHORT = _Short()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxdict = _SHORT.maxarray = 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def shorten(value: object) -> str:
    """Format a value for a message, shortened if it is long.

    >>> shorten(list(range(100)))
    '[0, 1, 2, 3, 4, 5, 6, 7, ...]'
    """
    try:
        return _SHORT.repr(value)
    except ValueError:  # an int with more digits than Python converts
        return f"an int of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def with_article(name: str) -> str:
    """Return an abbreviation, such as the name of a kind of cell, with the article of its first letter.

    >>> with_article("LSTM"), with_article("GRUCell")
    ('an LSTM', 'a GRUCell')
    """
    return f"{'an' if name[0] in 'AEFHILMNORSX' else 'a'} {name}"


def listed(names: Iterable[str]) -> str:
    """Return names as a list in a sentence.

    >>> listed(["LSTM", "GRU"]), listed(["LSTM", "GRU", "RNN"])
    ('LSTM and GRU', 'LSTM, GRU and RNN')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def readable_name(kind: type) -> str:
    """Return the name of a class as users write it, which tells torch's classes from ours.

    >>> from torch import nn
    >>> readable_name(nn.LSTM), readable_name(int)
    ('torch.nn.LSTM', 'int')
    """
    package, _, _ = kind.__module__.partition(".modules.")
    if package.startswith("hiddenstate."):
        return f"hs.{kind.__name__}"
    return f"{package}.{kind.__name__}" if package.startswith("torch.") else kind.__name__


def plain(value: Any) -> Any:
    """Turn tensors, arrays and tuples into lists, and numbers that are not finite into null, for JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
